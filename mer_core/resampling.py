"""Bootstrap resamples of confusion matrices, a matrix product at a time.

What is drawn with replacement are units: groups (speakers), or single clips.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

_CELLS = 2_000_000
"""At most this many drawn counts are held at once."""


@dataclass(frozen=True, slots=True)
class Units:
    """What is drawn: ``total`` draws among K kinds of unit with ``chances`` [K]; one table [K, C*C]
    per prediction says what a unit of each kind adds to the confusion matrix."""

    total: int
    chances: FloatArray
    tables: tuple[FloatArray, ...]


def units_of(truth: IntArray, predictions: Sequence[IntArray], n_classes: int, groups: Sequence[str] | None) -> Units:
    """What a bootstrap draws: groups where they are given, else clips."""
    return (
        _clip_units(truth, predictions, n_classes)
        if groups is None
        else _group_units(truth, predictions, n_classes, groups)
    )


def _clip_units(truth: IntArray, predictions: Sequence[IntArray], n_classes: int) -> Units:
    """Clips with the same label and predictions are alike, so drawing N clips is one multinomial."""
    cells, counts = np.unique(np.stack([truth, *predictions]), axis=1, return_counts=True)
    rows = np.arange(cells.shape[1])
    tables = []
    for guess in cells[1:]:
        table = np.zeros((len(rows), n_classes**2))
        table[rows, cells[0] * n_classes + guess] = 1
        tables.append(table)
    return Units(len(truth), counts / max(len(truth), 1), tuple(tables))


def _group_units(truth: IntArray, predictions: Sequence[IntArray], n_classes: int, groups: Sequence[str]) -> Units:
    names, index = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)
    size, count = n_classes**2, len(names)
    cells = [index * size + truth * n_classes + guess for guess in predictions]
    tables = [np.bincount(cell, minlength=count * size).reshape(count, size).astype(np.float64) for cell in cells]
    return Units(count, np.full(count, 1 / max(count, 1)), tuple(tables))


def resamples(units: Units, n_classes: int, n: int, seed: int) -> Iterator[list[FloatArray]]:
    """Confusion matrices [n', C, C] of each prediction, in chunks whose n' add up to ``n``."""
    for tables in resampled_sums(units, n, seed):
        yield [table.reshape(-1, n_classes, n_classes) for table in tables]


def sums_of(rows: FloatArray, groups: Sequence[str] | None) -> Units:
    """What a bootstrap of sums draws: ``rows`` [N, M] are what each clip adds, ``groups`` [N] what is drawn whole."""
    if groups is None:
        return Units(len(rows), np.full(len(rows), 1 / max(len(rows), 1)), (rows,))
    names, index = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)
    table = np.zeros((len(names), rows.shape[1]))
    np.add.at(table, index, rows)
    return Units(len(names), np.full(len(names), 1 / max(len(names), 1)), (table,))


def resampled_sums(units: Units, n: int, seed: int) -> Iterator[list[FloatArray]]:
    """Sums [n', M] over the units that were drawn, in chunks whose n' add up to ``n``."""
    rng = np.random.default_rng(seed)
    chunk = max(1, min(n, _CELLS // max(len(units.chances), *(table.shape[1] for table in units.tables))))
    for start in range(0, n, chunk):
        drawn = _draw(rng, units, min(chunk, n - start))
        yield [drawn @ table for table in units.tables]


def _draw(rng: np.random.Generator, units: Units, n: int) -> FloatArray:
    """How often each kind of unit is drawn, [n, K]."""
    kinds = len(units.chances)
    if kinds == 0:
        return np.zeros((n, 0))
    if kinds < units.total:
        return rng.multinomial(units.total, units.chances, size=n).astype(np.float64)
    picked = rng.integers(kinds, size=(n, units.total))  # as many kinds as draws: all equally likely
    cells = (picked + np.arange(n)[:, None] * kinds).ravel()
    return np.bincount(cells, minlength=n * kinds).reshape(n, kinds).astype(np.float64)
