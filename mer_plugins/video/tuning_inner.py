"""The inner part: clips of the training part that are held out to choose an epoch on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mer_core.plugin import IntArray

ORDERS = 64
"""Orders of the groups that are tried; the one whose part is most like the whole is taken."""

FEWEST = 2
"""Clips per class that an inner part has on average, or there is none."""


def held_out(labels: IntArray, groups: Sequence[str] | None, share: float, rng: np.random.Generator) -> IntArray:
    """Sorted rows of about ``share`` of the clips, in the proportions of the classes; empty where there are too few.

    Clips of one group ("" is none) are held out together.
    """
    known = groups is not None and len({name for name in groups if name}) > 1
    names = np.asarray([(known and groups and groups[row]) or f"\0{row}" for row in range(len(labels))])
    taken = _some_groups(labels, names, share, rng) if known else _some_of_each(labels, share, rng)
    rows = np.flatnonzero(taken)
    classes = np.unique(labels)
    enough = len(rows) >= FEWEST * len(classes) and len(np.unique(labels[~taken])) == len(classes)
    return rows if enough else rows[:0]


def _some_of_each(
    labels: IntArray, share: float, rng: np.random.Generator
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    held = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        held[rows[: round(share * len(rows))]] = True
    return held


def _some_groups(
    labels: IntArray, names: np.ndarray[tuple[int], np.dtype[np.str_]], share: float, rng: np.random.Generator
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Whole groups until ``share`` is reached; of several random orders, the one that fits the classes best."""
    groups, place = np.unique(names, return_inverse=True)
    counts = np.zeros((len(groups), int(labels.max()) + 1))
    np.add.at(counts, (place, labels), 1)
    wanted = share * counts.sum(axis=0)
    best, least = np.zeros(len(groups), bool), np.inf
    for _ in range(ORDERS):
        order = rng.permutation(len(groups))
        sizes = counts[order].sum(axis=1)
        reached = int((np.cumsum(sizes) - sizes / 2 <= wanted.sum()).sum())
        chosen = order[: min(max(1, reached), len(groups) - 1)]
        off = float(np.abs(counts[chosen].sum(axis=0) - wanted).sum())
        if off < least:
            best, least = np.isin(np.arange(len(groups)), chosen), off
    return np.asarray(best[place], bool)
