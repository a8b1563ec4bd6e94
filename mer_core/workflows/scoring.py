"""Scores of a fitted model on what it was not trained on. Nothing here is selected on a score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from mer_core.evaluation import Evaluation, Scores, SubsetScore, evaluate_predictions, evaluate_subsets, scores
from mer_core.protocols import Model
from mer_core.types import FeatureSet
from mer_core.workflows.features import keep_modalities, present_modalities, take

NO_FOLD = -1


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """Predictions for clips by the fold member that did not train on them.

    ``probabilities`` [N, C] are NaN and ``fold`` [N] is -1 where no fold validates the clip.
    """

    probabilities: NDArray[np.float64]
    fold: NDArray[np.int64]

    @property
    def rows(self) -> NDArray[np.int64]:
        """Rows that some fold validates."""
        return np.flatnonzero(self.fold != NO_FOLD)

    @property
    def labels(self) -> NDArray[np.int64]:
        """[N] predicted class index; 0 where there is no prediction."""
        return np.asarray(np.argmax(np.nan_to_num(self.probabilities, nan=-1.0), axis=1), dtype=np.int64)


def out_of_fold(model: Model, data: FeatureSet) -> OutOfFold:
    """Each validated clip's probabilities from its own fold's member."""
    count = len(data.ids)
    probabilities = np.full((count, len(data.targets.classes)), np.nan)
    folds = np.full(count, NO_FOLD, dtype=np.int64)
    for number, fold in enumerate(data.folds):
        part = take(data, fold.val)
        seen = {name: part.features(name, number) for name in part.streams}
        probabilities[fold.val] = model.predict(seen, fold=number)
        folds[fold.val] = number
    return OutOfFold(probabilities, folds)


def ensemble(model: Model, features: FeatureSet) -> NDArray[np.float64]:
    """Probabilities [N, C] of all members together, each with the features of its own fold."""
    names = [name for name in model.streams if name in features.table]
    if not features.fold_tables:
        return model.predict({name: features.table[name] for name in names})
    folds = sorted(features.fold_tables)
    members = [model.logits({name: features.features(name, fold) for name in names}, fold) for fold in folds]
    mean = np.mean(members, axis=0)
    shares = np.exp(mean - mean.max(axis=1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def score_held_out(
    model: Model, data: FeatureSet, held_out: OutOfFold, unit: str, seed: int
) -> tuple[Evaluation | None, tuple[SubsetScore, ...]]:
    """Out-of-fold scores with all modalities, and of every subset of them; nothing where no clip was held out."""
    if not len(held_out.rows):
        return None, ()
    return score_out_of_fold(held_out, data, unit, seed), score_subsets(model, data, held_out, seed)


def score_out_of_fold(found: OutOfFold, data: FeatureSet, unit: str, seed: int) -> Evaluation:
    """Metrics over all validated clips, with intervals over groups where they are known."""
    rows = found.rows
    return evaluate_predictions(
        data.labels[rows],
        found.labels[rows],
        data.targets.classes,
        groups_of(data, rows),
        unit=unit,
        folds=[int(found.fold[row]) for row in rows] if len(data.folds) > 1 else None,
        seed=seed,
    )


def fold_scores(found: OutOfFold, data: FeatureSet) -> list[Scores]:
    """The scores of each fold alone, in order, on the labelled clips that it held out."""
    parts = [np.flatnonzero((found.fold == number) & (data.labels >= 0)) for number in range(len(data.folds))]
    return [scores(data.labels[rows], found.labels[rows], len(data.targets.classes)) for rows in parts]


def score_subsets(model: Model, data: FeatureSet, held_out: OutOfFold, seed: int) -> tuple[SubsetScore, ...]:
    """WAF of every non-empty subset of the modalities, the others' presence bits cleared.

    ``held_out`` are the predictions with all modalities, which need no second pass.
    """
    modalities, rows = tuple(present_modalities(data)), held_out.rows
    predictions = {modalities: held_out.labels[rows]}
    for subset in subsets_of(modalities)[1:]:
        found = out_of_fold(model, keep_modalities(data, subset))
        predictions[subset] = found.labels[rows]
    return evaluate_subsets(data.labels[rows], predictions, len(data.targets.classes), groups_of(data, rows), seed=seed)


def groups_of(data: FeatureSet, rows: NDArray[np.int64]) -> list[str | None] | None:
    """The group of each of ``rows``, None where it is unknown; None where no clip has one."""
    found = [] if data.groups is None else [data.groups[row] or None for row in rows]
    return found if any(found) else None


def subsets_of(modalities: Sequence[str]) -> list[tuple[str, ...]]:
    """All non-empty subsets, the full one first."""
    return [subset for size in range(len(modalities), 0, -1) for subset in combinations(modalities, size)]


def score_rows(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    classes: Sequence[str],
    groups: Sequence[str | None] | None,
    unit: str,
    seed: int,
) -> Evaluation | None:
    """Metrics of an ensemble's predictions (a test split); None if none of the clips is labelled."""
    if not (labels >= 0).any():
        return None
    return evaluate_predictions(labels, np.argmax(probabilities, axis=1), classes, groups, unit=unit, seed=seed)
