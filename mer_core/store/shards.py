"""Shards: the files a feature store consists of, each a few hundred clips in one safetensors file.

A shard describes itself: its header lists the clip digests and what kind of answer each has. Its
name is unique, it is written under a temporary name, synced and renamed, and it never changes.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from safetensors.numpy import save

from mer_core.errors import StoreError
from mer_core.pooling import frame_statistics
from mer_core.store.digests import derived_digest
from mer_core.types import Derived, Features, Missing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mer_core.aliases import FloatArray

SUFFIX = ".safetensors"
TEMPORARY = ".tmp-"
FORMAT = "1"

Kind = Literal["frame", "clip", "missing", "derived"]


@dataclass(frozen=True, slots=True)
class Row:
    """One clip's answer in the form it is stored in.

    ``mean`` and ``std`` [D] are over the ``count`` frames (:func:`mer_core.pooling.frame_statistics`);
    a clip-level vector is its own mean.
    ``arrays`` are the frames where they are kept, or a derived artefact's arrays.
    """

    digest: str
    kind: Kind
    count: int = 0
    mean: FloatArray | None = None
    std: FloatArray | None = None
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes of numbers in the row."""
        vectors = [v for v in (self.mean, self.std) if v is not None]
        return sum(a.nbytes for a in (*vectors, *self.arrays.values())) + 128


@dataclass(frozen=True, slots=True)
class RowInfo:
    """What a shard's header says of one row.

    ``at`` is its place in the shard's statistics, ``number`` its place among all rows; ``facts``
    hold the reason of a missing one, or an artefact's info and content digest.
    """

    digest: str
    kind: Kind
    number: int
    at: int
    arrays: tuple[str, ...]
    facts: Mapping[str, Any]


def make_row(digest: str, answer: Features | Missing | Derived, keep_frames: bool = False) -> Row:
    """Reduce an answer to what is stored of it."""
    if isinstance(answer, Missing):
        return Row(digest, "missing", facts={"reason": answer.reason, "content": derived_digest(answer)})
    if isinstance(answer, Derived):
        facts = {"info": dict(answer.info), "content": derived_digest(answer)}
        return Row(digest, "derived", arrays=answer.arrays, facts=facts)
    values = np.asarray(answer.values, dtype=np.float32)
    if answer.times is None:
        return Row(digest, "clip", 1, values, np.zeros_like(values))
    frames = {"values": as_half(values), "times": np.asarray(answer.times, np.float64)} if keep_frames else {}
    return Row(digest, "frame", *frame_statistics(values), frames)


def as_half(values: FloatArray) -> NDArray[Any]:
    """float16 where every cell is finite and keeps 3 digits of its column's peak, else unchanged."""
    with np.errstate(over="ignore", invalid="ignore"):
        half = values.astype(np.float16)
        error = np.abs(half.astype(np.float32) - values)
        fits = np.isfinite(half).all() and bool((error <= np.abs(values).max(axis=0) * 1e-3).all())
    return half if fits else values


def write_shard(folder: Path, rows: Sequence[Row]) -> Path:
    """Write ``rows`` as a new shard into ``folder``; after the return it survives a power cut.

    Raises:
        StoreError: the disk is full, or the folder cannot be written.
    """
    name = f"{time.time_ns():020d}-{secrets.token_hex(6)}{SUFFIX}"
    temporary = folder / f"{TEMPORARY}{name}"
    try:
        with open(temporary, "xb") as file:
            file.write(_pack(rows))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, folder / name)
        _sync_folder(folder)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StoreError(
            f"features cannot be written to {folder}: {error.strerror or error}.",
            "Free some disk, or choose another --cache, and run the same command again: what is stored is kept.",
        ) from None
    return folder / name


def _pack(rows: Sequence[Row]) -> bytes:
    tensors: dict[str, NDArray[Any]] = {}
    measured = [row for row in rows if row.mean is not None]
    if measured:
        tensors["count"] = np.asarray([row.count for row in measured], dtype=np.int64)
        tensors["mean"] = np.stack([row.mean for row in measured if row.mean is not None])
        tensors["std"] = np.stack([row.std for row in measured if row.std is not None])
    for number, row in enumerate(rows):
        for name, array in row.arrays.items():
            tensors[f"{number}/{name}"] = np.ascontiguousarray(array).reshape(array.shape)
    listed = [[row.digest, row.kind, sorted(row.arrays), row.facts] for row in rows]
    packed: bytes = save(tensors, metadata={"mer-shard": FORMAT, "rows": json.dumps(listed, ensure_ascii=False)})
    return packed


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # pragma: no cover
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_rows(path: Path) -> list[RowInfo]:
    """The rows of a shard, from its header alone.

    Raises:
        FileNotFoundError: it has gone (its writer replaced it by a longer one, or it was pruned).
        StoreError: the file is cut short, damaged, or of another format.
    """
    try:
        with open(path, "rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if size > os.fstat(file.fileno()).st_size:
                raise ValueError("cut short")
            header = json.loads(file.read(size))
            length = 8 + size + max((t["data_offsets"][1] for k, t in header.items() if k != "__metadata__"), default=0)
            if os.fstat(file.fileno()).st_size != length:
                raise ValueError("cut short")
        facts = header["__metadata__"]
        if facts["mer-shard"] != FORMAT:
            raise ValueError(f"of format {facts['mer-shard']}")
        return list(_number(json.loads(facts["rows"])))
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"the shard {path} is damaged ({error}).", "Run: mer features prune") from None


def _number(listed: Sequence[Any]) -> list[RowInfo]:
    found, at = [], 0
    for number, (digest, kind, arrays, facts) in enumerate(listed):
        found.append(RowInfo(digest, kind, number, at, tuple(arrays), facts))
        at += kind in ("frame", "clip")
    return found
