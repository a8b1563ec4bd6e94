"""The trials of a search: trained, scored on inner parts and on held-out clips, and written down as they are done."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer_core.blame import blame
from mer_core.config import RunConfig
from mer_core.errors import DataError, OptionError
from mer_core.evaluation import weighted_f1
from mer_core.feature_set import FeatureSet
from mer_core.protocols import Model, Trainer, Trial, TrialTrainer
from mer_core.registry import Catalogue
from mer_core.spec import FusionSpec, TrainerSpec, digest
from mer_core.workflows.features import take
from mer_core.workflows.guarded import guard
from mer_core.workflows.nested import Inside
from mer_core.workflows.pipeline import fusion_entry, make_fusion, make_trainer, trainer_entry
from mer_core.workflows.trial_files import Journal, Tried
from mer_core.workflows.unfinished import training_key
from mer_core.workflows.workspace import Workspace

KINDS: Mapping[str, type[FusionSpec] | type[TrainerSpec]] = {"fusion": FusionSpec, "trainer": TrainerSpec}
KEEP = 3
"""In each halving one of so many draws is kept, and trained so many times as long."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A draw, by its number from 1, and the run's configuration with it."""

    number: int
    draw: Mapping[str, Any]
    config: RunConfig


def with_draw(config: RunConfig, draw: Mapping[str, Any], catalogue: Catalogue) -> RunConfig:
    """``config`` whose fusion and trainer have the options of ``draw``, by ``fusion.NAME`` and ``trainer.NAME``.

    Raises:
        OptionError: one of them cannot be.
    """
    update = {}
    for part, kind in KINDS.items():
        choice = getattr(config, part)
        own = {name.partition(".")[2]: value for name, value in draw.items() if name.partition(".")[0] == part}
        options = catalogue.options(kind, choice.name, {**choice.options, **own})
        update[part] = choice.model_copy(update={"options": options.model_dump(mode="json")})
    return config.model_copy(update=update)


@dataclass(slots=True)
class Search:
    """All trials over the inner folds of ``inside``.

    Args:
        candidates: what is tried.
        halvings: how often the better third is kept and trained longer.
    """

    inside: Inside
    candidates: Sequence[Candidate]
    config: RunConfig
    space: Workspace
    journal: Journal
    halvings: int = 0
    reused: int = 0
    tried: list[Tried] = field(default_factory=list)

    def run(self) -> Iterator[Tried]:
        """Train everything that is not written down yet; each trial as it is done.

        With halvings, each fold keeps the best third of its draws, by its own inner score, for a training three times
        as long, until the last takes all epochs.
        """
        folds = range(len(self.inside.outer.folds))
        alive = {fold: [one.number for one in self.candidates] for fold in folds}
        base = training_key(self.inside.data, self.config, *self._entries())
        for rung in range(self.halvings + 1):
            share = float(KEEP) ** (rung - self.halvings)
            wanted = [(one, tuple(f for f in folds if one.number in alive[f])) for one in self.candidates]
            asked = [(one, own) for one, own in wanted if own]
            found: list[Tried] = []
            for one in self._rung(asked, rung, share, base):
                found.append(one)
                self.tried.append(one)
                yield one
            alive = {fold: survivors(found, fold, math.ceil(len(alive[fold]) / KEEP)) for fold in folds}
        if self.space.notice and self.tried and self.reused == len(self.tried):
            self.space.notice(f"All {self.reused} trials were done before.")

    def _entries(self) -> tuple[Any, Any]:
        return trainer_entry(self.config, self.space.catalogue), fusion_entry(self.config, self.space.catalogue)

    def _rung(
        self, asked: Sequence[tuple[Candidate, tuple[int, ...]]], rung: int, share: float, base: str
    ) -> Iterator[Tried]:
        fresh: list[tuple[Candidate, Tried]] = []
        for one, folds in asked:
            parts = [one.config.fusion, one.config.trainer]
            key = digest([base, *(part.model_dump(mode="json") for part in parts), share, folds])
            empty = Tried(key=key, trial=one.number, draw=one.draw, folds=folds, rung=rung, share=share)
            known = self.journal.known.get(key)
            if known is None:
                fresh.append((one, empty))
                continue
            self.reused += 1
            yield replace(known, trial=one.number, rung=rung)
        self._tell_reused(len(fresh))
        clock = Clock()
        for place, model in self._fit([one for one, _ in fresh], [empty.folds for _, empty in fresh], share):
            seconds = clock.share(model)
            scored = self._scored(model, fresh[place][1])
            yield self.journal.add(replace(scored, seconds=round(seconds, 3)))

    def _tell_reused(self, fresh: int) -> None:
        """Say how many trials were done before, once: when the first new one is trained."""
        notice, reused = self.space.notice, self.reused
        if notice is None or not fresh or not reused or reused < len(self.tried):
            return
        were = "was" if reused == 1 else "were"
        notice(f"{reused} of {reused + fresh} trials {were} done before; going on with {fresh}.")

    def _fit(
        self, candidates: Sequence[Candidate], folds: Sequence[tuple[int, ...]], share: float
    ) -> Iterator[tuple[int, Model | DataError]]:
        inner = [tuple(place for fold in own for place in self.inside.within(fold)) for own in folds]
        return fit_trials(self.inside.data, candidates, inner, self.config, self.space, share)

    def _scored(self, model: Model | DataError, trial: Tried) -> Tried:
        if isinstance(model, DataError):
            return replace(trial, error=model.message)
        found = [self._fold(model, trial.folds, fold) for fold in trial.folds]
        inner, held_out, guess = zip(*found, strict=True)
        return replace(trial, inner=inner, held_out=held_out, guess=guess)

    def _fold(self, model: Model, folds: Sequence[int], fold: int) -> tuple[float, float, tuple[int, ...]]:
        """Inner and held-out WAF of one fold, and its predictions of what it held out."""
        data, inside = self.inside.data, self.inside
        members = [place for own in folds for place in inside.within(own)]
        own = inside.within(fold)
        answers = [predict(model, data, data.folds[at].val, at, members.index(at)).argmax(1) for at in own]
        held = np.asarray(inside.outer.folds[fold].val, np.int64)
        seen = [predict(model, data, held, at, members.index(at)) for at in own]
        guess = np.mean(seen, axis=0).argmax(1)
        inner = waf(data, inside.chosen_on(fold), np.concatenate(answers))
        return inner, waf(data, held, guess), tuple(guess.tolist())


class Clock:
    """How long each trial took: of those that were trained together, an equal part of their time."""

    def __init__(self) -> None:
        self.began, self.left, self.each = time.monotonic(), 0, 0.0

    def share(self, model: Model | DataError) -> float:
        """Seconds of the trial that has just been done."""
        if not self.left:
            now = time.monotonic()
            together = 1 if isinstance(model, DataError) else int(model.summary.get("trials", 1))
            self.left, self.each, self.began = together, (now - self.began) / together, now
        self.left -= 1
        return self.each


def survivors(found: Sequence[Tried], fold: int, count: int) -> list[int]:
    """Numbers of the ``count`` trials that are best on the inner part of ``fold``, in order of their numbers."""
    scores = {one.trial: one.inner[one.folds.index(fold)] for one in found if fold in one.folds and one.inner}
    return sorted(sorted(scores, key=lambda number: (-scores[number], number))[:count])


def predict(model: Model, data: FeatureSet, rows: NDArray[np.int64], fold: int, member: int) -> NDArray[np.float64]:
    """Probabilities [n, C] of clips as ``fold`` sees them, by one member."""
    part = take(data, rows)
    return model.predict({name: part.features(name, fold) for name in part.streams}, member)


def waf(data: FeatureSet, rows: NDArray[np.int64], guess: NDArray[np.int64]) -> float:
    """WAF of predictions of the clips ``rows``, those without a label left out; 0 where none has one."""
    known = data.labels[rows] >= 0
    if not known.any():
        return 0.0
    return round(weighted_f1(data.labels[rows][known], guess[known], len(data.targets.classes)), 6)


def fit_trials(
    data: FeatureSet,
    candidates: Sequence[Candidate],
    folds: Sequence[tuple[int, ...]],
    config: RunConfig,
    space: Workspace,
    share: float = 1.0,
) -> Iterator[tuple[int, Model | DataError]]:
    """Each candidate on its folds of ``data``: together where the trainer can, else one after the other."""
    if not candidates:
        return
    catalogue = space.catalogue
    trainer = make_trainer(config, catalogue)
    entry, beside = trainer_entry(config, catalogue), fusion_entry(config, catalogue)
    if not isinstance(trainer, TrialTrainer):
        yield from _one_by_one(data, candidates, folds, space, share)
        return
    trials = [
        Trial(
            fusion=make_fusion(one.config, catalogue),
            options=catalogue.options(TrainerSpec, one.config.trainer.name, one.config.trainer.options),
            folds=own,
            share=share,
        )
        for one, own in zip(candidates, folds, strict=True)
    ]
    with blame(entry, "fit_trials", beside):
        for place, model in trainer.fit_trials(trials, data, config.seed, space.progress):
            yield place, model if isinstance(model, DataError) else guard(model, entry)


def _one_by_one(
    data: FeatureSet, candidates: Sequence[Candidate], folds: Sequence[tuple[int, ...]], space: Workspace, share: float
) -> Iterator[tuple[int, Model | DataError]]:
    if share != 1:
        name = candidates[0].config.trainer.name
        what = f"the trainer {name} cannot be told to train for a part of its epochs."
        raise OptionError(what, "Leave out --halving.")
    for place, (one, own) in enumerate(zip(candidates, folds, strict=True)):
        trainer: Trainer = make_trainer(one.config, space.catalogue)
        entry, beside = trainer_entry(one.config, space.catalogue), fusion_entry(one.config, space.catalogue)
        tables = {number: data.fold_tables[fold] for number, fold in enumerate(own) if fold in data.fold_tables}
        some = replace(data, folds=tuple(data.folds[fold] for fold in own), fold_tables=tables)
        try:
            with blame(entry, "fit", beside):
                model = trainer.fit(make_fusion(one.config, space.catalogue), some, one.config.seed, space.progress)
        except DataError as error:
            yield place, error
            continue
        yield place, guard(model, entry)
