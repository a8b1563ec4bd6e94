"""The frames of many clips in one file that is mapped into memory: what a fusion that reads frames is trained on.

A pack is a copy, made of frames that lie elsewhere, and made again when it is asked for and gone. It consists of
``NAME.npy``, frames [S, D] of one clip after the other, and ``NAME.offsets.npy``, int64 [N, 2], where those of each
clip begin and end. Its name digests what it was made of; it is written under another name, synced and renamed.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mer_core.errors import StoreError
from mer_core.frame_pooling import bins_of
from mer_core.frames import bin_frames
from mer_core.spec import digest
from mer_core.store.shards import TEMPORARY, as_half
from mer_core.types import Features

if TYPE_CHECKING:
    from mer_core.store.table import Table

FOLDER = "packed"
FORMAT = 1
UNUSED_SECONDS = 86400.0
"""A pack that nobody opened for so long may be removed."""
_HEADER = 128

Pack = tuple[NDArray[Any], NDArray[np.int64]]
"""Frames [S, D], float16 or float32, and offsets [N, 2]; both ends are the same where a clip has none."""
Clips = Callable[[], Iterable["NDArray[Any] | None"]]
"""Called for the frames [T, D] of each clip in turn, None where it has none; more than once perhaps."""


def pack_table(table: Table, digests: Sequence[str | None], pooling: str) -> Pack:
    """The frames of the clips ``digests``, pooled to ``frames`` or at most ``frames:N`` of them; a vector is one frame.

    Raises:
        StoreError: of some clip only statistics are stored, widths differ, or the disk is full.
    """
    bins = bins_of(pooling)
    name = digest([FORMAT, table.folder.name, pooling, list(digests)], 32)

    def clips() -> Iterator[NDArray[Any] | None]:
        for one in digests:
            answer = table.get(one) if one else None
            frames = np.atleast_2d(answer.values) if isinstance(answer, Features) else None
            yield None if frames is None else bin_frames(frames, bins)

    return packed(table.folder / FOLDER, name, clips)


def packed(folder: Path, name: str, clips: Clips) -> Pack:
    """The pack ``name`` of ``folder``, made of ``clips`` if it is not there; its frames are mapped, not read.

    Raises:
        StoreError: clips differ in width, or the disk is full.
    """
    found = _opened(folder, name)
    if found is not None:
        return found
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not _write(folder, name, clips, np.dtype(np.float16)):
            _write(folder, name, clips, np.dtype(np.float32))
    except OSError as error:
        hint = "Free some disk, or choose another --cache, and run the same command again: what is stored is kept."
        what = f"frames cannot be written to {folder}: {error.strerror or error}."
        raise StoreError(what, hint) from None
    found = _opened(folder, name)
    if found is None:
        raise StoreError(f"{folder / name}.npy has gone again.", "Run the same command again.")
    return found


def litter(folder: Path) -> list[Path]:
    """Packs in ``folder`` that were not opened lately, and what dead writers left."""
    now = time.time()
    return [file for file in folder.glob("*.npy") if now - file.stat().st_mtime > UNUSED_SECONDS]


def _opened(folder: Path, name: str) -> Pack | None:
    """The pack, marked as used; None if it is not there, or cut short."""
    files = folder / f"{name}.npy", folder / f"{name}.offsets.npy"
    try:
        offsets = np.load(files[1])
        values = np.load(files[0], mmap_mode="r") if files[0].stat().st_size > _HEADER else np.load(files[0])
        for file in files:
            os.utime(file)
    except (OSError, ValueError):
        return None
    return values, offsets


def _write(folder: Path, name: str, clips: Clips, dtype: np.dtype[Any]) -> bool:
    """Write the pack in ``dtype``; False, and nothing written, if half precision is not exact enough for a clip."""
    marks = secrets.token_hex(6)
    parts = [folder / f"{TEMPORARY}{marks}-{kind}.npy" for kind in ("values", "offsets")]
    try:
        with open(parts[0], "xb") as file:
            ends = _write_frames(file, clips, dtype)
        if ends is None:
            return False
        with open(parts[1], "xb") as file:
            np.save(file, np.stack([np.concatenate([[0], ends[:-1]]), ends], axis=1))
            _sync(file)
        os.replace(parts[1], folder / f"{name}.offsets.npy")
        os.replace(parts[0], folder / f"{name}.npy")
        return True
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


def _write_frames(file: IO[bytes], clips: Clips, dtype: np.dtype[Any]) -> NDArray[np.int64] | None:
    """Where each clip's frames end; None if one of them does not fit into half precision."""
    ends, end, dim = list[int](), 0, 0
    file.write(_header(dtype, (0, 0)))
    for frames in clips():
        if frames is not None and len(frames):
            if dim and frames.shape[1] != dim:
                what = f"one clip has frames of {dim} columns, and another of {frames.shape[1]}."
                raise StoreError(what, "Run: mer features prune")
            fitting = frames if frames.dtype == dtype else as_half(frames) if dtype == np.float16 else frames
            if dtype == np.float16 and fitting.dtype != dtype:
                return None
            file.write(np.ascontiguousarray(fitting, dtype).tobytes())
            dim, end = frames.shape[1], end + len(frames)
        ends.append(end)
    file.seek(0)
    file.write(_header(dtype, (end, dim)))
    _sync(file)
    return np.asarray(ends, np.int64)


def _header(dtype: np.dtype[Any], shape: tuple[int, int]) -> bytes:
    """A header of .npy that is as long for any shape."""
    text = repr({"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape})
    start = npy.magic(1, 0)
    room = _HEADER - len(start) - 2
    return start + room.to_bytes(2, "little") + text.ljust(room - 1).encode() + b"\n"


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())
