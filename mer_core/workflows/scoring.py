"""Scores of a fitted model on what it was not trained on. Nothing here is selected on a score."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from mer_core.evaluation import Evaluation, Scores, SubsetScore, evaluate_predictions, evaluate_subsets, scores
from mer_core.feature_set import FeatureSet, StreamData
from mer_core.frames import as_level
from mer_core.probabilities import softmax
from mer_core.protocols import Model
from mer_core.seed_scores import SeedGuesses
from mer_core.workflows.features import keep_modalities, present_modalities, take
from mer_core.workflows.seeds import SeveralSeeds

NO_FOLD = -1


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """Predictions for clips by the fold member that did not train on them.

    ``probabilities`` [N, C] are NaN and ``fold`` [N] is -1 where no fold validates the clip. Of several ``seeds``
    these are what all say together, and ``each`` [S, N, C] what each one says.
    """

    probabilities: NDArray[np.float64]
    fold: NDArray[np.int64]
    seeds: tuple[int, ...] = ()
    each: NDArray[np.float64] | None = None

    @property
    def rows(self) -> NDArray[np.int64]:
        """Rows that some fold validates."""
        return np.flatnonzero(self.fold != NO_FOLD)

    @property
    def labels(self) -> NDArray[np.int64]:
        """[N] predicted class index; 0 where there is no prediction."""
        return best(self.probabilities)

    @property
    def guesses(self) -> NDArray[np.int64]:
        """What is scored: ``labels`` [N], or the labels [S, N] of each seed."""
        return self.labels if self.each is None else best(self.each)

    def seed_guesses(self, rows: NDArray[np.int64]) -> SeedGuesses | None:
        """Of several seeds, what each and all together predict of the clips ``rows``."""
        return None if self.each is None else SeedGuesses(self.seeds, self.guesses[:, rows], self.labels[rows])


def best(probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
    """[..., N] the likeliest class, 0 where all are NaN or there is none."""
    if not probabilities.shape[-1]:
        return np.zeros(probabilities.shape[:-1], np.int64)
    return np.asarray(np.argmax(np.nan_to_num(probabilities, nan=-1.0), axis=-1), dtype=np.int64)


def out_of_fold(model: Model, data: FeatureSet) -> OutOfFold:
    """Each validated clip's probabilities from its own fold's member; of several seeds, from each one's."""
    if not isinstance(model, SeveralSeeds):
        return OutOfFold(*ask_each_fold(model.predict, data, len(data.targets.classes)))
    found = [ask_each_fold(one.logits, data, len(data.targets.classes)) for one in model.models.values()]
    logits = np.stack([one for one, _ in found])
    return OutOfFold(softmax(logits.mean(axis=0)), found[0][1], tuple(model.models), softmax(logits))


def ask_each_fold(
    ask: Callable[[Mapping[str, StreamData], int], NDArray[np.float64]], data: FeatureSet, columns: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """What ``ask`` says of each clip as the fold that held it out sees it, [N, ``columns``], and which fold, [N].

    NaN and -1 where no fold held the clip out.
    """
    count = len(data.ids)
    answers = np.full((count, columns), np.nan)
    folds = np.full(count, NO_FOLD, dtype=np.int64)
    for number, fold in enumerate(data.folds):
        part = take(data, fold.val)
        answers[fold.val] = ask({name: part.features(name, number) for name in part.streams}, number)
        folds[fold.val] = number
    return answers, folds


def ensemble(model: Model, features: FeatureSet) -> NDArray[np.float64]:
    """Probabilities [N, C] of all members together, each with the features of its own fold."""
    if not features.fold_tables:
        return model.predict(as_fold_sees(model, features, None))
    folds = sorted(features.fold_tables)
    members = [model.logits(as_fold_sees(model, features, fold), fold) for fold in folds]
    return softmax(np.mean(members, axis=0))


def as_fold_sees(model: Model, features: FeatureSet, fold: int | None) -> dict[str, StreamData]:
    """The streams that a model reads, as its member ``fold`` sees them; None for what all members see."""
    names = [name for name in model.streams if name in features.table]
    return {name: as_level(features.features(name, fold), model.streams[name]) for name in names}


def score_held_out(
    model: Model, data: FeatureSet, held_out: OutOfFold, unit: str, seed: int
) -> tuple[Evaluation | None, tuple[SubsetScore, ...]]:
    """Out-of-fold scores with all modalities, and of every subset; nothing where no labelled clip was held out."""
    if not (data.labels[held_out.rows] >= 0).any():
        return None, ()
    return score_out_of_fold(held_out, data, unit, seed), score_subsets(model, data, held_out, seed)


def score_out_of_fold(found: OutOfFold, data: FeatureSet, unit: str, seed: int) -> Evaluation:
    """Metrics over all validated clips, with intervals over groups where they are known.

    Where each fold leaves one group out, its score is listed by the group's name.
    """
    rows, alone = found.rows, one_group_each(data)
    return evaluate_predictions(
        data.labels[rows],
        found.guesses[..., rows],
        data.targets.classes,
        groups_of(data, rows),
        unit=unit,
        seeds=found.seed_guesses(rows),
        probabilities=(found.probabilities if found.each is None else found.each)[..., rows, :],
        folds=[int(found.fold[row]) for row in rows] if len(data.folds) > 1 and not alone else None,
        list_groups=alone,
        seed=seed,
    )


def fold_scores(found: OutOfFold, data: FeatureSet) -> list[Scores]:
    """The scores of each fold alone, in order, on the labelled clips that it held out."""
    parts = [np.flatnonzero((found.fold == number) & (data.labels >= 0)) for number in range(len(data.folds))]
    return [scores(data.labels[rows], found.guesses[..., rows], len(data.targets.classes)) for rows in parts]


def score_subsets(model: Model, data: FeatureSet, held_out: OutOfFold, seed: int) -> tuple[SubsetScore, ...]:
    """WAF of every non-empty subset of the modalities, the others' presence bits cleared.

    ``held_out`` are the predictions with all modalities, which need no second pass.
    """
    modalities, rows = tuple(present_modalities(data)), held_out.rows
    predictions = {modalities: held_out.guesses[..., rows]}
    for subset in subsets_of(modalities)[1:]:
        found = out_of_fold(model, keep_modalities(data, subset))
        predictions[subset] = found.guesses[..., rows]
    return evaluate_subsets(data.labels[rows], predictions, len(data.targets.classes), groups_of(data, rows), seed=seed)


def groups_of(data: FeatureSet, rows: NDArray[np.int64]) -> list[str | None] | None:
    """The group of each of ``rows``, None where it is unknown; None where no clip has one."""
    found = [] if data.groups is None else [data.groups[row] or None for row in rows]
    return found if any(found) else None


def one_group_each(data: FeatureSet) -> bool:
    """Whether each of several folds holds out one group, and each another."""
    if data.groups is None or len(data.folds) < 2:
        return False
    held = [{data.groups[row] for row in fold.val} for fold in data.folds]
    return all(len(one) == 1 for one in held) and len(set.union(*held) - {""}) == len(held)


def subsets_of(modalities: Sequence[str]) -> list[tuple[str, ...]]:
    """All non-empty subsets, the full one first."""
    return [subset for size in range(len(modalities), 0, -1) for subset in combinations(modalities, size)]


def score_rows(
    model: Model,
    features: FeatureSet,
    probabilities: NDArray[np.float64],
    rows: NDArray[np.int64],
    groups: Sequence[str | None] | None,
    unit: str,
    seed: int,
) -> Evaluation | None:
    """Metrics of an ensemble on clips ``rows`` (a test split); None if none of them is labelled.

    Args:
        probabilities: [N, C], what the model says of all clips: that is scored, whatever its single seeds say.
        groups: of ``rows``.
    """
    labels, guess = features.labels[rows], best(probabilities[rows])
    if not (labels >= 0).any():
        return None
    seeds = None
    if isinstance(model, SeveralSeeds):
        part = take(features, rows)
        each = np.stack([best(ensemble(one, part)) for one in model.models.values()])
        seeds = SeedGuesses(tuple(model.models), each, guess)
    return evaluate_predictions(
        labels,
        guess,
        features.targets.classes,
        groups,
        unit=unit,
        seeds=seeds,
        probabilities=probabilities[rows],
        seed=seed,
    )
