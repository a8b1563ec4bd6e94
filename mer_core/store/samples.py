"""Decoded samples on disk, up to so many bytes: so that who reads them again and again does not decode again."""

from __future__ import annotations

import json
import os
import secrets
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from mer_core.types import Audio, Derived, Frames, Missing, Sample, Text

SUFFIX = ".safetensors"
ABOUT = "sample"


class SampleCache:
    """Samples below ``folder``, by name; safe to use from several threads and processes.

    Args:
        limit: bytes on disk from which on nothing more is kept.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit
        self._lock = threading.Lock()
        self._used = -1

    def __reduce__(self) -> tuple[type[SampleCache], tuple[Path, int]]:
        return SampleCache, (self.folder, self.limit)

    @property
    def full(self) -> bool:
        """Whether nothing more is kept."""
        with self._lock:
            if self._used < 0:
                self._used = sum(_size(file) for file in self.folder.glob(f"*{SUFFIX}"))
            return self._used >= self.limit

    def has(self, name: str) -> bool:
        """Whether a sample is kept as ``name``."""
        return (self.folder / f"{name}{SUFFIX}").is_file()

    def put(self, name: str, sample: Sample) -> bool:
        """Keep ``sample``, if there is room and its inputs are of a kind that can be kept."""
        if self.full or not all(isinstance(value, tuple(_PARTS)) for value in sample.inputs.values()):
            return False
        from safetensors import SafetensorError
        from safetensors.numpy import save_file

        arrays, facts = pack(sample)
        part = self.folder / f".{secrets.token_hex(6)}.part"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            save_file(arrays, part, {ABOUT: json.dumps(facts)})
            os.replace(part, self.folder / f"{name}{SUFFIX}")
        except (OSError, SafetensorError):  # a full disk, or whoever empties the folder, costs speed, not the run
            with suppress(OSError):
                part.unlink(missing_ok=True)
            return False
        with self._lock:
            self._used += sum(array.nbytes for array in arrays.values())
        return True

    def get(self, name: str) -> Sample | None:
        """The sample kept as ``name``; None if there is none, or none that can be read."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.folder / f"{name}{SUFFIX}", framework="np") as file:
                facts = json.loads(file.metadata()[ABOUT])
                return unpack(facts, {key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118
        except (OSError, SafetensorError, KeyError, ValueError):
            return None


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:  # gone meanwhile
        return 0


_Arrays = dict[str, Any]


def pack(sample: Sample) -> tuple[_Arrays, dict[str, Any]]:
    """``sample`` as arrays by name and JSON-able facts."""
    arrays: _Arrays = {}
    inputs = {}
    for name, value in sample.inputs.items():
        kind = type(value).__name__
        inputs[name] = {"kind": kind, **_PARTS[type(value)](value, f"{name}/", arrays)}
    return arrays, {"id": sample.id, "inputs": inputs}


def unpack(facts: Mapping[str, Any], arrays: Mapping[str, Any]) -> Sample:
    """What :func:`pack` packed."""
    inputs = {name: _MAKERS[told["kind"]](told, f"{name}/", arrays) for name, told in facts["inputs"].items()}
    return Sample(facts["id"], inputs)


def _add(arrays: _Arrays, prefix: str, **parts: Any) -> None:
    arrays.update({prefix + key: np.ascontiguousarray(array) for key, array in parts.items() if array is not None})


def _pack_audio(value: Audio, prefix: str, arrays: _Arrays) -> dict[str, Any]:
    _add(arrays, prefix, samples=value.samples)
    return {"rate": value.rate}


def _pack_frames(value: Frames, prefix: str, arrays: _Arrays) -> dict[str, Any]:
    _add(arrays, prefix, images=value.images, times=value.times, quality=value.quality)
    return {}


def _pack_text(value: Text, prefix: str, arrays: _Arrays) -> dict[str, Any]:
    return {"content": value.content, "language": value.language, "machine_made": value.machine_made}


def _pack_derived(value: Derived, prefix: str, arrays: _Arrays) -> dict[str, Any]:
    _add(arrays, prefix, **value.arrays)
    return {"info": dict(value.info)}


def _pack_missing(value: Missing, prefix: str, arrays: _Arrays) -> dict[str, Any]:
    return {"reason": value.reason}


_PARTS: dict[type[Any], Callable[[Any, str, _Arrays], dict[str, Any]]] = {
    Audio: _pack_audio,
    Frames: _pack_frames,
    Text: _pack_text,
    Derived: _pack_derived,
    Missing: _pack_missing,
}


def _below(prefix: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}


_MAKERS: dict[str, Callable[[Mapping[str, Any], str, Mapping[str, Any]], Any]] = {
    "Audio": lambda told, prefix, arrays: Audio(arrays[f"{prefix}samples"], told["rate"]),
    "Frames": lambda told, prefix, arrays: Frames(
        arrays[f"{prefix}images"], arrays[f"{prefix}times"], arrays.get(f"{prefix}quality")
    ),
    "Text": lambda told, prefix, arrays: Text(told["content"], told["language"], told["machine_made"]),
    "Derived": lambda told, prefix, arrays: Derived(_below(prefix, arrays), told["info"]),
    "Missing": lambda told, prefix, arrays: Missing(told["reason"]),
}
