"""What several trainings score that differ in nothing but their seed, and how far their scores lie apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mer_core.confusions import METRICS, confusion, rates
from mer_core.intervals import Interval, bootstrap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SeedGuesses:
    """What S seeds predicted of N clips, ``each`` [S, N], and what their mean logits say, ``together`` [N]."""

    seeds: tuple[int, ...]
    each: IntArray
    together: IntArray

    def of(self, rows: IntArray) -> SeedGuesses:
        """Those of some clips."""
        return SeedGuesses(self.seeds, self.each[:, rows], self.together[rows])


@dataclass(frozen=True, slots=True)
class SeedScore:
    """The scores of one seed alone."""

    seed: int
    waf: float
    uar: float
    accuracy: float
    macro_f1: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedScores:
    """The scores of each seed; WAF as their ``mean``, and of their averaged predictions ``together``.

    ``spread`` holds the standard deviation over the seeds (n - 1) of each score: what one training's score would have
    differed by with another seed. It is no interval, says nothing of other clips, and does not shrink with more seeds.
    """

    each: tuple[SeedScore, ...]
    spread: Mapping[str, float]
    mean: Interval
    together: Interval


def score_seeds(
    y: IntArray,
    guesses: SeedGuesses,
    n_classes: int,
    groups: Sequence[str] | None = None,
    n: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> SeedScores:
    """The scores of each seed, their mean and spread, and the score of what they say together."""
    found = alone(y, guesses, n_classes)
    mean, together = (
        bootstrap(y, part, n_classes, groups, n, seed, level)["waf"] for part in (guesses.each, guesses.together)
    )
    return SeedScores(each=found, spread=spread(found), mean=mean, together=together)


def alone(y: IntArray, guesses: SeedGuesses, n_classes: int) -> tuple[SeedScore, ...]:
    """The scores of each seed."""
    found = [rates(confusion(y, own, n_classes)) for own in guesses.each]
    named = zip(guesses.seeds, found, strict=True)
    return tuple(SeedScore(seed=seed, **{name: float(one[name]) for name in METRICS}) for seed, one in named)


def spread(scores: Sequence[SeedScore]) -> dict[str, float]:
    """Standard deviation (n - 1) of each score over the seeds."""
    return {name: float(np.std([getattr(one, name) for one in scores], ddof=1)) for name in METRICS}
