"""What each member learns from and is selected on, and in which batches.

All folds take the same number of steps per epoch, S = ceil(largest training part / batch size): each
fold shuffles its own rows and cuts them into S near-equal batches, so that every clip is seen exactly
once per epoch and no batch is tiny. A fold whose batch is smaller than the largest is padded with rows
of weight 0. All folds therefore finish together, and none goes on learning after its last step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mer_core.plugin import DataError, TrainingData
from mer_plugins.trainers.known import learnable
from mer_plugins.trainers.noise import generator
from mer_plugins.trainers.options import CvOptions

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Part:
    """One member: rows it learns from, and rows on which its epoch is chosen (empty: the last epoch)."""

    train: Rows
    choose: Rows


@dataclass(frozen=True, slots=True)
class Plan:
    """The parts of all members, how epochs are selected after all, and remarks for the report."""

    parts: tuple[Part, ...]
    select: str
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> Rows:
        """Every clip that training touches, sorted."""
        return np.unique(np.concatenate([rows for part in self.parts for rows in (part.train, part.choose)]))


def make_plan(data: TrainingData, options: CvOptions, seed: int) -> Plan:
    """Parts as ``options.select`` wants them; ``last`` with a note where that is impossible.

    Raises:
        DataError: if a training part is empty or holds clips without label, votes and values.
    """
    known = learnable(data)
    trains = [_checked(known, fold.train, k) for k, fold in enumerate(data.folds)]
    trains = trains or [_checked(known, np.flatnonzero(known), 0)]
    last = tuple(Part(train, train[:0]) for train in trains)
    if options.select == "val" and not data.folds:
        return Plan(last, "last", ("There are no folds to select an epoch on: the last one was kept.",))
    if options.select == "val":
        scored = [_checked(known, fold.val, k) for k, fold in enumerate(data.folds)]
        return Plan(tuple(map(Part, trains, scored)), "val")
    if options.select == "last":
        return Plan(last, "last")
    return _inner_plan(data, trains, last, options.inner_fraction, seed)


def _inner_plan(data: TrainingData, trains: Sequence[Rows], last: tuple[Part, ...], share: float, seed: int) -> Plan:
    parts = tuple(_inner(data, train, share, generator(seed, k, "inner")) for k, train in enumerate(trains))
    if all(_enough(data, part) for part in parts):
        return Plan(parts, "inner")
    return Plan(last, "last", ("Too few clips to hold any out for inner selection: the last epoch was kept.",))


def _enough(data: TrainingData, part: Part) -> bool:
    """Two classes to learn from and two clips to score, where there are classes."""
    if not data.targets.classes:
        return len(part.train) > 1 and len(part.choose) > 1
    learnt, scored = (data.labels[rows][data.labels[rows] >= 0] for rows in (part.train, part.choose))
    return len(np.unique(learnt)) > 1 and len(scored) > 1


def _inner(data: TrainingData, train: Rows, share: float, rng: np.random.Generator) -> Part:
    """Hold out whole groups where they are known and several, else clips class by class."""
    names = data.groups or ("",) * len(data.labels)
    groups = np.asarray([names[row] or f"clip {row}" for row in train])
    several = any(names[row] for row in train) and len(np.unique(groups)) > 1
    held = _some_groups(groups, share, rng) if several else _some_of_each(data.labels[train], share, rng)
    return Part(train[~held], train[held])


def _some_groups(groups: NDArray[np.str_], share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Shuffled groups until ``share`` of the clips is reached; at least one, never all."""
    names, counts = np.unique(groups, return_counts=True)
    order = rng.permutation(len(names))
    reached = np.cumsum(counts[order]) - counts[order] / 2 <= share * len(groups)
    taken = min(max(1, int(reached.sum())), len(names) - 1)
    return np.isin(groups, names[order[:taken]])


def _some_of_each(labels: Rows, share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    held = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        held[rows[: round(share * len(rows))]] = True
    return held


def _checked(known: NDArray[np.bool_], rows: Rows, fold: int) -> Rows:
    rows = np.asarray(rows, np.int64)
    if not len(rows):
        raise DataError(f"fold {fold + 1} has a part without any clip.", "Use fewer folds or more labelled clips.")
    if not known[rows].all():
        raise DataError(f"fold {fold + 1} contains unlabelled clips.", "Plan the folds over labelled clips only.")
    return rows


def steps_per_epoch(parts: Sequence[Part], batch_size: int) -> int:
    """S of the module's text."""
    return math.ceil(max(len(part.train) for part in parts) / batch_size)


def epoch_count(steps: int, options: CvOptions) -> int:
    """Epochs asked for, or as many as ``min_steps`` and ``min_epochs`` need at ``steps`` per epoch."""
    return options.epochs or max(options.min_epochs, math.ceil(options.min_steps / steps))


class Batches:
    """Shuffles every fold's rows anew for each epoch, each with its own generator."""

    def __init__(self, trains: Sequence[Rows], steps: int, seed: int) -> None:
        self.trains, self.steps = trains, steps
        self.size = max(math.ceil(len(rows) / steps) for rows in trains)
        self.generators = [generator(seed, fold, "order") for fold in range(len(trains))]

    def epoch(self) -> Iterator[tuple[Rows, NDArray[np.float64]]]:
        """S times ``rows`` [F, B] and ``weights`` [F, B]; a fold's weights sum to 1 in each batch."""
        pairs = zip(self.trains, self.generators, strict=True)
        cut = [np.array_split(rng.permutation(rows), self.steps) for rows, rng in pairs]
        for pieces in zip(*cut, strict=True):
            padded = [self._padded(piece, rows) for piece, rows in zip(pieces, self.trains, strict=True)]
            yield np.stack([p[0] for p in padded]), np.stack([p[1] for p in padded])

    def _padded(self, piece: Rows, rows: Rows) -> tuple[Rows, NDArray[np.float64]]:
        weights = np.zeros(self.size)
        weights[: len(piece)] = 1 / max(1, len(piece))
        return np.resize(piece if len(piece) else rows, self.size), weights
