"""Many trials of the trainer ``cv`` as few stacked trainings.

Trials whose modules compute the same but for weights and dropout rates, and whose options differ in nothing but
learning rate and weight decay, train as one model whose members are their folds. Each member learns what it would
learn in a training of its trial alone, up to rounding; stacks are cut so that they fit into memory.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from mer_core.plugin import DataError, Progress, Trial
from mer_plugins.trainers.dropout import dropouts, replace_dropout
from mer_plugins.trainers.masking import ModalityDropout
from mer_plugins.trainers.members import (
    build_member,
    finish_member,
    fit_standardisers,
    fit_value_scale,
    make_losses,
    number_type,
    why_one_by_one,
)
from mer_plugins.trainers.model import FittedMember, FusionModel
from mer_plugins.trainers.noise import seeded
from mer_plugins.trainers.options import CvOptions
from mer_plugins.trainers.plan import Plan, epoch_count, make_plan, steps_per_epoch
from mer_plugins.trainers.signature import signature
from mer_plugins.trainers.stack import Stacked
from mer_plugins.trainers.tables import build_tables
from mer_plugins.trainers.targets import make_targets
from mer_plugins.trainers.threads import fitting_threads, step_operations
from mer_plugins.trainers.trial_loop import SharedNoise, SharedTables, TrialLoop, shortened
from mer_plugins.trainers.views import SomeFolds

if TYPE_CHECKING:
    from mer_core.plugin import TrainingData
    from mer_plugins.trainers.cv import CrossValidation

STACK_BYTES = 1 << 30
"""Weights, gradients and Adam's moments of one stack take so much, and a batch with its dropout factors."""
COPIES = 6
"""Of each weight: itself, its gradient, two moments, the module that it came from and the state that is kept."""
FREE = ("lr", "weight_decay")
"""Options of ``cv`` in which the members of one stack may differ."""

Answer = FusionModel | DataError


@dataclass(frozen=True, slots=True)
class Draw:
    """A trial with its place among all, its folds (numbers) and the trainer that it asks for."""

    number: int
    trial: Trial
    folds: tuple[int, ...]
    trainer: CrossValidation

    @property
    def options(self) -> CvOptions:
        """Of its trainer."""
        return self.trainer.options


def fit_trials(
    trainer: CrossValidation, trials: Sequence[Trial], data: TrainingData, seed: int, progress: Progress | None = None
) -> Iterator[tuple[int, Answer]]:
    """See :class:`mer_core.protocols.TrialTrainer`."""
    count = max(1, len(data.folds))
    draws = [
        Draw(
            number,
            one,
            tuple(range(count)) if one.folds is None else one.folds,
            type(trainer)(one.options, trainer.device),
        )
        for number, one in enumerate(trials)
    ]
    told = Told(progress, sum(len(draw.folds) for draw in draws))
    for family in _families(draws, data, seed):
        yield from family.fit(told)


class Told:
    """Progress over all members of all trials."""

    def __init__(self, progress: Progress | None, members: int) -> None:
        self.progress, self.members, self.done = progress, members, 0

    def during(self, members: int) -> Progress | None:
        """For a training of so many of them."""
        progress, done = self.progress, self.done
        self.done += members
        if progress is None:
            return None
        whole = f"of {self.members} members"
        size = 1000
        return lambda stage, step, steps, note: progress(
            "search",
            int(size * (done + members * step / max(1, steps))),
            size * self.members,
            f"{done + members} {whole}, {note}",
        )


def _families(draws: Sequence[Draw], data: TrainingData, seed: int) -> list[Family]:
    """Draws that train as one stack, together, in the order of the first of each."""
    found: dict[Hashable, list[Draw]] = {}
    for draw in draws:
        found.setdefault(_kind(draw, data, seed), []).append(draw)
    return [Family(own, data, seed) for own in found.values()]


def _kind(draw: Draw, data: TrainingData, seed: int) -> Hashable:
    options = draw.options
    alone = options.self_training != "off" or options.gradient_modulation != "off" or options.calibrate
    alone = alone or options.stacked is False
    if alone or any(info.level == "frame" for info in data.streams.values()):
        return draw.number
    shared = options.model_dump_json(exclude=set(FREE))
    return draw.trial.share, shared, signature(replace_dropout(build_member(draw.trial.fusion, data, seed, 0)))


class Family:
    """Draws of one kind."""

    def __init__(self, draws: Sequence[Draw], data: TrainingData, seed: int) -> None:
        self.draws = sorted(draws, key=lambda draw: [getattr(draw.options, name) for name in FREE])
        self.data, self.seed = data, seed
        self.trainer = draws[0].trainer

    def fit(self, told: Told) -> Iterator[tuple[int, Answer]]:
        """Models of all draws, in stacks where that is possible."""
        if len(self.draws) == 1 or self._why_looped():
            for draw in self.draws:
                yield draw.number, self._alone(draw, told)
            return
        for draws in self._stacks():
            yield from Stack(draws, self.data, self.seed).fit(told)

    def _alone(self, draw: Draw, told: Told) -> Answer:
        data, options = self.data, draw.options
        if draw.trial.share != 1:
            steps = steps_per_epoch(make_plan(data, options, self.seed).parts, options.batch_size)
            epochs = shortened(epoch_count(steps, options), draw.trial.share)
            options = options.model_copy(update={"epochs": epochs})
        some = data if draw.trial.folds is None else SomeFolds(data, draw.folds)
        try:
            return type(self.trainer)(options, self.trainer.device).fit(
                draw.trial.fusion, some, self.seed, told.during(len(draw.folds))
            )
        except DataError as error:
            return error

    def _why_looped(self) -> str:
        """Why the fusion cannot be stacked; "" where it can."""
        fusion, data, trainer = self.draws[0].trial.fusion, self.data, self.trainer
        some = SomeFolds(data, (0,)) if data.folds else data
        part = make_plan(data, trainer.options, self.seed).parts[0]
        dtype = number_type(trainer.options)
        scalers = [fit_standardisers(data, part, 0, trainer.options, trainer.recall)]
        tables = SharedTables(
            build_tables(some, scalers, np.sort(part.train[:2]), trainer.device, dtype), [0, 0], trainer.device
        )
        made = [build_member(fusion, data, self.seed, 0).to(trainer.device, dtype) for _ in range(2)]
        return why_one_by_one([replace_dropout(module) for module in made], tables, trainer.options, trainer.device)

    def _stacks(self) -> Iterator[list[Draw]]:
        """As many whole draws at once as fit into memory."""
        each = self._bytes()
        room, own = STACK_BYTES, list[Draw]()
        for draw in self.draws:
            needed = each * len(draw.folds)
            if own and needed > room:
                yield own
                room, own = STACK_BYTES, []
            room -= needed
            own.append(draw)
        yield own

    def _bytes(self) -> int:
        """What one member takes."""
        weights = sum(p.numel() for p in build_member(self.draws[0].trial.fusion, self.data, self.seed, 0).parameters())
        columns = sum(info.dim for info in self.data.streams.values())
        return 4 * (COPIES * weights + 6 * self.trainer.options.batch_size * columns)


class Stack:
    """Draws that are trained at once. Members are draw after draw, and fold after fold within."""

    def __init__(self, draws: Sequence[Draw], data: TrainingData, seed: int) -> None:
        self.draws, self.data, self.seed = draws, data, seed
        self.trainer, self.options = draws[0].trainer, draws[0].options
        self.owners = [draw for draw in draws for _ in draw.folds]
        self.folds = [fold for draw in draws for fold in draw.folds]
        self.seen = sorted(set(self.folds))
        self.place = [self.seen.index(fold) for fold in self.folds]

    def fit(self, told: Told) -> Iterator[tuple[int, Answer]]:
        """Train, and give every draw its own members."""
        trainer, options, data, device = self.trainer, self.options, self.data, self.trainer.device
        whole = make_plan(data, options, self.seed)
        plan = replace(whole, parts=tuple(whole.parts[fold] for fold in self.folds))
        parts = {fold: whole.parts[fold] for fold in self.seen}
        scalers = {f: fit_standardisers(data, part, f, options, trainer.recall) for f, part in parts.items()}
        scales = {fold: fit_value_scale(data, part, fold) for fold, part in parts.items()}
        dtype = number_type(options)
        some = SomeFolds(data, tuple(self.seen)) if data.folds else data
        tables = SharedTables(
            build_tables(some, [scalers[fold] for fold in self.seen], whole.rows, device, dtype), self.place, device
        )
        modules = self._modules(dtype)
        weights = sum(p.numel() for p in modules[0].parameters())
        work = step_operations(weights, len(modules), options.batch_size)
        with seeded(self.seed, device), fitting_threads(work):
            copies = [replace_dropout(copy.deepcopy(module)) for module in modules]
            targets = make_targets(data, data.labels, plan, whole.rows, [scales[fold] for fold in self.folds], device)
            loop = TrialLoop(
                Stacked(copies),
                tables,
                plan,
                targets,
                make_losses(data, plan, targets, tables, options),
                ModalityDropout(data.streams, options),
                options,
                whole=whole,
                folds=self.folds,
                rates=[draw.options.lr for draw in self.owners],
                decays=[draw.options.weight_decay for draw in self.owners],
                share=self.draws[0].trial.share,
            )
            noise = SharedNoise(
                self.seed, self.seen, self.place, [dropouts(module) for module in copies], device, dtype
            )
            del copies
            loop.run(noise, self.seed, told.during(len(modules)))
        yield from self._models(loop, modules, plan, scalers, scales)

    def _modules(self, dtype: torch.dtype) -> list[nn.Module]:
        pairs = zip(self.owners, self.folds, strict=True)
        made = [build_member(draw.trial.fusion, self.data, self.seed, fold) for draw, fold in pairs]
        return [module.to(self.trainer.device, dtype) for module in made]

    def _models(
        self, loop: TrialLoop, modules: Sequence[nn.Module], plan: Plan, scalers: Mapping[int, Any], scales: Any
    ) -> Iterator[tuple[int, Answer]]:
        first = 0
        for draw in self.draws:
            members = range(first, first + len(draw.folds))
            first = members.stop
            lost = [member for member in members if member in loop.diverged]
            if lost:
                epoch = loop.diverged[lost[0]]
                yield draw.number, DataError(f"its training diverged in epoch {epoch}.", "Lower the learning rate.")
                continue
            fitted = [
                finish_member(
                    modules[member],
                    loop.curves[member].best,
                    self.data,
                    plan.parts[member],
                    fold,
                    scalers[fold],
                    scales[fold],
                )
                for member, fold in zip(members, draw.folds, strict=True)
            ]
            summary = self._summary(draw, loop, plan, members, fitted)
            yield draw.number, FusionModel(self.data.targets, self.data.streams, fitted, summary)

    def _summary(
        self, draw: Draw, loop: TrialLoop, plan: Plan, members: range, fitted: Sequence[FittedMember]
    ) -> dict[str, Any]:
        return {
            "selection": plan.select,
            "optimistic": plan.select == "val",
            "members": len(members),
            "seed": self.seed,
            "epochs": loop.trained,
            "steps": loop.trained * loop.steps,
            "parameters": sum(p.numel() for p in fitted[0].module.parameters()),
            "curves": [loop.curves[member].facts() for member in members],
            "notes": [*plan.notes, *loop.dropping.notes],
            "options": draw.options.model_dump(),
            "stacked": True,
            "stacked_reason": "",
            "trials": len(self.draws),
        }
