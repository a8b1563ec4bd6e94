"""What a run says of values and votes: predictions for every clip, and scores of those that it had not learnt from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mer_core.config import RunConfig
from mer_core.feature_set import FeatureSet
from mer_core.workflows.data import clip_groups
from mer_core.workflows.learning import Deployed
from mer_core.workflows.scoring import OutOfFold, groups_of
from mer_core.workflows.train import Training
from mer_core.workflows.value_scoring import TargetScores, ensemble_values, score_targets, values_out_of_fold

if TYPE_CHECKING:
    from mer_core.aliases import IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTargets:
    """Values [N, V] of all clips by the saved model, ``held`` [n, V] those out of fold of the clips of training, and
    scores of either part."""

    values: NDArray[np.float64]
    held: NDArray[np.float64]
    held_out: TargetScores = field(default_factory=TargetScores)
    test: TargetScores = field(default_factory=TargetScores)


def run_targets(
    training: Training,
    deployed: Deployed,
    held_out: OutOfFold,
    everybody: NDArray[np.float64],
    tested: IntArray,
    config: RunConfig,
) -> RunTargets:
    """Predict and score.

    Args:
        everybody: [N, C], probabilities of the saved model for all clips.
        tested: rows of the test split, which are read here for the first time.
    """
    unit, seed = config.folds.group, config.seed
    held = values_out_of_fold(training.model, training.data)
    features = deployed.extraction.features
    values = ensemble_values(deployed.training.model, features)
    rows = held_out.rows
    groups = clip_groups(deployed.extraction.table.clips, unit)
    known = [groups[row] for row in tested]
    return RunTargets(
        values=values,
        held=held,
        held_out=score_targets(
            training.data, rows, held_out.probabilities, held, groups_of(training.data, rows), unit, seed
        ),
        test=score_targets(features, tested, everybody, values, known if any(known) else None, unit, seed),
    )


def target_counts(data: FeatureSet) -> dict[str, Any]:
    """How many clips each value is known of, and how many have votes, for the report."""
    known = {} if data.values is None else dict(zip(data.targets.values, np.isfinite(data.values).sum(0), strict=True))
    votes = 0 if data.votes is None else int(np.isfinite(data.votes).all(axis=1).sum())
    return {"value_counts": {name: int(count) for name, count in known.items()}, "n_votes": votes}
