"""From stored features to the feature set that a trainer or a model sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mer_core.data.dataset import ClipTable
from mer_core.data.votes import shares
from mer_core.feature_set import FeatureSet, Fold, StreamData, TargetSpec
from mer_core.frames import take_clips
from mer_core.store.room import make_room
from mer_core.types import Clip

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from mer_core.aliases import BoolArray, IntArray

    FloatArray = NDArray[np.float64]

UNLABELLED = -1
BLOCK = 4096
"""Rows that are copied at a time."""


def label_indices(clips: Sequence[Clip], targets: TargetSpec) -> IntArray:
    """[N] index of each clip's label among the classes; -1 where there is none to learn from.

    Clips of the split ``unlabelled`` count as unlabelled even if the manifest holds their labels.
    """
    index = {name: position for position, name in enumerate(targets.classes)}
    found = [UNLABELLED if c.split == "unlabelled" else index.get(c.label or "", UNLABELLED) for c in clips]
    return np.asarray(found, dtype=np.int64)


def vote_shares(clips: Sequence[Clip], targets: TargetSpec) -> FloatArray | None:
    """[N, C] shares of the raters who chose each class, NaN rows where nobody voted; None where votes do not count."""
    if not targets.votes:
        return None
    counts = [[clip.votes.get(name, 0.0) for name in targets.classes] for clip in _learnt(clips)]
    return shares(np.asarray(counts, dtype=np.float64).reshape(len(clips), len(targets.classes)))


def value_table(clips: Sequence[Clip], targets: TargetSpec) -> FloatArray | None:
    """[N, V] continuous targets, NaN where unknown; None where there are none."""
    if not targets.values:
        return None
    nan = float("nan")
    return np.asarray([[clip.values.get(name, nan) for name in targets.values] for clip in _learnt(clips)], np.float64)


def _learnt(clips: Sequence[Clip]) -> list[Clip]:
    """Clips of the split ``unlabelled`` without what nobody may learn from."""
    return [replace(c, values={}, votes={}) if c.split == "unlabelled" else c for c in clips]


def has_target(labels: IntArray, votes: FloatArray | None, values: FloatArray | None) -> BoolArray:
    """bool [N]: the clip has a label, votes or a value to be learnt from."""
    found = np.asarray(labels) >= 0
    for table in (votes, values):
        if table is not None and table.shape[1]:
            found = found | np.isfinite(table).any(axis=1)
    return np.asarray(found)


def learnable(features: FeatureSet) -> BoolArray:
    """bool [N]: the clip has a label, votes or a value."""
    return has_target(features.labels, features.votes, features.values)


def feature_set(
    table: ClipTable,
    streams: Mapping[str, StreamData],
    groups: Sequence[str | None],
) -> FeatureSet:
    """All N clips of a table with their streams.

    Groups are kept where only some clips have one: the others' are "", which stands for unknown.
    """
    splits = tuple(clip.split for clip in table.clips)
    return FeatureSet(
        ids=tuple(clip.id for clip in table.clips),
        targets=table.targets,
        labels=label_indices(table.clips, table.targets),
        table=dict(streams),
        groups=tuple(group or "" for group in groups) if any(groups) else None,
        splits=splits if any(splits) else None,
        votes=vote_shares(table.clips, table.targets),
        values=value_table(table.clips, table.targets),
    )


def take(features: FeatureSet, rows: IntArray, folds: tuple[Fold, ...] = (), room: Path | None = None) -> FeatureSet:
    """The feature set of the given rows alone; ``folds`` index into the rows taken.

    Neighbouring rows are not copied. Copies of others, where they are large, lie in files below ``room``.
    """
    return FeatureSet(
        ids=tuple(features.ids[row] for row in rows),
        targets=features.targets,
        labels=features.labels[rows],
        table={name: _rows(data, rows, room) for name, data in features.table.items()},
        groups=None if features.groups is None else tuple(features.groups[row] for row in rows),
        splits=None if features.splits is None else tuple(features.splits[row] for row in rows),
        folds=folds,
        fold_tables={
            fold: {name: _rows(data, rows, room) for name, data in table.items()}
            for fold, table in features.fold_tables.items()
        },
        votes=None if features.votes is None else features.votes[rows],
        values=None if features.values is None else features.values[rows],
    )


def without_streams(features: FeatureSet) -> FeatureSet:
    """The same clips, nothing of which can be read."""
    return replace(features, table={}, fold_tables={})


def _rows(data: StreamData, rows: IntArray, room: Path | None) -> StreamData:
    """Some rows; all of them, in order, as they are: they may be more than memory holds twice."""
    if len(rows) == len(data.present) and np.array_equal(rows, np.arange(len(rows))):
        return data
    if data.offsets is not None or not len(rows):
        return take_clips(data, rows)
    first, last = int(rows[0]), int(rows[-1])
    if np.array_equal(rows, np.arange(first, last + 1)):
        return replace(data, values=data.values[first : last + 1], present=data.present[rows])
    values = make_room((len(rows), data.values.shape[1]), data.values.dtype, room)
    for start in range(0, len(rows), BLOCK):
        values[start : start + BLOCK] = data.values[rows[start : start + BLOCK]]
    return replace(data, values=values, present=data.present[rows])


def keep_modalities(features: FeatureSet, modalities: Sequence[str]) -> FeatureSet:
    """The same clips with the presence bits of all other modalities cleared."""

    def cleared(data: StreamData) -> StreamData:
        keep = data.info.modality in modalities
        return data if keep else replace(data, present=np.zeros_like(data.present))

    return replace(
        features,
        table={name: cleared(data) for name, data in features.table.items()},
        fold_tables={f: {n: cleared(d) for n, d in t.items()} for f, t in features.fold_tables.items()},
    )


def any_present(features: FeatureSet) -> np.ndarray:
    """bool [N]: the clip has at least one stream."""
    columns = [data.present for data in features.table.values()]
    return np.any(np.stack(columns), axis=0) if columns else np.zeros(len(features.ids), dtype=bool)


def present_modalities(features: FeatureSet) -> dict[str, np.ndarray]:
    """Modality -> bool [N]: the clip has at least one stream of it."""
    found: dict[str, np.ndarray] = {}
    for name in features.streams:
        data = features.table[name]
        found[data.info.modality] = found.get(data.info.modality, np.zeros_like(data.present)) | data.present
    return found
