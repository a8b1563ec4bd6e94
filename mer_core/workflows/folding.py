"""Which clips are trained on, and the folds over them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mer_core.config import RunConfig
from mer_core.data.dataset import ClipTable
from mer_core.data.folds import FoldPlan, plan_folds
from mer_core.errors import DataError, TooLittleDataError
from mer_core.feature_set import FeatureSet, Fold
from mer_core.workflows.data import clip_groups
from mer_core.workflows.features import (
    UNLABELLED,
    any_present,
    has_target,
    label_indices,
    learnable,
    take,
    value_table,
    vote_shares,
    without_streams,
)

if TYPE_CHECKING:
    from mer_core.aliases import IntArray

NOWHERE = -1
NOTHING = "no labelled clip has any modality of this run."


def plan_training(features: FeatureSet, config: RunConfig) -> tuple[IntArray, FoldPlan]:
    """Rows that are trained on (labelled or not), and the folds over them.

    Those of the test split are not among them, or as unlabelled ones where the run is transductive.
    """
    splits = features.splits or (None,) * len(features.ids)
    usable = any_present(features)
    rows = np.asarray(
        [i for i, split in enumerate(splits) if (split != "test" or config.transductive) and usable[i]], dtype=np.int64
    )
    chosen = hide_test(take(without_streams(features), rows))
    if not learnable(chosen).any():
        raise TooLittleDataError(
            NOTHING,
            "Choose other --modalities, or see 'mer dataset check' and 'mer faces sheet'.",
        )
    plan = plan_folds(
        chosen.labels,
        chosen.groups,
        [splits[row] for row in rows],
        k=config.folds.k,
        seed=config.seed,
        kind=config.folds.kind,
        classes=chosen.targets.classes,
        learnable=learnable(chosen),
    )
    return rows, plan


def expected_folds(table: ClipTable, config: RunConfig) -> FoldPlan:
    """The folds over a table's labelled clips, before it is known which of them have features.

    Raises:
        TooLittleDataError: no label or value, or one class only.
    """
    clips = table.clips
    labels = label_indices(clips, table.targets)
    return plan_folds(
        labels,
        clip_groups(clips, config.folds.group),
        [clip.split for clip in clips],
        k=config.folds.k,
        seed=config.seed,
        kind=config.folds.kind,
        classes=table.targets.classes,
        learnable=has_target(labels, vote_shares(clips, table.targets), value_table(clips, table.targets)),
    )


def given_plan(features: FeatureSet, seed: int) -> tuple[IntArray, FoldPlan]:
    """The folds of the features themselves, without clips that have nothing to be learnt from or no stream.

    Raises:
        DataError: a fold learns from a clip and is scored on it.
    """
    tested = [split == "test" for split in features.splits] if features.splits else False
    rows = np.flatnonzero(any_present(features) & ~np.asarray(tested))
    place = np.full(len(features.ids), NOWHERE)
    place[rows] = np.arange(len(rows))
    place[~learnable(features)] = NOWHERE
    for number, fold in enumerate(features.folds, 1):
        both = np.intersect1d(fold.train, fold.val)
        if len(both):
            raise DataError(
                f"fold {number} learns from the clip {features.ids[both[0]]!r} and is scored on it.",
                "Take it out of one of the two parts.",
            )
    parts = [(place[fold.train], place[fold.val]) for fold in features.folds]
    folds = tuple(Fold(train[train >= 0], val[val >= 0]) for train, val in parts)
    return rows, FoldPlan(folds=folds, kind="given", seed=seed, group=_keeps_groups(features))


def _keeps_groups(features: FeatureSet) -> bool:
    """Whether groups are known and none of them is in both parts of a fold."""
    names = features.groups
    if names is None:
        return False
    parts = [[{names[row] for row in part} - {""} for part in (fold.train, fold.val)] for fold in features.folds]
    return not any(train & val for train, val in parts)


def hide_test(data: FeatureSet) -> FeatureSet:
    """``data`` without the labels, votes and values of test clips."""
    if data.splits is None or "test" not in data.splits:
        return data
    tested = np.asarray([split == "test" for split in data.splits])
    votes, values = (
        None if table is None else np.where(tested[:, None], np.nan, table) for table in (data.votes, data.values)
    )
    return replace(data, labels=np.where(tested, UNLABELLED, data.labels), votes=votes, values=values)
