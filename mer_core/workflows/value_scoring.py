"""Continuous predictions of a fitted model, and scores of them and of predicted distributions beside votes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from mer_core.errors import PluginError
from mer_core.evaluation_values import ValueEvaluation, VoteEvaluation, evaluate_values, evaluate_votes
from mer_core.feature_set import FeatureSet, TargetSpec
from mer_core.protocols import Model, ValueModel
from mer_core.workflows.scoring import as_fold_sees, ask_each_fold

FloatArray = NDArray[np.float64]
ALL = 1 - 1e-6
"""Shares that add up to more than this are all that there are."""


@dataclass(frozen=True, slots=True)
class TargetScores:
    """Scores of what is learnt beside one class label: each value, and the distribution beside the raters' votes."""

    values: tuple[ValueEvaluation, ...] = ()
    votes: VoteEvaluation | None = None

    def __bool__(self) -> bool:
        return bool(self.values) or self.votes is not None


def value_model(model: Model) -> ValueModel:
    """``model``, which has continuous targets to predict.

    Raises:
        PluginError: it cannot.
    """
    if callable(getattr(model, "predict_values", None)):
        return cast("ValueModel", model)
    what = f"the trainer's model cannot predict {', '.join(model.targets.values)}: it has no method predict_values."
    raise PluginError(what, "Use --trainer cv, or leave out --values.")


def values_out_of_fold(model: Model, data: FeatureSet) -> FloatArray:
    """[N, V] each validated clip's values from its own fold's member; NaN where no fold validates it."""
    if not model.targets.values:
        return np.empty((len(data.ids), 0))
    return ask_each_fold(value_model(model).predict_values, data, len(model.targets.values))[0]


def ensemble_values(model: Model, features: FeatureSet) -> FloatArray:
    """[N, V] of all members together, each with the features of its own fold."""
    if not model.targets.values:
        return np.empty((len(features.ids), 0))
    folds: list[int | None] = [*sorted(features.fold_tables)] or [None]
    members = [value_model(model).predict_values(as_fold_sees(model, features, fold), fold) for fold in folds]
    return np.asarray(np.mean(members, axis=0), dtype=np.float64)


def score_targets(
    features: FeatureSet,
    rows: NDArray[np.int64],
    probabilities: FloatArray,
    values: FloatArray,
    groups: Sequence[str | None] | None,
    unit: str,
    seed: int,
) -> TargetScores:
    """Scores of the clips ``rows``.

    Args:
        probabilities: [N, C], ``values`` [N, V]: what was predicted of all clips, NaN where nothing was.
        groups: of ``rows``.
    """
    scored = []
    for place, name in enumerate(features.targets.values):
        if features.values is not None:
            pair = features.values[rows, place], values[rows, place]
            scored.append(evaluate_values(name, *pair, groups, unit=unit, seed=seed))
    votes = None
    if features.votes is not None:
        votes = evaluate_votes(features.votes[rows], probabilities[rows], groups, unit=unit, seed=seed)
    return TargetScores(tuple(one for one in scored if one is not None), votes)


def as_model_has_them(features: FeatureSet, targets: TargetSpec) -> FeatureSet:
    """``features`` with votes and values in the order of a model's targets; what it does not know is left out.

    A clip with votes for a class that the model does not know has no votes.
    """
    values = _columns(features.values, features.targets.values, targets.values, float("nan"))
    votes = _columns(features.votes, features.targets.classes, targets.classes, 0.0) if targets.classes else None
    if votes is not None:
        votes = np.where(votes.sum(axis=1, keepdims=True) > ALL, votes, np.nan)
    return replace(features, targets=targets, votes=votes, values=values)


def _columns(table: FloatArray | None, names: Sequence[str], wanted: Sequence[str], absent: float) -> FloatArray | None:
    """[N, W] the columns of ``table`` that are called ``wanted``; ``absent`` where there is none."""
    if table is None:
        return None
    place = {name: column for column, name in enumerate(names)}
    nothing = np.full(len(table), absent)
    found = [table[:, place[name]] if name in place else nothing for name in wanted]
    return np.stack(found, axis=1) if found else np.empty((len(table), 0))
