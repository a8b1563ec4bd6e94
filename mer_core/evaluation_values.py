"""Scores of continuous predictions, and of predicted distributions beside the votes of raters, with intervals.

Everything is computed from sums over clips, so that a bootstrap is one matrix product. Variances and covariances are
those of the population (divided by N), as in Lin's concordance correlation coefficient (1989, Biometrics 45, 255).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mer_core.errors import DataError
from mer_core.evaluation import Interval, usable_groups
from mer_core.resampling import Units, resampled_sums, sums_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

VALUE_METRICS = ("mae", "rmse", "pearson", "ccc")
VOTE_METRICS = ("cross_entropy", "total_variation", "jensen_shannon")
LEAST = 1e-12
"""A predicted probability below this counts as this much in the cross entropy; a variance below this share of that
of all clips counts as none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueEvaluation:
    """Scores of N predictions of one continuous target, in its own units.

    ``scores`` has an interval for each of :data:`VALUE_METRICS`, NaN where it is undefined, and ``reason`` says why.
    ``constant`` is the RMSE of always answering the mean of these clips. ``unit``, ``n_units`` and ``note`` as in
    :class:`mer_core.evaluation.Evaluation`. ``truth`` and ``predicted`` [N] are what was scored.
    """

    name: str
    n: int
    scores: Mapping[str, Interval]
    constant: float
    unit: str
    n_units: int
    resamples: int
    level: float
    truth: FloatArray
    predicted: FloatArray
    note: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteEvaluation:
    """Scores of N predicted distributions beside the shares of raters' votes, each a mean over clips.

    ``cross_entropy`` in nats, at best ``entropy``, that of the votes themselves; ``total_variation`` half the sum of
    absolute differences; ``jensen_shannon`` the divergence in bits: both from 0 to 1. ``constant`` are the scores of
    always answering the mean of these clips' votes.
    """

    n: int
    scores: Mapping[str, Interval]
    entropy: float
    constant: Mapping[str, float]
    unit: str
    n_units: int
    resamples: int
    level: float
    note: str = ""


def value_scores(truth: ArrayLike, predicted: ArrayLike) -> dict[str, float]:
    """MAE, RMSE, Pearson's correlation and Lin's concordance of N predictions; NaN where undefined."""
    sums, spread = _moments(*_pair(truth, predicted))
    return {name: float(found[0]) for name, found in _value_scores(sums.sum(axis=0)[None], spread).items()}


def vote_distances(votes: ArrayLike, predicted: ArrayLike) -> dict[str, FloatArray]:
    """[N] of each of :data:`VOTE_METRICS` for distributions [N, C]."""
    shares, guess = np.asarray(votes, np.float64), np.asarray(predicted, np.float64)
    if shares.shape != guess.shape or shares.ndim != 2:
        raise DataError(f"votes {list(shares.shape)}, predictions {list(guess.shape)}.", "Give both as [N, C].")
    middle = (shares + guess) / 2
    divergence = (_relative(shares, middle) + _relative(guess, middle)) / 2
    return {
        "cross_entropy": -(shares * np.log(np.maximum(guess, LEAST))).sum(axis=1),
        "total_variation": np.abs(shares - guess).sum(axis=1) / 2,
        "jensen_shannon": np.clip(divergence / np.log(2), 0.0, 1.0),
    }


def evaluate_values(
    name: str,
    truth: ArrayLike,
    predicted: ArrayLike,
    groups: Sequence[str | None] | None = None,
    *,
    unit: str = "speaker",
    n: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> ValueEvaluation | None:
    """Score one continuous target; None where no clip has both a value and a prediction (NaN where there is none)."""
    true, guess = np.asarray(truth, np.float64), np.asarray(predicted, np.float64)
    kept = np.flatnonzero(np.isfinite(true) & np.isfinite(guess))
    if not len(kept):
        return None
    true, guess = true[kept], guess[kept]
    names, note = usable_groups(groups, kept, unit)
    sums, spread = _moments(true, guess)
    units = sums_of(sums, names)
    point = {metric: float(found[0]) for metric, found in _value_scores(sums.sum(axis=0)[None], spread).items()}
    drawn = _drawn(units, n, seed, lambda table: _value_scores(table, spread))
    return ValueEvaluation(
        name=name,
        n=len(kept),
        scores={metric: _interval(point[metric], drawn[metric], units.total, level) for metric in VALUE_METRICS},
        constant=float(true.std()),
        unit=unit if names else "clip",
        n_units=units.total,
        resamples=n,
        level=level,
        truth=true,
        predicted=guess,
        note=note,
        reason=_undefined(point, true, guess),
    )


def evaluate_votes(
    votes: ArrayLike,
    predicted: ArrayLike,
    groups: Sequence[str | None] | None = None,
    *,
    unit: str = "speaker",
    n: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> VoteEvaluation | None:
    """Score predicted distributions [N, C] beside shares of votes [N, C]; None where no clip has both."""
    shares, guess = np.asarray(votes, np.float64), np.asarray(predicted, np.float64)
    kept = np.flatnonzero(np.isfinite(shares).all(axis=1) & np.isfinite(guess).all(axis=1))
    if not len(kept):
        return None
    shares, guess = shares[kept], guess[kept]
    names, note = usable_groups(groups, kept, unit)
    distances = vote_distances(shares, guess)
    units = sums_of(np.stack([np.ones(len(kept)), *distances.values()], axis=1), names)
    drawn = _drawn(units, n, seed, _means)
    everyone = vote_distances(shares, np.broadcast_to(shares.mean(axis=0), shares.shape))
    return VoteEvaluation(
        n=len(kept),
        scores={key: _interval(float(distances[key].mean()), drawn[key], units.total, level) for key in VOTE_METRICS},
        entropy=float(-(shares * np.log(np.maximum(shares, LEAST))).sum(axis=1).mean()),
        constant={metric: float(everyone[metric].mean()) for metric in VOTE_METRICS},
        unit=unit if names else "clip",
        n_units=units.total,
        resamples=n,
        level=level,
        note=note,
    )


def _pair(truth: ArrayLike, predicted: ArrayLike) -> tuple[FloatArray, FloatArray]:
    true, guess = np.asarray(truth, np.float64).ravel(), np.asarray(predicted, np.float64).ravel()
    if len(true) != len(guess):
        raise DataError(f"{len(true)} values but {len(guess)} predictions.", "Give one prediction per value.")
    return true, guess


def _moments(truth: FloatArray, predicted: FloatArray) -> tuple[FloatArray, FloatArray]:
    """[N, 8] what a clip adds to the sums that all scores are made of, and [2] what counts as no variance.

    Both are shifted by the mean of ``truth``, which changes no score and keeps the sums of squares small.
    """
    middle = truth.mean() if len(truth) else 0.0
    t, p = truth - middle, predicted - middle
    off = predicted - truth
    columns = [np.ones(len(t)), t, p, t * t, p * p, t * p, np.abs(off), off * off]
    size = (t * t).mean() + (p * p).mean() if len(t) else 0.0
    least = [_spread(one, size) for one in (t, p)]
    return np.stack(columns, axis=1), np.asarray(least)


def _spread(values: FloatArray, size: float) -> float:
    """The variance from which on ``values`` count as varying; infinite where they are all the same."""
    if not len(values) or np.ptp(values) == 0:
        return float("inf")
    return LEAST * max(float(values.var()), LEAST * size)


def _value_scores(sums: FloatArray, least: FloatArray) -> dict[str, FloatArray]:
    """Scores of sums [R, 8]."""
    with np.errstate(divide="ignore", invalid="ignore"):
        _, t, p, tt, pp, tp, absolute, square = (sums / sums[:, :1]).T
        true, guess = tt - t * t, pp - p * p
        true, guess = np.where(true > least[0], true, 0.0), np.where(guess > least[1], guess, 0.0)
        varies = (true > 0) & (guess > 0)
        both = np.where(varies, tp - t * p, 0.0)
        pearson = np.where(varies, np.clip(both / np.sqrt(true * guess), -1.0, 1.0), np.nan)
        apart = true + guess + (t - p) ** 2
        concordance = np.where((true > 0) | (guess > 0), np.clip(2 * both / apart, -1.0, 1.0), np.nan)
    return {"mae": absolute, "rmse": np.sqrt(square), "pearson": pearson, "ccc": concordance}


def _undefined(point: Mapping[str, float], truth: FloatArray, predicted: FloatArray) -> str:
    """Why a correlation is undefined; empty where it is not."""
    if np.isfinite(point["pearson"]):
        return ""
    if len(truth) < 2:
        return "a correlation needs two clips"
    what = "all true values are the same" if np.ptp(truth) == 0 else "all predictions are the same"
    return f"{what}, so nothing can correlate"


def _relative(p: FloatArray, q: FloatArray) -> FloatArray:
    """[N] relative entropy of p beside q, in nats, where q is 0 only if p is."""
    found: FloatArray = np.where(p > 0, p * np.log(np.where(p > 0, p, 1.0) / np.where(p > 0, q, 1.0)), 0.0).sum(axis=1)
    return found


def _means(sums: FloatArray) -> dict[str, FloatArray]:
    return {metric: sums[:, 1 + place] / sums[:, 0] for place, metric in enumerate(VOTE_METRICS)}


def _drawn(
    units: Units, n: int, seed: int, scored: Callable[[FloatArray], Mapping[str, FloatArray]]
) -> dict[str, FloatArray]:
    parts = [scored(tables[0]) for tables in resampled_sums(units, n, seed)]
    return {metric: np.concatenate([part[metric] for part in parts]) for metric in parts[0]}


def _interval(value: float, drawn: FloatArray, units: int, level: float) -> Interval:
    """Percentile bounds over the resamples in which the score is defined; none where it is undefined itself."""
    known = drawn[np.isfinite(drawn)]
    if units < 2 or not len(known) or not np.isfinite(value):
        return Interval(value)
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))
