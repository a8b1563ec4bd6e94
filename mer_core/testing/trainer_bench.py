"""What the checks of a trainer stand on: small feature sets, and fits that several checks share."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer_core.feature_set import FeatureSet, StreamData
from mer_core.models import no_model
from mer_core.protocols import Model, Progress
from mer_core.testing.fusion_bench import seeded
from mer_core.testing.kit import CheckFailed, require
from mer_core.testing.subject import Subject
from mer_core.testing.tables import feature_set
from mer_core.testing.toy_fusion import ToyFusion

Probabilities = NDArray[np.float64]

FOLDS = 3


class TrainerBench:
    """Fits the subject on made-up data; :attr:`model` is fitted once for all checks."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.fits = 0

    @cached_property
    def data(self) -> FeatureSet:
        """48 labelled and 6 unlabelled clips in three folds; a sixth of the cells is absent."""
        return feature_set(48, absent=1 / 6, folds=FOLDS, unlabelled=6)

    @cached_property
    def model(self) -> Model:
        """Fitted on :attr:`data` with seed 0, reporting its progress."""
        return self.fit(self.data, progress=_progress)

    @cached_property
    def answer(self) -> Probabilities:
        """What :attr:`model` makes of its own data: [N, C]."""
        return self.model.predict(self.data.table)

    def trainer(self) -> Any:
        """A fresh one."""
        return self.subject.plugin_class(self.subject.options, self.subject.device)

    def fit(self, data: FeatureSet, seed: int = 0, progress: Progress | None = None) -> Model:
        """A fresh trainer's model of ``data``; the global random numbers stand elsewhere in every fit."""
        self.fits += 1
        with global_seed(1000 + self.fits):
            fitted: Model = self.trainer().fit(ToyFusion(), data, seed, progress)
        wrong = no_model(fitted)
        require(not wrong, f"fit {wrong} See Model.")
        return fitted


def bench_of(subject: Subject) -> TrainerBench:
    """The bench of ``subject``, made once."""
    bench: TrainerBench = vars(subject).setdefault("trainer_bench", TrainerBench(subject))
    return bench


def _progress(stage: str, done: int, total: int, note: str) -> None:
    kinds = [type(part).__name__ for part in (stage, done, total, note)]
    require(kinds == ["str", "int", "int", "str"], f"progress was called with {', '.join(kinds)}: see Progress.")


@contextmanager
def global_seed(seed: int) -> Iterator[None]:
    """Python's, numpy's and torch's global random numbers from ``seed``, put back afterwards."""
    plain, array = random.getstate(), np.random.get_state()
    with seeded(seed):
        random.seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            random.setstate(plain)
            np.random.set_state(array)


def ask(
    model: Model, table: Mapping[str, StreamData], classes: int, fold: int | None = None
) -> tuple[Probabilities, Probabilities]:
    """Probabilities and logits [N, C] of the ensemble or of one member.

    Raises:
        CheckFailed: they are not what they must be.
    """
    clips = len(next(iter(table.values())).present)
    found, logits = model.predict(table, fold), model.logits(table, fold)
    for name, part in (("predict", found), ("logits", logits)):
        if not isinstance(part, np.ndarray):
            raise CheckFailed(f"{name} returned {type(part).__name__}, not a numpy array.")
        require(part.shape == (clips, classes), f"{name} returned {list(part.shape)}, not [{clips}, {classes}].")
        require(bool(np.isfinite(part).all()), f"{name} returned NaN or infinity.")
    require(
        bool((found >= 0).all() and np.abs(found.sum(axis=1) - 1).max() < 1e-5),
        "predict must return probabilities: no row below zero, each with the sum 1.",
    )
    return found, logits


def accuracy(probabilities: Probabilities, labels: NDArray[np.int64]) -> float:
    """Share of clips whose most probable class is the label."""
    return float((probabilities.argmax(axis=1) == labels).mean())


def distance(one: Probabilities, two: Probabilities) -> float:
    """Largest difference; infinite where shapes differ or something is NaN."""
    if one.shape != two.shape:
        return float("inf")
    return float(np.nan_to_num(np.abs(one - two), nan=np.inf).max())
