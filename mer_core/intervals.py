"""Intervals of the scores of class predictions, by a percentile bootstrap (Efron 1979) over groups or clips.

Predictions are [N], or [S, N] of S seeds: the same clips or speakers are then drawn for all seeds, whose scores are
averaged inside each resample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mer_core.confusions import METRICS, checked, confusion, mean_rates, of_seeds
from mer_core.resampling import resamples, units_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A score (or a difference of scores) with the bounds of its interval; NaN where undefined."""

    value: float
    low: float = float("nan")
    high: float = float("nan")


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
    truth, guesses = labels_of_seeds(y, pred, n_classes)
    units = units_of(truth, guesses, n_classes, groups)
    drawn = [mean_rates(tables) for tables in resamples(units, n_classes, n, seed)]
    point = mean_rates([confusion(truth, guess, n_classes) for guess in guesses])
    return {
        name: interval_of(float(point[name]), np.concatenate([part[name] for part in drawn]), units.total, level)
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
    (truth, first), (_, second) = labels_of_seeds(y, a, size), labels_of_seeds(y, b, size)
    units, seeds = units_of(truth, [*first, *second], size, groups), len(first)

    def difference(tables: Sequence[NDArray[Any]]) -> Any:
        return mean_rates(tables[:seeds])[metric] - mean_rates(tables[seeds:])[metric]

    drawn = [difference(tables) for tables in resamples(units, size, n, seed)]
    value = difference([confusion(truth, guess, size) for guess in (*first, *second)])
    return interval_of(float(value), np.concatenate(drawn), units.total, level)


def labels_of_seeds(y: ArrayLike, pred: ArrayLike, n_classes: int) -> tuple[IntArray, list[IntArray]]:
    """Labels [N], and predictions [N] of each seed."""
    pairs = [checked(y, one, n_classes) for one in of_seeds(pred)]
    return pairs[0][0], [guess for _, guess in pairs]


def interval_of(value: float, drawn: FloatArray, units: int, level: float) -> Interval:
    """``value`` with the percentiles of what was ``drawn``; without them where there are fewer than two units."""
    if units < 2 or not len(drawn):
        return Interval(value)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))
