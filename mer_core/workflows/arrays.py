"""Features and labels of one's own -> the feature set that a trainer or a model sees."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import replace
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mer_core.data.vocabulary import class_order
from mer_core.data.votes import majority, shares
from mer_core.errors import DataError, UsageError
from mer_core.feature_set import FeatureSet, StreamData, StreamInfo, TargetSpec, stream_order
from mer_core.frames import offsets_of
from mer_core.spec import NAME_PATTERN
from mer_core.types import SPLITS
from mer_core.workflows.features import UNLABELLED
from mer_core.workflows.frame_arrays import frames_given, holds_frames
from mer_core.workflows.target_arrays import given_values, given_votes

_BLOCK = 4096
"""Rows that are looked through at a time."""

Values = ArrayLike | Sequence[Any] | tuple[Any, ArrayLike] | StreamData
"""One stream: numbers [N, D], or them with bool [N] that says which clips have it, or mer's own. With frames:
[N, T, D], or N arrays [T_i, D]."""


def compose(
    streams: Mapping[str, Values],
    labels: Iterable[str | int | None] | None = None,
    *,
    groups: Iterable[str | int | None] | None = None,
    splits: Iterable[str | None] | None = None,
    ids: Iterable[str | int] | None = None,
    classes: Sequence[str] | None = None,
    votes: ArrayLike | None = None,
    values: Mapping[str, ArrayLike | Sequence[float | None]] | None = None,
) -> FeatureSet:
    """A feature set of N clips from arrays.

    Args:
        streams: by name, ``modality:alias`` or just ``modality``, numbers [N, D]. A clip whose row is
            all NaN lacks the stream; so does one whose bit is False in a pair ``(values, present)``.
            Single NaN are imputed when a model is trained. Streams of ``extract(...).features.table``
            can be mixed in. Frames: a list of N arrays [T_i, D] (None where a clip has none), or [N, T, D] whose
            rows of NaN are padding, alone or with bool [N, T] that says which frames there are.
        labels: [N] text or whole numbers; None, "" and -1 are unlabelled. Leave it out to predict.
        groups: [N] speaker, or whatever else must not be in both parts of a fold; None or "" if unknown.
        splits: [N] ``train``, ``val``, ``test`` or ``unlabelled``; None or "" is ``train``.
        ids: [N] names of the clips, each once; "0", "1" ... by default.
        classes: their order; labels that are numbers count them from 0 (or name them, where the classes
            are numbers too). By default the labels that occur, numbers by size.
        votes: [N, C] how many raters chose each class (or what share of them), a row of zeros or NaN where nobody
            voted: learnt from in place of labels. Without ``labels``, these are the majority of the votes.
        values: continuous targets by name, [N] each, NaN where unknown: ``{"valence": numbers}``.

    Raises:
        DataError, UsageError: naming the stream, the shapes and the row.
    """
    if not streams:
        raise UsageError("there is no stream to compose.", 'Give at least one: compose({"speech": values}, labels).')
    table = {name: _stream(name, streams[name]) for name in sorted(streams, key=stream_order)}
    count = _common_length(table)
    voted = None if votes is None else given_votes(votes, classes, count)
    found = None if labels is None else _column("labels", labels, count)
    if labels is None and voted is not None:
        found = majority("votes", voted)[0]
    if voted is not None and classes is None:
        classes = _counted(found or [], voted.shape[1])
    targets, indices = _targets(found, classes, count)
    numbers = given_values(values or {}, count)
    parts = _splits(splits, count)
    hidden = np.asarray([part == "unlabelled" for part in parts or [None] * count], dtype=bool)
    return FeatureSet(
        ids=_ids(ids, count),
        targets=replace(targets, values=tuple(values or {}), votes=voted is not None),
        labels=np.where(hidden, UNLABELLED, indices),
        table=table,
        groups=_groups(groups, count),
        splits=parts,
        votes=None if voted is None else np.where(hidden[:, None], np.nan, shares(voted)),
        values=None if numbers is None else np.where(hidden[:, None], np.nan, numbers),
    )


def _counted(labels: Sequence[Any], columns: int) -> Sequence[str]:
    """Classes that are called by number, as many as there are columns of votes.

    Raises:
        UsageError: labels are text, so that nobody knows which column is which.
    """
    if any(isinstance(one, str) for one in labels):
        raise UsageError("votes have columns, and labels are text.", "Name the columns: classes=[...].")
    return [str(column) for column in range(columns)]


def _stream(name: str, given: Values) -> StreamData:
    modality, colon, alias = name.partition(":")
    if not all(NAME_PATTERN.fullmatch(part) for part in ([modality, alias] if colon else [modality])):
        raise UsageError(
            f"{name!r} is no name of a stream.",
            "Write modality:alias or modality, in a-z, 0-9 and dashes: speech:mine.",
        )
    info = StreamInfo(name=name, modality=modality, dim=0)
    if isinstance(given, StreamData) and given.offsets is not None:
        offsets_of(given)
        return replace(given, info=replace(info, dim=given.values.shape[1], level="frame"))
    values, mask = given if isinstance(given, tuple) and len(given) == 2 else (given, None)
    if not isinstance(values, StreamData) and holds_frames(values):
        return frames_given(info, values, mask)
    values, present = _parts(name, given)
    return StreamData(replace(info, dim=values.shape[1]), values, present)


def _parts(name: str, given: Values) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    if isinstance(given, StreamData):
        return _numbers(name, given.values), _bits(name, given.present, len(given.values))
    if not (isinstance(given, tuple) and len(given) == 2):
        values = _numbers(name, given)
        return values, ~_empty(values)
    values = _numbers(name, given[0])
    present = _bits(name, given[1], len(values))
    hollow = np.flatnonzero(present & _empty(values))
    if len(hollow):
        raise DataError(
            f"stream {name!r}, row {hollow[0]}: it counts as present and holds no number.", "Clear its bit."
        )
    return values, present


def _empty(values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """bool [N]: nothing but NaN. Block after block, as the values may be a file larger than memory."""
    blocks = [values[start : start + _BLOCK] for start in range(0, len(values), _BLOCK)]
    return np.concatenate([np.isnan(block).all(axis=1) for block in blocks])


def _numbers(name: str, given: Any) -> NDArray[np.float32]:
    try:
        with np.errstate(over="ignore"):
            found = np.asarray(given, dtype=np.float32)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(
            f"stream {name!r} cannot be read as numbers: {_odd_row(given) or error}.", "Give an array [N, D]."
        ) from None
    if found.ndim != 2 or 0 in found.shape:
        raise DataError(
            f"stream {name!r} has the shape {_shape(found)}, not [N, D]: one row per clip.", _reshaping(found)
        )
    return found


def _reshaping(found: NDArray[np.float32]) -> str:
    if 0 in found.shape:
        return "Give at least one clip and one column."
    return "Write values[:, None] for one number per clip." if found.ndim == 1 else "Reshape it."


def _odd_row(given: Any) -> str:
    """The first row of nested lists that is not as long as row 0."""
    rows = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else []
    sizes = [len(row) if isinstance(row, Sized) else 1 for row in rows]
    odd = next((row for row, size in enumerate(sizes) if size != sizes[0]), None)
    return "" if odd is None else f"row {odd} has {sizes[odd]} columns and row 0 has {sizes[0]}"


def _bits(name: str, given: ArrayLike, count: int) -> NDArray[np.bool_]:
    found = np.asarray(given)
    if found.shape != (count,) or not np.isin(found, (0, 1)).all():
        raise DataError(
            f"stream {name!r} has {count} rows, and its presence is {found.dtype} {_shape(found)}.",
            "Give one True or False per row.",
        )
    return found.astype(np.bool_)


def _shape(found: NDArray[Any]) -> str:
    return f"[{', '.join(map(str, found.shape))}]"


def _common_length(table: Mapping[str, StreamData]) -> int:
    first, *others = table
    for name in others:
        if len(table[name].present) != len(table[first].present):
            shapes = f"{first!r} is {_said(table[first])}, {name!r} is {_said(table[name])}"
            raise DataError(
                f"the streams have different numbers of clips: {shapes}.",
                "Give every stream one row per clip, all NaN where a clip lacks it.",
            )
    return len(table[first].present)


def _said(data: StreamData) -> str:
    return _shape(data.values) if data.offsets is None else f"frames of {len(data.present)} clips"


def _column(name: str, given: Iterable[Any], count: int) -> list[Any]:
    found = list(given)
    if len(found) != count:
        raise DataError(f"there are {len(found)} {name} for {count} clips.", "Give one per row of the streams.")
    return found


def _targets(
    labels: Sequence[Any] | None, classes: Sequence[str] | None, count: int
) -> tuple[TargetSpec, NDArray[np.int64]]:
    """The classes, and [N] the index of each clip's label among them, -1 where it has none."""
    if classes is not None and len(set(classes)) < len(classes):
        raise UsageError(f"a class is named twice: {', '.join(classes)}.", "Name each one once.")
    found = [_label(row, value) for row, value in enumerate(labels or [None] * count)]
    _refuse_mixture(found)
    if classes is None:
        known = sorted({one for one in found if isinstance(one, int)})
        order: Sequence[str | int] = known or class_order(one for one in found if isinstance(one, str))
    else:
        order = _numbered(classes) if any(isinstance(one, int) for one in found) else classes
    index = {one: place for place, one in enumerate(order)}
    for row, one in enumerate(found):
        if one is not None and one not in index:
            raise DataError(f"row {row}: the label {one!r} is none of the classes.", _choices(classes or ()))
    indices = [UNLABELLED if one is None else index[one] for one in found]
    return TargetSpec(tuple(classes or map(str, order))), np.asarray(indices, dtype=np.int64)


def _numbered(classes: Sequence[str]) -> Sequence[int]:
    """What number stands for each class: its place, or itself where all classes are numbers."""
    return [int(name) for name in classes] if all(map(str.isdecimal, classes)) else range(len(classes))


def _choices(classes: Sequence[str]) -> str:
    return f"Classes are {', '.join(classes)}; numbers count them from 0."


def _label(row: int, value: Any) -> str | int | None:
    """One label; a float that is a whole number counts as one, since gaps make floats of numbers."""
    if value is None or (isinstance(value, Real) and value != value):
        return None
    if isinstance(value, str):
        return str(value) or None
    whole = isinstance(value, Integral) or (isinstance(value, Real) and float(value).is_integer())
    if not whole or isinstance(value, bool) or value < UNLABELLED:
        raise DataError(
            f"row {row}: the label {value!r} is neither text nor a whole number from 0 on.",
            "Use None, '' or -1 where a clip has no label.",
        )
    return None if value == UNLABELLED else int(value)


def _refuse_mixture(labels: Sequence[str | int | None]) -> None:
    first = {type(one): row for row, one in reversed(list(enumerate(labels))) if one is not None}
    if len(first) > 1:
        raise DataError(f"labels are text (row {first[str]}) and numbers (row {first[int]}).", "Use one or the other.")


def _ids(given: Iterable[str | int] | None, count: int) -> tuple[str, ...]:
    found = tuple(map(str, range(count) if given is None else _column("ids", given, count)))
    first: dict[str, int] = {}
    for row, id in enumerate(found):
        if first.setdefault(id, row) != row:
            raise DataError(f"rows {first[id]} and {row} have the same id {id!r}.", "Name each clip once.")
    return found


def _groups(given: Iterable[str | int | None] | None, count: int) -> tuple[str, ...] | None:
    if given is None:
        return None
    found = tuple("" if one is None or one != one else str(one) for one in _column("groups", given, count))
    return found if any(found) else None


def _splits(given: Iterable[str | None] | None, count: int) -> tuple[str | None, ...] | None:
    if given is None:
        return None
    found = tuple(one or None for one in _column("splits", given, count))
    for row, one in enumerate(found):
        if one is not None and one not in SPLITS:
            raise DataError(f"row {row}: there is no split {one!r}.", f"Splits are {', '.join(SPLITS)}.")
    return found if any(found) else None
