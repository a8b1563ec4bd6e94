"""Frames as MERTools keeps them: ``features/<feature>-FRA/<clip>.npy``, [T, D] each, packed into one mapped file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer_core.data.array_files import load_array
from mer_core.errors import DataError
from mer_core.feature_set import StreamData, StreamInfo
from mer_core.frame_pooling import bins_of, keeps_frames
from mer_core.frames import bin_frames
from mer_core.pooling import pool_frames
from mer_core.spec import digest
from mer_core.store.packs import packed

FRAMES, VECTORS = "-FRA", "-UTT"
"""How MERTools ends the names of folders."""


def holds_frames(files: Sequence[Path]) -> bool:
    """Whether the arrays are rows of frames: their folder's name says so, or it says nothing and one is [T, D]."""
    name = files[0].parent.name if files else ""
    return name.endswith(FRAMES) or (not name.endswith(VECTORS) and any(map(_several, files)))


def _several(file: Path) -> bool:
    found = load_array(file, mapped=True)
    return found.ndim == 2 and 1 not in found.shape


def folder_frames(info: StreamInfo, files: Sequence[Path | None], pooling: str, packs: Path) -> StreamData:
    """A stream whose clips are ``files``, None where a clip has none: their frames, or one vector each.

    Args:
        info: name and modality.
        pooling: what becomes of frames; empty to leave them as they are.
        packs: where the packed frames are kept.

    Raises:
        DataError: naming the file that is no [T, D], or not as wide as the first.
    """
    there = [file for file in files if file is not None]
    dim = _width(there)
    if pooling and not keeps_frames(pooling):
        return _pooled(info, files, pooling)
    bins = bins_of(pooling) if pooling else None

    def clips() -> Iterator[NDArray[Any] | None]:
        for file in files:
            yield None if file is None else bin_frames(_frames(file), bins)

    marks = [(file.name, (at := file.stat()).st_size, at.st_mtime_ns) for file in there]
    places = [file is not None for file in files]
    name = digest([str(there[0].parent.resolve()), pooling, marks, places], 32)
    values, offsets = packed(packs, name, clips)
    own = StreamInfo(name=info.name, modality=info.modality, dim=dim, level="frame")
    return StreamData(own, values, offsets[:, 1] > offsets[:, 0], offsets)


def _width(files: Sequence[Path]) -> int:
    """D, the same of all files, none of which is read for it."""
    dim = 0
    for file in files:
        shape = load_array(file, mapped=True).shape
        if len(shape) not in (1, 2) or 0 in shape[-1:]:
            shown = ", ".join(map(str, shape))
            raise DataError(f"{file} is an array [{shown}], not frames [T, D].", "Write it again as [T, D].")
        dim = dim or shape[-1]
        if shape[-1] != dim:
            what = f"{file} has {shape[-1]} columns, and {files[0].name} has {dim}."
            raise DataError(what, "Extract both with one model.")
    return dim


def _frames(file: Path) -> NDArray[Any]:
    """[T, D] without rows of NaN; a vector is one frame."""
    values = np.atleast_2d(load_array(file, mapped=True))
    there = ~np.isnan(values).all(axis=1)
    return values if there.all() else values[there]


def _pooled(info: StreamInfo, files: Sequence[Path | None], pooling: str) -> StreamData:
    found = [None if file is None else _frames(file) for file in files]
    rows = [pool_frames(np.asarray(one), pooling) if one is not None and len(one) else None for one in found]  # type: ignore[arg-type]
    dim = next((len(row) for row in rows if row is not None), 0)
    values = np.stack([np.zeros(dim, np.float32) if row is None else row for row in rows])
    own = StreamInfo(name=info.name, modality=info.modality, dim=dim)
    return StreamData(own, values, np.asarray([row is not None for row in rows]))
