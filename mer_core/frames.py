"""Clips of a stream, be it one vector or a row of frames for each: taking some, and making batches. numpy only."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer_core.errors import DataError
from mer_core.feature_set import StreamData, StreamInfo

Rows = NDArray[np.int64]


def take_clips(data: StreamData, rows: Rows) -> StreamData:
    """Clips ``rows`` of a stream, in that order.

    Vectors are copied. Frames are not: the stream that is returned points at those of ``data``.
    """
    if data.offsets is None:
        return replace(data, values=data.values[rows], present=data.present[rows])
    return replace(data, present=data.present[rows], offsets=data.offsets[rows])


def pad_clips(data: StreamData, rows: Rows) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """A batch as a fusion sees it: values [n, D] and presence [n], or, at frame level, [n, T, D] and [n, T].

    T is that of the longest of these clips, at least 1; what is padded is zero and absent, and so is every frame of a
    clip that lacks the stream.
    """
    present = np.asarray(data.present[rows], np.bool_)
    if data.offsets is None:
        return np.asarray(data.values[rows], np.float32), present
    bounds = offsets_of(data)[rows]
    counts = np.where(present, bounds[:, 1] - bounds[:, 0], 0)
    mask = np.arange(max(1, int(counts.max(initial=1)))) < counts[:, None]
    found = np.zeros((*mask.shape, data.info.dim), np.float32)
    for row, (start, count) in enumerate(zip(bounds[:, 0].tolist(), counts.tolist(), strict=True)):
        found[row, :count] = data.values[start : start + count]
    return found, mask


def frames_of(data: StreamData, rows: Rows) -> Rows:
    """Where the frames of clips ``rows`` that are present lie in ``data.values``; of vectors, the rows themselves."""
    there: Rows = np.asarray(rows, np.int64)[np.asarray(data.present[rows], bool)]
    if data.offsets is None:
        return there
    spans = [np.arange(start, end, dtype=np.int64) for start, end in offsets_of(data)[there].tolist()]
    found: Rows = np.concatenate(spans) if spans else there[:0]
    return found


def offsets_of(data: StreamData) -> NDArray[np.int64]:
    """[N, 2] where each clip's frames begin and end.

    Raises:
        DataError: the stream says that it has frames, and not where they are.
    """
    found: Any = data.offsets
    if found is None or np.shape(found) != (len(data.present), 2):
        what = f"{data.info.name}: the offsets of its frames have the shape {np.shape(found)}."
        raise DataError(what, f"Give [{len(data.present)}, 2]: where each clip's frames begin and end.")
    return np.asarray(found, np.int64)


def as_level(data: StreamData, info: StreamInfo) -> StreamData:
    """``data`` at the level of ``info``: where frames are read, a vector is a row of one frame.

    Raises:
        DataError: frames, where vectors are read.
    """
    if data.offsets is not None or info.level == "clip":
        if data.offsets is not None and info.level == "clip":
            what = f"{info.name} has frames, and one vector per clip is read of it."
            raise DataError(what, "Pool its frames as they were pooled for training.")
        return data
    ends = np.arange(1, len(data.present) + 1)
    return replace(data, info=replace(data.info, level="frame"), offsets=np.stack([ends - 1, ends], axis=1))


def clip_means(data: StreamData, rows: Rows) -> NDArray[np.float32]:
    """One vector [n, D] for each of the clips ``rows``: its own, or the mean of its frames; zero for an absent one."""
    if data.offsets is None:
        return np.asarray(data.values[rows], np.float32)
    found = np.zeros((len(rows), data.info.dim), np.float32)
    for place, row in enumerate(np.asarray(rows).tolist()):
        if data.present[row]:
            start, end = data.offsets[row]
            found[place] = np.asarray(data.values[start:end], np.float64).mean(axis=0)
    return found


def bin_frames(values: NDArray[Any], bins: int | None) -> NDArray[Any]:
    """Frames [T, D] averaged into at most ``bins`` bins [min(T, bins), D]; None leaves them as they are.

    Bin b of B holds the frames from floor(b T / B) to before floor((b + 1) T / B): sizes differ by one at most. A clip
    of no more than B frames keeps its own. A cell that is not finite makes that of its bin so.
    """
    if bins is None or len(values) <= bins:
        return values
    edges = np.arange(bins + 1) * len(values) // bins
    with np.errstate(all="ignore"):
        sums = np.add.reduceat(np.asarray(values, np.float64), edges[:-1], axis=0)
        return np.asarray(sums / np.diff(edges)[:, None], np.float32)
