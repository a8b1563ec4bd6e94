"""Which clips are trained on, and the folds over them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mer_core.config import RunConfig
from mer_core.data.folds import FoldPlan, plan_folds
from mer_core.errors import TooLittleDataError
from mer_core.types import FeatureSet
from mer_core.workflows.features import any_present, take

if TYPE_CHECKING:
    from mer_core.aliases import IntArray


NOTHING = "no labelled clip has any modality of this run."

def plan_training(features: FeatureSet, config: RunConfig) -> tuple[IntArray, FoldPlan]:
    """Rows that are trained on (labelled or not, never of the test split), and the folds over them."""
    splits = features.splits or (None,) * len(features.ids)
    usable = any_present(features)
    rows = np.asarray([i for i, split in enumerate(splits) if split != "test" and usable[i]], dtype=np.int64)
    if not (features.labels[rows] >= 0).any():
        raise TooLittleDataError(
            NOTHING,
            "Choose other --modalities, or see 'mer dataset check' and 'mer faces sheet'.",
        )
    chosen = take(features, rows)
    plan = plan_folds(
        chosen.labels,
        chosen.groups,
        [splits[row] for row in rows],
        k=config.folds.k,
        seed=config.seed,
        kind=config.folds.kind,
        classes=chosen.targets.classes,
    )
    return rows, plan
