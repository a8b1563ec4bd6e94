"""Which clips are trained on, and the folds over them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mer_core.config import RunConfig
from mer_core.data.folds import FoldPlan, plan_folds
from mer_core.errors import TooLittleDataError
from mer_core.types import FeatureSet
from mer_core.workflows.features import UNLABELLED, any_present, learnable, take

if TYPE_CHECKING:
    from mer_core.aliases import IntArray

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
    chosen = hide_test(take(features, rows))
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


def hide_test(data: FeatureSet) -> FeatureSet:
    """``data`` without the labels, votes and values of test clips."""
    if data.splits is None or "test" not in data.splits:
        return data
    tested = np.asarray([split == "test" for split in data.splits])
    votes, values = (
        None if table is None else np.where(tested[:, None], np.nan, table) for table in (data.votes, data.values)
    )
    return replace(data, labels=np.where(tested, UNLABELLED, data.labels), votes=votes, values=values)
