"""Scores of class predictions, with intervals: weighted F1 (WAF), UAR, accuracy, macro F1.

Everything is computed from confusion matrices (rows: truth, columns: prediction), so that a
bootstrap is one matrix product. Labels are integers 0..C-1; -1 means unlabelled.

Predictions are [N], or [S, N] of S seeds. Then every score is the mean over seeds, and so is every resample's, the
same clips or speakers being drawn for all seeds: seeds are averaged and never counted as samples.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mer_core.calibration import Calibration, calibration
from mer_core.confusions import METRICS, Scores, confusion, mean_rates, rates, scores, weighted_f1
from mer_core.errors import DataError
from mer_core.intervals import Interval, bootstrap, labels_of_seeds, paired_difference
from mer_core.seed_scores import SeedGuesses, SeedScores, score_seeds

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    IntArray = NDArray[np.int64]

__all__ = [
    "FEW_GROUPS",
    "METRICS",
    "Evaluation",
    "GroupScore",
    "Interval",
    "Scores",
    "SubsetScore",
    "bootstrap",
    "confusion",
    "evaluate_predictions",
    "evaluate_subsets",
    "paired_difference",
    "per_group",
    "rates",
    "scores",
    "usable_groups",
    "weighted_f1",
]

FEW_GROUPS = 10
"""With fewer groups than this, each one's score is listed: their interval alone says too little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupScore:
    """Scores of one group (speaker, fold) alone."""

    name: str
    n: int
    waf: float
    uar: float
    accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Scores with intervals, and what the intervals mean.

    ``unit`` says what was resampled ("speaker", "clip", or the name of another group column),
    ``n_units`` how many of them there are, ``note`` why it was not the groups. ``chance`` is the
    accuracy (and nearly the WAF) of guessing in proportion to the class frequencies. ``seeds`` are
    the scores of each training where several differ in their seed; ``calibration`` looks at the
    probabilities, where they are known.
    """

    classes: tuple[str, ...]
    scores: Scores
    intervals: Mapping[str, Interval]
    unit: str
    n_units: int
    resamples: int
    level: float
    chance: float
    note: str = ""
    per_group: tuple[GroupScore, ...] = ()
    folds: tuple[GroupScore, ...] = ()
    seeds: SeedScores | None = None
    calibration: Calibration | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubsetScore:
    """WAF with only these modalities present; ``gain`` is what all modalities add to it (paired)."""

    modalities: tuple[str, ...]
    n: int
    waf: Interval
    gain: Interval


def per_group(y: ArrayLike, pred: ArrayLike, n_classes: int, groups: Sequence[str]) -> tuple[GroupScore, ...]:
    """Scores of each group alone, in the natural order of their names (2 before 10)."""
    truth, guesses = labels_of_seeds(y, pred, n_classes)
    names = np.asarray([str(group) for group in groups], dtype=object)
    return tuple(
        _group_score(name, truth[names == name], [guess[names == name] for guess in guesses], n_classes)
        for name in sorted(set(names), key=_natural)
    )


def _group_score(name: str, y: IntArray, guesses: Sequence[IntArray], n_classes: int) -> GroupScore:
    found = mean_rates([confusion(y, guess, n_classes) for guess in guesses])
    return GroupScore(name=name, n=len(y), **{key: float(found[key]) for key in ("waf", "uar", "accuracy")})


def _natural(name: str) -> list[tuple[int, int, str]]:
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.findall(r"[0-9]+|[^0-9]+", name)]


def evaluate_predictions(
    y: ArrayLike,
    pred: ArrayLike,
    classes: Sequence[str],
    groups: Sequence[str | None] | None = None,
    *,
    unit: str = "speaker",
    folds: Sequence[int] | None = None,
    seeds: SeedGuesses | None = None,
    probabilities: ArrayLike | None = None,
    list_groups: bool = False,
    n: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Evaluation:
    """Everything a report says about N predictions, or [S, N] of S seeds; clips with label -1 are left out.

    Groups (``unit`` is their name in the report) are resampled if every scored clip has one and
    there are at least two; otherwise clips are, and ``note`` says why. ``folds`` [N], the fold that
    scored each clip (from 0), adds the score of each fold, named from 1; ``seeds`` adds those of each seed,
    ``probabilities`` [N, C] or [S, N, C] say how well they fit what happened. The score of each group is
    listed where there are fewer than ten, or if ``list_groups``.

    Raises:
        DataError: if no clip is labelled, or a prediction is not one of the classes.
    """
    truth, guess = np.asarray(y, dtype=np.int64), np.asarray(pred, dtype=np.int64)
    if len(truth) != guess.shape[-1]:
        raise DataError(f"{len(truth)} labels but {guess.shape[-1]} predictions.", "Give one prediction per clip.")
    kept = np.flatnonzero(truth >= 0)
    if not len(kept):
        raise DataError("None of the predicted clips is labelled, so there is nothing to score.", "Add labels.")
    truth, guess, size = truth[kept], guess[..., kept], len(classes)
    names, note = usable_groups(groups, kept, unit)
    found = scores(truth, guess, size)
    listed = names is not None and (list_groups or len(set(names)) < FEW_GROUPS)
    return Evaluation(
        classes=tuple(classes),
        scores=found,
        intervals=bootstrap(truth, guess, size, names, n, seed, level),
        unit=unit if names else "clip",
        n_units=len(set(names)) if names else len(truth),
        resamples=n,
        level=level,
        chance=float(((found.support / found.n) ** 2).sum()),
        note=note,
        per_group=per_group(truth, guess, size, names) if listed and names else (),
        folds=() if folds is None else per_group(truth, guess, size, [str(folds[i] + 1) for i in kept.tolist()]),
        seeds=None if seeds is None else score_seeds(truth, seeds.of(kept), size, names, n, seed, level),
        calibration=None
        if probabilities is None
        else calibration(np.asarray(probabilities)[..., kept, :], truth, names, n=n, seed=seed, level=level),
    )


def usable_groups(groups: Sequence[str | None] | None, kept: IntArray, unit: str) -> tuple[list[str] | None, str]:
    """The groups of the kept clips if they can be resampled, else None and why not."""
    if groups is None:
        return None, f"No {unit} is given, so single clips were resampled."
    names = [groups[i] for i in kept.tolist()]
    unknown = sum(name is None for name in names)
    if unknown:
        return None, f"{unknown} of {len(names)} clips have no {unit}, so single clips were resampled."
    if len(set(names)) < 2:
        return None, f"All clips share one {unit}, so single clips were resampled."
    return [str(name) for name in names], ""


def evaluate_subsets(
    y: ArrayLike,
    predictions: Mapping[tuple[str, ...], ArrayLike],
    n_classes: int,
    groups: Sequence[str | None] | None = None,
    *,
    n: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[SubsetScore, ...]:
    """WAF of the predictions made with each subset of modalities, largest subset first.

    ``predictions`` maps the modalities left present to class indices [N] or [S, N]; one entry holds all
    modalities, and each ``gain`` compares it with the subset on the same resamples.
    """
    truth = np.asarray(y, dtype=np.int64)
    kept = np.flatnonzero(truth >= 0)
    names, _ = usable_groups(groups, kept, "speaker")
    arrays = {subset: np.asarray(guess, dtype=np.int64)[..., kept] for subset, guess in predictions.items()}
    order = sorted(arrays, key=len, reverse=True)
    found = []
    for subset in order:
        waf = bootstrap(truth[kept], arrays[subset], n_classes, names, n, seed, level)["waf"]
        gain = paired_difference(
            truth[kept], arrays[order[0]], arrays[subset], names, n_classes=n_classes, n=n, seed=seed, level=level
        )
        found.append(SubsetScore(modalities=subset, n=len(kept), waf=waf, gain=gain))
    return tuple(found)
