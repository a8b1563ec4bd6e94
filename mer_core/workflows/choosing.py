"""Which draw each fold chose, which one is kept, and what a choice by the scored clips would have pretended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mer_core.config import RunConfig
from mer_core.errors import DataError
from mer_core.evaluation import bootstrap, paired_difference
from mer_core.feature_set import FeatureSet
from mer_core.report.build import score
from mer_core.report.parts import Score
from mer_core.report.tuning import TrialLine, Tuning
from mer_core.search import Space
from mer_core.workflows.scoring import OutOfFold, groups_of
from mer_core.workflows.searching import waf
from mer_core.workflows.trial_files import Tried


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of one draw: by fold, its longest training there."""

    trial: int
    folds: Mapping[int, Tried]

    def inner(self, fold: int) -> float:
        """WAF on the inner part of ``fold``."""
        one = self.folds[fold]
        return one.inner[one.folds.index(fold)]

    def rank(self, fold: int) -> tuple[int, float, int]:
        """Of two draws the one that is better for ``fold`` has the higher one."""
        return self.folds[fold].rung, self.inner(fold), -self.trial

    @property
    def mean(self) -> float:
        """Inner WAF, over all folds."""
        return float(np.mean([self.inner(fold) for fold in self.folds]))

    @property
    def overall(self) -> tuple[int, float, int]:
        """As :meth:`rank`, for all folds together."""
        return sum(one.rung for one in self.folds.values()), self.mean, -self.trial


@dataclass(frozen=True, slots=True)
class Choice:
    """The draw of each fold, and the one that is ``kept``; trials by their numbers."""

    folds: tuple[int, ...]
    kept: int


def standings(tried: Sequence[Tried], folds: int) -> dict[int, Standing]:
    """By trial, those that were trained in all folds.

    Raises:
        DataError: there are none.
    """
    found: dict[int, dict[int, Tried]] = {}
    for one in sorted((one for one in tried if one.inner), key=lambda one: one.rung):
        found.setdefault(one.trial, {}).update(dict.fromkeys(one.folds, one))
    whole = {trial: Standing(trial, own) for trial, own in found.items() if len(own) == folds}
    if not whole:
        raise DataError(f"no trial could be trained; the first: {tried[0].error}", "Draw from other values.")
    return whole


def choose(found: Mapping[int, Standing], folds: int) -> Choice:
    """By inner scores alone; of equal draws the first."""
    own = [max(found.values(), key=lambda one: one.rank(fold)).trial for fold in range(folds)]
    return Choice(tuple(own), max(found.values(), key=lambda one: one.overall).trial)


def held_out(data: FeatureSet, found: Mapping[int, Standing], trials: Sequence[int]) -> NDArray[np.int64]:
    """[N] what the members of ``trials``, one for each fold, predict of the clips that it held out; -1 elsewhere."""
    guess = np.full(len(data.ids), -1, np.int64)
    for fold, trial in enumerate(trials):
        one = found[trial].folds[fold]
        guess[data.folds[fold].val] = one.guess[one.folds.index(fold)]
    return guess


def tell(
    data: FeatureSet,
    tried: Sequence[Tried],
    choice: Choice,
    nested: OutOfFold,
    space: Space,
    config: RunConfig,
    *,
    asked: int,
    inner: int,
    halvings: int,
    reused: int,
) -> Tuning:
    """The search, for the report.

    Args:
        nested: predictions of the chosen draws, trained again.
    """
    folds = len(data.folds)
    found = standings(tried, folds)
    rows = np.flatnonzero((nested.fold >= 0) & (data.labels >= 0))
    plain = {trial: held_out(data, found, [trial] * folds)[rows] for trial in found}
    truth, classes = data.labels[rows], len(data.targets.classes)
    scored = {trial: waf(data, rows, guess) for trial, guess in plain.items()}
    best = max(scored, key=lambda trial: (scored[trial], -trial))
    before = held_out(data, found, choice.folds)[rows]
    groups = groups_of(data, rows)
    names = [group or data.ids[row] for group, row in zip(groups, rows, strict=True)] if groups else None

    def interval(guess: NDArray[np.int64]) -> Score:
        return score(bootstrap(truth, guess, classes, names, seed=config.seed)["waf"])

    gap = paired_difference(truth, plain[best], before, names, n_classes=classes, seed=config.seed)
    return Tuning(
        asked=asked,
        trials=tuple(_line(trial, tried, found.get(trial), choice, scored) for trial in _numbers(tried)),
        space={name: str(values) for name, values in space.items()},
        inner=inner,
        halving=halvings,
        seed=config.seed,
        kept=choice.kept,
        nested=interval(nested.labels[rows]),
        before=interval(before),
        optimistic=interval(plain[best]),
        best=best,
        gap=score(gap),
        reused=reused,
    )


def _numbers(tried: Sequence[Tried]) -> list[int]:
    return sorted({one.trial for one in tried})


def _line(
    trial: int, tried: Sequence[Tried], found: Standing | None, choice: Choice, scored: Mapping[int, float]
) -> TrialLine:
    own = [one for one in tried if one.trial == trial]
    folds = range(len(found.folds)) if found else ()
    return TrialLine(
        trial=trial,
        draw=dict(own[0].draw),
        inner=tuple(found.inner(fold) for fold in folds) if found else (),
        mean=found.mean if found else None,
        held_out=scored.get(trial),
        chosen_by=tuple(fold + 1 for fold, chosen in enumerate(choice.folds) if chosen == trial),
        kept=trial == choice.kept,
        share=max(one.share for one in own),
        seconds=round(sum(one.seconds for one in own), 3),
        error=next((one.error for one in own if one.error), ""),
    )
