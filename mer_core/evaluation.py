"""Scores of class predictions, with intervals: weighted F1 (WAF), UAR, accuracy, macro F1.

Everything is computed from confusion matrices (rows: truth, columns: prediction), so that a
bootstrap is one matrix product. Labels are integers 0..C-1; -1 means unlabelled.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mer_core.errors import DataError
from mer_core.resampling import resamples, units_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

METRICS = ("waf", "uar", "accuracy", "macro_f1")
FEW_GROUPS = 10
"""With fewer groups than this, each one's score is listed: their interval alone says too little."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A score (or a difference of scores) with the bounds of its interval; NaN where undefined."""

    value: float
    low: float = float("nan")
    high: float = float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Scores of N predictions; arrays are [C] in class order, ``confusion`` is [C, C].

    A class without support has recall 0, one that was never predicted has precision 0 (as
    scikit-learn's ``zero_division=0``); ``support`` and ``predicted`` tell these cases apart.
    """

    n: int
    waf: float
    uar: float
    accuracy: float
    macro_f1: float
    precision: FloatArray
    recall: FloatArray
    f1: FloatArray
    support: IntArray
    predicted: IntArray
    confusion: IntArray


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
    accuracy (and nearly the WAF) of guessing in proportion to the class frequencies.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class SubsetScore:
    """WAF with only these modalities present; ``gain`` is what all modalities add to it (paired)."""

    modalities: tuple[str, ...]
    n: int
    waf: Interval
    gain: Interval


def confusion(y: ArrayLike, pred: ArrayLike, n_classes: int) -> IntArray:
    """Confusion matrix [C, C]: rows are true classes, columns predicted ones.

    Raises:
        DataError: if lengths differ or a class index is outside 0..C-1.
    """
    truth, guess = _checked(y, pred, n_classes)
    cells = np.bincount(truth * n_classes + guess, minlength=n_classes**2)
    return cells.reshape(n_classes, n_classes).astype(np.int64)


def _checked(y: ArrayLike, pred: ArrayLike, n_classes: int) -> tuple[IntArray, IntArray]:
    truth, guess = np.asarray(y, dtype=np.int64).ravel(), np.asarray(pred, dtype=np.int64).ravel()
    if len(truth) != len(guess):
        raise DataError(f"{len(truth)} labels but {len(guess)} predictions.", "Give one prediction per label.")
    for name, values in (("label", truth), ("prediction", guess)):
        if len(values) and not (values.min() >= 0 and values.max() < n_classes):
            raise DataError(f"A {name} is outside the {n_classes} classes.", "Leave unlabelled clips out.")
    return truth, guess


def _ratio(top: Any, bottom: Any, empty: float = 0.0) -> Any:
    bottom = np.asarray(bottom, dtype=np.float64)
    return np.where(bottom > 0, top / np.where(bottom > 0, bottom, 1.0), empty)


def rates(table: NDArray[Any]) -> dict[str, Any]:
    """The four metrics of confusion matrices [..., C, C], as arrays [...] by name.

    WAF is the mean of F1_c = 2TP/(2TP+FP+FN) weighted by true support. UAR is the mean recall of the
    classes that occur. Macro F1 averages over the classes that occur or are predicted. These are
    scikit-learn's ``f1_score(average="weighted")``, ``balanced_accuracy_score`` and
    ``f1_score(average="macro")``. NaN for a matrix without clips.
    """
    hits = np.diagonal(table, axis1=-2, axis2=-1).astype(np.float64)
    support, predicted = table.sum(axis=-1), table.sum(axis=-2)
    total, nan = support.sum(axis=-1), float("nan")
    f1, recall = _ratio(2 * hits, support + predicted), _ratio(hits, support)
    return {
        "waf": _ratio((f1 * support).sum(axis=-1), total, nan),
        "uar": _ratio(recall.sum(axis=-1), (support > 0).sum(axis=-1), nan),
        "accuracy": _ratio(hits.sum(axis=-1), total, nan),
        "macro_f1": _ratio(f1.sum(axis=-1), (support + predicted > 0).sum(axis=-1), nan),
    }


def weighted_f1(y: ArrayLike, pred: ArrayLike, n_classes: int) -> float:
    """WAF of N predictions (the measure of MER2024)."""
    return float(rates(confusion(y, pred, n_classes))["waf"])


def scores(y: ArrayLike, pred: ArrayLike, n_classes: int) -> Scores:
    """All scores of N predictions, per class too."""
    table = confusion(y, pred, n_classes)
    hits, support, predicted = np.diagonal(table).copy(), table.sum(axis=1), table.sum(axis=0)
    return Scores(
        n=int(table.sum()),
        precision=_ratio(hits, predicted),
        recall=_ratio(hits, support),
        f1=_ratio(2 * hits, support + predicted),
        support=support,
        predicted=predicted,
        confusion=table,
        **{name: float(value) for name, value in rates(table).items()},
    )


def bootstrap(
    y: ArrayLike,
    pred: ArrayLike,
    n_classes: int,
    groups: Sequence[str] | None = None,
    n: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Percentile bootstrap intervals (Efron 1979) of the four metrics.

    Whole groups (speakers) are drawn with replacement where ``groups`` [N] is given, else clips.
    With fewer than two units there is no interval: the bounds are NaN.
    """
    truth, guess = _checked(y, pred, n_classes)
    units = units_of(truth, [guess], n_classes, groups)
    drawn = [rates(tables[0]) for tables in resamples(units, n_classes, n, seed)]
    point = rates(confusion(truth, guess, n_classes))
    return {
        name: _interval(float(point[name]), np.concatenate([part[name] for part in drawn]), units.total, level)
        for name in METRICS
    }


def paired_difference(
    y: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    groups: Sequence[str] | None = None,
    *,
    n_classes: int | None = None,
    metric: str = "waf",
    n: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """``metric`` of predictions ``a`` minus that of ``b``, both scored on the same resamples."""
    size = n_classes or int(max(np.max(np.asarray(part), initial=0) for part in (y, a, b))) + 1
    (truth, first), (_, second) = _checked(y, a, size), _checked(y, b, size)
    units = units_of(truth, [first, second], size, groups)
    drawn = [rates(left)[metric] - rates(right)[metric] for left, right in resamples(units, size, n, seed)]
    value = rates(confusion(truth, first, size))[metric] - rates(confusion(truth, second, size))[metric]
    return _interval(float(value), np.concatenate(drawn), units.total, level)


def _interval(value: float, drawn: FloatArray, units: int, level: float) -> Interval:
    if units < 2 or not len(drawn):
        return Interval(value)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))


def per_group(y: ArrayLike, pred: ArrayLike, n_classes: int, groups: Sequence[str]) -> tuple[GroupScore, ...]:
    """Scores of each group alone, in the natural order of their names (2 before 10)."""
    truth, guess = _checked(y, pred, n_classes)
    names = np.asarray([str(group) for group in groups], dtype=object)
    return tuple(
        _group_score(name, truth[names == name], guess[names == name], n_classes)
        for name in sorted(set(names), key=_natural)
    )


def _group_score(name: str, y: IntArray, pred: IntArray, n_classes: int) -> GroupScore:
    found = rates(confusion(y, pred, n_classes))
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
    n: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Evaluation:
    """Everything a report says about N predictions; clips with label -1 are left out.

    Groups (``unit`` is their name in the report) are resampled if every scored clip has one and
    there are at least two; otherwise clips are, and ``note`` says why. ``folds`` [N], the fold that
    scored each clip (from 0), adds the score of each fold, named from 1.

    Raises:
        DataError: if no clip is labelled, or a prediction is not one of the classes.
    """
    truth, guess = np.asarray(y, dtype=np.int64), np.asarray(pred, dtype=np.int64)
    if len(truth) != len(guess):
        raise DataError(f"{len(truth)} labels but {len(guess)} predictions.", "Give one prediction per clip.")
    kept = np.flatnonzero(truth >= 0)
    if not len(kept):
        raise DataError("None of the predicted clips is labelled, so there is nothing to score.", "Add labels.")
    truth, guess, size = truth[kept], guess[kept], len(classes)
    names, note = _usable_groups(groups, kept, unit)
    found = scores(truth, guess, size)
    listed = per_group(truth, guess, size, names) if names and len(set(names)) < FEW_GROUPS else ()
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
        per_group=listed,
        folds=() if folds is None else per_group(truth, guess, size, [str(folds[i] + 1) for i in kept.tolist()]),
    )


def _usable_groups(groups: Sequence[str | None] | None, kept: IntArray, unit: str) -> tuple[list[str] | None, str]:
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

    ``predictions`` maps the modalities left present to class indices [N]; one entry holds all
    modalities, and each ``gain`` compares it with the subset on the same resamples.
    """
    truth = np.asarray(y, dtype=np.int64)
    kept = np.flatnonzero(truth >= 0)
    names, _ = _usable_groups(groups, kept, "speaker")
    arrays = {subset: np.asarray(guess, dtype=np.int64)[kept] for subset, guess in predictions.items()}
    order = sorted(arrays, key=len, reverse=True)
    found = []
    for subset in order:
        waf = bootstrap(truth[kept], arrays[subset], n_classes, names, n, seed, level)["waf"]
        gain = paired_difference(
            truth[kept], arrays[order[0]], arrays[subset], names, n_classes=n_classes, n=n, seed=seed, level=level
        )
        found.append(SubsetScore(modalities=subset, n=len(kept), waf=waf, gain=gain))
    return tuple(found)
