"""What is known of the clips: labels, shares of votes, continuous values, and the scale of the last. numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mer_core.plugin import DataError, TrainingData

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ValueScale:
    """Mean and deviation float64 [V] of continuous targets over a member's own training clips."""

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def fit(cls, values: NDArray[np.float64], rows: Rows, names: Sequence[str], fold: int) -> ValueScale:
        """Learn from ``rows`` of ``values`` [N, V], NaN where unknown; a target that never changes is only shifted.

        Raises:
            DataError: none of the rows knows one of the targets.
        """
        own = np.asarray(values, np.float64)[rows]
        known = np.isfinite(own)
        if not known.any(axis=0).all():
            name = names[int(np.argmin(known.any(axis=0)))]
            what = f"no training clip of fold {fold + 1} has a value of {name!r}."
            raise DataError(what, f"Use fewer folds, give more clips a value, or leave {name!r} out.")
        own = np.where(known, own, np.nan)
        spread = np.nanstd(own, axis=0)
        return cls(np.nanmean(own, axis=0), np.where(spread > 0, spread, 1.0))

    @classmethod
    def identity(cls, count: int) -> ValueScale:
        """Changes nothing."""
        return cls(np.zeros(count), np.ones(count))

    def original(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Standardised ``values`` [n, V] in the targets' own units."""
        found: NDArray[np.float64] = values * self.scale + self.mean
        return found


def votes_of(data: TrainingData) -> NDArray[np.float64] | None:
    """[N, C] shares that sum to 1, NaN rows where nobody voted; None where targets are not votes."""
    if not data.targets.votes or data.votes is None:
        return None
    votes = np.asarray(data.votes, np.float64)
    total = votes.sum(axis=1, keepdims=True)
    return np.where(total > 0, votes / np.where(total > 0, total, 1), np.nan)


def values_of(data: TrainingData) -> NDArray[np.float64]:
    """[N, V] in their own units, NaN where unknown; V is 0 where there are none.

    Raises:
        DataError: targets are named whose values are not there.
    """
    names = data.targets.values
    if not names:
        return np.zeros((len(data.labels), 0))
    if data.values is None or data.values.shape != (len(data.labels), len(names)):
        what = f"there are {len(names)} continuous targets, and no values [{len(data.labels)}, {len(names)}]."
        raise DataError(what, "Give data.values, NaN where unknown, or no targets.values.")
    found = np.asarray(data.values, np.float64)
    return np.where(np.isfinite(found), found, np.nan)


def learnable(data: TrainingData) -> NDArray[np.bool_]:
    """bool [N]: the clip has a label, votes or any value."""
    known = np.isfinite(values_of(data)).any(axis=1) | (np.asarray(data.labels) >= 0)
    votes = votes_of(data)
    return known if votes is None else known | np.isfinite(votes).all(axis=1)
