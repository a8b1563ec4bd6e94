"""Published checkpoints, read tensor by tensor: safetensors or torch's pickles, in one file or in shards."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mer_core.plugin import PluginError
from mer_core.weights import refetch
from mer_plugins.damage import unreadable

LAYOUTS = ("model.safetensors.index.json", "model.safetensors", "pytorch_model.bin.index.json", "pytorch_model.bin")
"""What a folder may hold, the first one found is read."""

BROKEN = (OSError, RuntimeError, ValueError, KeyError, EOFError, UnpicklingError, SafetensorError)


class Checkpoint:
    """The weights in a folder. Files are mapped into memory, and only while something of them is in use.

    Raises:
        PluginError: there are none, or a shard of them is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files = _files(folder)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every weight, by name, from the files' headers.

        Raises:
            PluginError: a file cannot be read.
        """
        found: dict[str, tuple[int, ...]] = {}
        for file in sorted(set(self._files.values())):
            found |= _shapes(file)
        return found

    def read(self, names: Iterable[str]) -> dict[str, Tensor]:
        """Some weights, mapped into memory: as long as one of them lives, so does the mapping of its file.

        Raises:
            PluginError: a file cannot be read, or lacks the weight.
        """
        wanted: dict[Path, list[str]] = {}
        for name in names:
            wanted.setdefault(self._file(name), []).append(name)
        found: dict[str, Tensor] = {}
        for file, inside in wanted.items():
            found |= _read(file, inside)
        return found

    def require(self, expected: Mapping[str, tuple[int, ...]]) -> None:
        """Refuse a checkpoint without all of these weights.

        Raises:
            PluginError: naming the first that is not there or has another shape.
        """
        shapes = self.shapes()
        for name, shape in expected.items():
            if shapes.get(name) != shape:
                there = f"has the shape {list(shapes[name])}, not {list(shape)}" if name in shapes else "is not there"
                raise PluginError(
                    f"{self.folder}: the weight {name} {there}.",
                    f"It is of another architecture than its config.json says, or not complete. {refetch(self.folder)}",
                )

    def _file(self, name: str) -> Path:
        if len(set(self._files.values())) == 1:
            return next(iter(self._files.values()))
        if name not in self._files:
            raise PluginError(f"{self.folder}: the index of the shards has no weight {name}.", "Name other weights.")
        return self._files[name]


def _files(folder: Path) -> dict[str, Path]:
    """The file of each weight; one file without an index stands under the name ``""``."""
    name = next((one for one in LAYOUTS if (folder / one).exists()), None)
    if name is None:
        raise PluginError(f"{folder} holds no weights ({', '.join(LAYOUTS)}).", refetch(folder))
    if not name.endswith(".index.json"):
        return {"": folder / name}
    try:
        index = json.loads((folder / name).read_text(encoding="utf-8"))["weight_map"]
    except BROKEN as error:
        raise unreadable(folder / name, error) from error
    lost = sorted({file for file in index.values() if not (folder / file).exists()})
    if lost:
        raise PluginError(f"{folder}: the shard {lost[0]} is missing.", refetch(folder))
    return {weight: folder / file for weight, file in index.items()}


def _read(file: Path, names: list[str]) -> dict[str, Tensor]:
    try:
        if file.suffix == ".safetensors":
            with safe_open(file, framework="pt") as opened:
                return {name: opened.get_tensor(name) for name in names}
        held = _unpickled(file)
        return {name: held[name] for name in names}
    except BROKEN as error:
        raise unreadable(file, error) from error


def _shapes(file: Path) -> dict[str, tuple[int, ...]]:
    try:
        if file.suffix == ".safetensors":
            with safe_open(file, framework="pt") as opened:
                return {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
        return {name: tuple(value.shape) for name, value in _unpickled(file).items()}
    except BROKEN as error:
        raise unreadable(file, error) from error


def _unpickled(file: Path) -> dict[str, Any]:
    """A pickled shard: its names are read, its tensors only mapped. Nothing in it is executed."""
    held: dict[str, Any] = torch.load(file, map_location="cpu", mmap=True, weights_only=True)
    return held
