"""Frames of one's own: ragged lists [T_i, D] and padded arrays [N, T, D] -> the frames of a stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from mer_core.errors import DataError
from mer_core.feature_set import StreamData, StreamInfo
from mer_core.frame_pooling import bins_of, keeps_frames
from mer_core.frames import bin_frames
from mer_core.pooling import Pooling, pool_frames, pooled_dim

RAGGED = "Give arrays [T, D] of one width, None or an empty one where a clip lacks the stream."


def holds_frames(given: Any) -> bool:
    """Whether ``given`` is a list of arrays with a time axis each, or an array [N, T, D]."""
    if isinstance(given, np.ndarray):
        return given.ndim == 3
    if isinstance(given, Sequence) and not isinstance(given, str):
        return any(_depth(one) == 2 for one in given)
    return getattr(given, "ndim", 0) == 3


def _depth(given: Any) -> int:
    """Axes of an array, or of nested lists by their first items."""
    if hasattr(given, "ndim"):
        return int(given.ndim)
    listed = isinstance(given, Sequence) and not isinstance(given, str)
    return 1 + (_depth(given[0]) if len(given) else 0) if listed else 0


def frames_given(info: StreamInfo, given: Any, mask: Any = None) -> StreamData:
    """A stream of frames; ``info`` has its name and modality.

    Args:
        given: [N, T, D], whose rows of NaN are padding, or N arrays [T_i, D], of which None and empty ones lack the
            stream.
        mask: bool [N], which clips have the stream, or [N, T], which of the frames are there.

    Raises:
        DataError: naming the stream and the row.
    """
    whole = isinstance(given, np.ndarray) or getattr(given, "ndim", 0) == 3
    return _padded(info, given, mask) if whole else _ragged(info, list(given), mask)


def _padded(info: StreamInfo, given: Any, mask: Any) -> StreamData:
    values = _floats(info.name, given)
    count, longest, dim = values.shape
    if 0 in values.shape:
        raise DataError(f"stream {info.name!r} has the shape [{count}, {longest}, {dim}].", "Give at least one frame.")
    there = ~np.isnan(values).all(axis=2)
    asked = _mask(info.name, mask, (count, longest))
    if mask is not None:
        hollow = np.argwhere(asked & ~there) if np.ndim(mask) == 2 else np.argwhere(asked.any(1) & ~there.any(1))
        if len(hollow):
            where = ", frame ".join(map(str, hollow[0]))
            raise DataError(
                f"stream {info.name!r}, row {where}: it counts as present and holds no number.", "Clear its bit."
            )
    there &= asked
    info = replace(info, dim=dim, level="frame")
    return _in_place(info, values, there) or _packed(info, values[there], there.sum(axis=1))


def _in_place(info: StreamInfo, values: NDArray[Any], there: NDArray[np.bool_]) -> StreamData | None:
    """The frames where they lie, without a copy; None where a clip has gaps among its own."""
    count, longest, dim = values.shape
    counts, first = there.sum(axis=1), there.argmax(axis=1)
    last = longest - there[:, ::-1].argmax(axis=1)
    if (counts[counts > 0] != (last - first)[counts > 0]).any():
        return None
    starts = np.arange(count) * longest + first
    offsets = np.stack([starts, starts + counts], axis=1).astype(np.int64)
    return StreamData(info, values.reshape(count * longest, dim), counts > 0, offsets)


def _packed(info: StreamInfo, values: NDArray[Any], counts: NDArray[Any]) -> StreamData:
    ends = np.cumsum(counts, dtype=np.int64)
    return StreamData(info, values, counts > 0, np.stack([ends - counts, ends], axis=1))


def _ragged(info: StreamInfo, given: list[Any], mask: Any) -> StreamData:
    found = [_clip(info.name, row, one) for row, one in enumerate(given)]
    widths = [(row, one.shape[1]) for row, one in enumerate(found) if len(one)]
    if not widths:
        raise DataError(f"stream {info.name!r}: no clip has a frame.", RAGGED)
    first, dim = widths[0]
    odd = next(((row, width) for row, width in widths if width != dim), None)
    if odd:
        what = f"stream {info.name!r}: row {odd[0]} has {odd[1]} columns and row {first} has {dim}."
        raise DataError(what, RAGGED)
    asked = _mask(info.name, mask, (len(found), 1))[:, 0]
    kept = [one if bit else one[:0] for one, bit in zip(found, asked, strict=True)]
    hollow = [row for row, one in enumerate(kept) if mask is not None and asked[row] and not len(one)]
    if hollow:
        what = f"stream {info.name!r}, row {hollow[0]}: it counts as present and holds no frame."
        raise DataError(what, "Clear its bit.")
    values = np.concatenate([one for one in kept if len(one)] or [np.zeros((0, dim), np.float32)])
    return _packed(replace(info, dim=dim, level="frame"), values, np.asarray([len(one) for one in kept]))


def _clip(name: str, row: int, given: Any) -> NDArray[Any]:
    """One clip's frames [T, D], without rows of NaN."""
    if given is None or np.size(given) == 0:
        return np.zeros((0, 0), np.float32)
    values: NDArray[Any] = _floats(name, given, f", row {row}")
    if np.ndim(values) != 2:
        shape = ", ".join(map(str, np.shape(values)))
        raise DataError(f"stream {name!r}, row {row}: an array [{shape}], where others have frames [T, D].", RAGGED)
    there = ~np.isnan(values).all(axis=1)
    return values if there.all() else values[there]


def _floats(name: str, given: Any, where: str = "") -> NDArray[Any]:
    """As float32; half precision stays as it is."""
    try:
        found = np.asarray(given)
        return found if found.dtype == np.float16 else np.asarray(found, np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(f"stream {name!r}{where} cannot be read as numbers: {error}.", "Give numbers.") from None


def _mask(name: str, mask: Any, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """bool [N, T]."""
    if mask is None:
        return np.ones(shape, np.bool_)
    found = np.asarray(mask)
    if found.shape not in ((shape[0],), shape) or not np.isin(found, (0, 1)).all():
        said = ", ".join(map(str, found.shape))
        what = f"stream {name!r} has {shape[0]} clips, and its presence is {found.dtype} [{said}]."
        raise DataError(what, "Give one True or False per clip, or per frame.")
    bits: NDArray[np.bool_] = found.astype(np.bool_)
    return np.broadcast_to(bits if bits.ndim == 2 else bits[:, None], shape).copy()


def pooled_frames(data: StreamData, pooling: str) -> StreamData:
    """``data`` with its frames pooled; as it is where ``pooling`` is empty or where it has no frames."""
    if data.offsets is None or not pooling:
        return data
    spans = np.where(data.present[:, None], data.offsets, 0).tolist()
    clips = [data.values[start:end] for start, end in spans]
    if keeps_frames(pooling):
        bins = bins_of(pooling)
        if bins is None:
            return data
        kept = [bin_frames(one, bins) for one in clips]
        return _packed(data.info, np.concatenate(kept), np.asarray([len(one) for one in kept]))
    dim = pooled_dim(data.info.dim, cast("Pooling", pooling))
    values = np.zeros((len(clips), dim), np.float32)
    for row in np.flatnonzero(data.present):
        values[row] = pool_frames(clips[row], cast("Pooling", pooling))
    return StreamData(replace(data.info, dim=dim, level="clip"), values, data.present)


def bits_within(
    lengths: NDArray[Any], bits: NDArray[Any] | None, shape: tuple[int, ...], name: str
) -> NDArray[np.bool_]:
    """bool [N, T]: the first ``lengths`` [N] frames of each clip that has the stream.

    Raises:
        DataError: lengths that are no whole numbers from 0 to T.
    """
    count, longest = shape
    found = np.asarray(lengths)
    whole = found.shape == (count,) and found.dtype.kind in "iufb" and bool((found == np.round(found)).all())
    wrong = np.flatnonzero((found < 0) | (found > longest)) if whole else np.zeros(1, np.int64)
    if not whole or len(wrong):
        said = f"row {wrong[0]} of {name!r} is {found[wrong[0]]}" if whole else f"{name!r} is not one number per clip"
        raise DataError(f"{said}.", f"Give {count} whole numbers from 0 to {longest}: how many frames each clip has.")
    within = np.arange(longest) < found.astype(np.int64)[:, None]
    return within if bits is None else within & _mask(name, bits, (count, longest))
