"""Whether probabilities mean what they say: expected calibration error, reliability, proper scores.

A model is calibrated if, of the answers it gives with probability 0.8, 80% are right. All of this looks at the
likeliest class of a clip alone ("top label"), but for the Brier score and the log loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mer_core.errors import DataError
from mer_core.resampling import Units, resampled_sums, sums_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

BINS = 10
"""Bins of equal width, as in Naeini et al. 2015."""
LEAST = 1e-12
"""The log loss takes smaller probabilities for this."""
_DRAWS = 400


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers with a probability above ``low`` and up to ``high``: their mean probability, and the share right.

    ``n`` is a mean over seeds where there are several; both shares are NaN in an empty bin.
    """

    low: float
    high: float
    n: float
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How well N probabilities fit what happened.

    ``ece`` is the mean distance between probability and share right over the bins, weighted by their clips (Naeini et
    al. 2015; Guo et al. 2017). It is above 0 by chance alone: ``by_chance`` is what a perfectly calibrated model with
    the same probabilities would have on as many clips. Hence it has no interval; ``gap`` has one: mean probability
    minus share right, above 0 where the model is overconfident, with the bounds ``low`` and ``high`` from a bootstrap
    over the same units as the scores. ``brier`` sums squared errors over the classes (0 to 2), ``nll`` is in nats.
    """

    n: int
    ece: float
    by_chance: float
    brier: float
    nll: float
    confidence: float
    accuracy: float
    gap: float
    low: float
    high: float
    bins: tuple[Bin, ...]


def ece(probabilities: ArrayLike, y: ArrayLike, bins: int = BINS) -> float:
    """Expected calibration error of probabilities [N, C] and labels [N]."""
    sure, right = _answers(*_checked(probabilities, y))
    return _ece(_table(sure[0], right[0], bins))


def calibration(
    probabilities: ArrayLike,
    y: ArrayLike,
    groups: Sequence[str] | None = None,
    *,
    bins: int = BINS,
    n: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Calibration:
    """All of the above for probabilities [N, C], or [S, N, C] of S seeds, whose figures are averaged.

    Args:
        groups: [N] that are resampled for ``gap``; None for single clips.

    Raises:
        DataError: lengths differ, a label is no column, or a probability is not between 0 and 1.
    """
    each, truth = _checked(probabilities, y)
    sure, right = _answers(each, truth)
    tables = [_table(one, hits, bins) for one, hits in zip(sure, right, strict=True)]
    gaps = (sure - right).mean(axis=0)
    low, high = _bounds(gaps, groups, n, seed, level)
    of_truth = np.take_along_axis(each, np.broadcast_to(truth[None, :, None], (len(each), len(truth), 1)), axis=2)
    return Calibration(
        n=len(truth),
        ece=float(np.mean([_ece(table) for table in tables])),
        by_chance=float(np.mean([_by_chance(table, seed) for table in tables])),
        brier=float((np.square(each).sum(axis=2) - 2 * of_truth[..., 0] + 1).mean()),
        nll=float(-np.log(np.maximum(of_truth, LEAST)).mean()),
        confidence=float(sure.mean()),
        accuracy=float(right.mean()),
        gap=float(gaps.mean()),
        low=low,
        high=high,
        bins=_bins(np.mean(tables, axis=0)),
    )


def _checked(probabilities: ArrayLike, y: ArrayLike) -> tuple[FloatArray, IntArray]:
    """[S, N, C] and [N]."""
    each, truth = np.asarray(probabilities, np.float64), np.asarray(y, np.int64)
    each = each[None] if each.ndim == 2 else each
    if each.ndim != 3 or each.shape[1] != len(truth) or not len(truth):
        raise DataError(f"probabilities {list(each.shape)} for {len(truth)} labels.", "Give one row per label.")
    if truth.min() < 0 or truth.max() >= each.shape[2]:
        raise DataError(f"A label is outside the {each.shape[2]} classes.", "Leave unlabelled clips out.")
    if not ((each >= -1e-6) & (each <= 1 + 1e-6)).all():
        raise DataError("A probability is not between 0 and 1.", "Give the softmax of logits.")
    return each, truth


def _answers(each: FloatArray, truth: IntArray) -> tuple[FloatArray, FloatArray]:
    """[S, N] probability of the likeliest class, and whether it is right."""
    return each.max(axis=2), (each.argmax(axis=2) == truth).astype(np.float64)


def _table(sure: FloatArray, right: FloatArray, bins: int) -> FloatArray:
    """[bins, 3]: clips, sum of their probabilities, how many are right."""
    place = np.clip(np.ceil(sure * bins - 1e-9).astype(np.int64) - 1, 0, bins - 1)
    columns = [np.bincount(place, weights, minlength=bins) for weights in (None, sure, right)]
    return np.stack(columns, axis=1).astype(np.float64)


def _ece(table: FloatArray) -> float:
    return float(np.abs(table[:, 1] - table[:, 2]).sum() / table[:, 0].sum())


def _by_chance(table: FloatArray, seed: int) -> float:
    """Mean ECE if each bin's answers were right as often as they say."""
    counts = table[:, 0]
    shares = np.clip(table[:, 1] / np.maximum(counts, 1), 0, 1)
    right = np.random.default_rng(seed).binomial(counts.astype(np.int64), shares, size=(_DRAWS, len(counts)))
    return float(np.abs(table[:, 1] - right).sum(axis=1).mean() / counts.sum())


def _bins(table: FloatArray) -> tuple[Bin, ...]:
    edges, counts = np.linspace(0, 1, len(table) + 1), table[:, 0]
    shares = np.where(counts[:, None] > 0, table[:, 1:] / np.maximum(counts, 1e-9)[:, None], np.nan)
    return tuple(
        Bin(float(edges[k]), float(edges[k + 1]), float(counts[k]), float(shares[k, 0]), float(shares[k, 1]))
        for k in range(len(table))
    )


def _bounds(gaps: FloatArray, groups: Sequence[str] | None, n: int, seed: int, level: float) -> tuple[float, float]:
    """Percentile interval of the mean of ``gaps`` [N]; NaN with fewer than two units."""
    if groups is None:  # clips that are nearly alike as one kind
        values, counts = np.unique(np.round(gaps, 4), return_counts=True)
        units = Units(len(gaps), counts / len(gaps), (np.stack([values, np.ones(len(values))], axis=1),))
    else:
        units = sums_of(np.stack([gaps, np.ones(len(gaps))], axis=1), groups)
    if units.total < 2:
        return float("nan"), float("nan")
    drawn = np.concatenate([part[0] for part in resampled_sums(units, n, seed)])
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
