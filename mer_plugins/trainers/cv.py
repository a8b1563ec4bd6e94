"""Trainer ``cv``: one member per fold, all trained together, none selected on what it is scored on."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from mer_core.plugin import (
    DataError,
    Fusion,
    Progress,
    StreamData,
    StreamInfo,
    TargetSpec,
    TrainingData,
    Trial,
    frames_of,
)
from mer_core.pooling import count_nonfinite
from mer_plugins.trainers.checks import refuse_strange_rates, refuse_targets
from mer_plugins.trainers.consistency_loop import Unlabelled
from mer_plugins.trainers.dropout import replace_dropout
from mer_plugins.trainers.known import learnable
from mer_plugins.trainers.loop import Loop
from mer_plugins.trainers.losses import COUPLED
from mer_plugins.trainers.masking import ModalityDropout
from mer_plugins.trainers.members import (
    build_member,
    finish_member,
    fit_standardisers,
    fit_value_scale,
    make_losses,
    number_type,
    scale_notes,
    unlearnt_notes,
    why_one_by_one,
)
from mer_plugins.trainers.model import FittedMember, FusionModel, load_model
from mer_plugins.trainers.modulation import encoder_weights, make_modulation
from mer_plugins.trainers.noise import Noise, seeded
from mer_plugins.trainers.options import CvOptions
from mer_plugins.trainers.plan import Plan, make_plan
from mer_plugins.trainers.pseudo import with_pseudo
from mer_plugins.trainers.recall import Recall
from mer_plugins.trainers.self_training import self_train
from mer_plugins.trainers.stack import Looped, Members, Stacked
from mer_plugins.trainers.tables import build_tables, folded
from mer_plugins.trainers.targets import make_targets
from mer_plugins.trainers.temperature import calibrated
from mer_plugins.trainers.threads import fitting_threads, step_operations

__all__ = ["CrossValidation", "CvOptions"]


FEW = 8
"""Clips of a batch below which losses that compare them are said to have little to go by."""


class CrossValidation:
    """Trainer plugin ``cv``.

    Method: arXiv 2409.07078, section 4.2, with changes that make its score honest and its defaults
    work on small, unscaled features; ``--protocol mer2024`` gives the published settings. The same
    seed, machine and number of threads give the same bits.
    """

    def __init__(self, options: CvOptions, device: str = "cpu") -> None:
        self.options, self.device, self.recall = options, device, Recall()
        if options.self_training != "off":
            self.folder: Path | None = None  # whoever runs this may lend one

    def check_fit(self, module: nn.Module, streams: Mapping[str, StreamInfo], targets: TargetSpec) -> None:
        """Refuse, before features are made, what :meth:`fit` would refuse afterwards, and rates for strange modalities.

        Raises:
            DataError: for targets that cannot be learnt.
            OptionError: for options that ask for what the streams, targets or other options do not give.
            PluginError: for a fusion that cannot be trained as the options ask.
        """
        refuse_targets(self.options, targets)
        refuse_strange_rates(self.options, streams)
        if self.options.gradient_modulation != "off":
            encoder_weights(module, streams)

    def fit(self, fusion: Fusion, data: TrainingData, seed: int, progress: Progress | None = None) -> FusionModel:
        """Train one member per fold, or a single one on all labelled clips where there are no folds.

        Raises:
            DataError: for folds that cannot be trained on, or training that diverges.
            OptionError: for options that ask for what the data or other options do not give.
            PluginError: for streams that the fusion cannot read.
        """
        _check(data, self.options)
        train = self_train if self.options.self_training != "off" else CrossValidation.fit_members
        with self.recall:
            model = train(self, fusion, data, seed, progress)
        return calibrated(self, fusion, data, model, progress) if self.options.calibrate else model

    def fit_members(
        self,
        fusion: Fusion,
        data: TrainingData,
        seed: int,
        progress: Progress | None = None,
        pseudo: Sequence[Mapping[int, int]] = (),
        start: FusionModel | None = None,
        unlabelled: Unlabelled | None = None,
    ) -> FusionModel:
        """One training of all members.

        Args:
            pseudo: per member, labels of further rows to learn from.
            start: members whose weights these begin with; None for new ones.
            unlabelled: clips to learn from by consistency; None for none.
        """
        dropping = ModalityDropout(data.streams, self.options)
        plan = make_plan(data, self.options, seed)
        scalers = [fit_standardisers(data, part, f, self.options, self.recall) for f, part in enumerate(plan.parts)]
        scales = [fit_value_scale(data, part, fold) for fold, part in enumerate(plan.parts)]
        labelled, (plan, labels) = plan, with_pseudo(plan, data.labels, pseudo)
        dtype = number_type(self.options)
        rows, make_loop = (unlabelled.rows(plan.rows), unlabelled.loop) if unlabelled else (plan.rows, Loop)
        tables = build_tables(data, scalers, rows, self.device, dtype)
        targets = make_targets(data, labels, labelled, rows, scales, self.device)
        losses = make_losses(data, plan, targets, tables, self.options)
        modules = [build_member(fusion, data, seed, fold).to(self.device, dtype) for fold in range(len(plan.parts))]
        for module, member in zip(modules, start.members if start else (), strict=bool(start)):
            module.load_state_dict(member.module.state_dict())
        weights = sum(p.numel() for p in modules[0].parameters())
        work = step_operations(weights, len(modules), self.options.batch_size)
        with seeded(seed, self.device), fitting_threads(work):
            copies = [replace_dropout(copy.deepcopy(module)) for module in modules]
            reason = why_one_by_one(copies, tables, self.options, self.device)
            members: Members = Looped(copies) if reason else Stacked(copies)
            modulation = make_modulation(copies[0], data.streams, self.options, seed, len(copies), self.device)
            loop = make_loop(members, tables, plan, targets, losses, dropping, self.options, modulation)
            loop.run(Noise(seed, len(modules), self.device, dtype), seed, progress)
        ended = zip(modules, loop.curves, plan.parts, scalers, scales, strict=True)
        fitted = [
            finish_member(module, curve.best, data, part, fold, own, scale)
            for fold, (module, curve, part, own, scale) in enumerate(ended)
        ]
        summary = self._summary(data, plan, loop, seed, fitted)
        summary |= {"stacked": not reason, "stacked_reason": reason}
        summary |= {"gradient_modulation": modulation.facts()} if modulation else {}
        return FusionModel(data.targets, data.streams, fitted, summary)

    def fit_trials(
        self, trials: Sequence[Trial], data: TrainingData, seed: int, progress: Progress | None = None
    ) -> Iterator[tuple[int, FusionModel | DataError]]:
        """Train many trials as few stacks; see :mod:`mer_plugins.trainers.trials`."""
        from mer_plugins.trainers.trials import fit_trials

        for one in trials:
            _check(data, one.options)
        return fit_trials(self, trials, data, seed, progress)

    def load(self, folder: Path, fusion: Fusion) -> FusionModel:
        """What :meth:`FusionModel.save` wrote."""
        return load_model(folder, fusion, self.device)

    def _summary(
        self, data: TrainingData, plan: Plan, loop: Loop, seed: int, fitted: Sequence[FittedMember]
    ) -> dict[str, Any]:
        return {
            "selection": plan.select,
            "optimistic": plan.select == "val",
            "members": len(plan.parts),
            "folds": len(data.folds),
            "seed": seed,
            "epochs": loop.trained,
            "steps": loop.trained * loop.steps,
            "batch_size": self.options.batch_size,
            "parameters": sum(p.numel() for p in fitted[0].module.parameters()),
            "train_clips": [len(part.train) for part in plan.parts],
            "selection_clips": [len(part.choose) for part in plan.parts],
            "curves": [curve.facts() for curve in loop.curves],
            "imputed": _imputed(data, self.recall),
            "coupled": self._coupled(data, fitted[0].module),
            "notes": [
                *plan.notes,
                *loop.dropping.notes,
                *unlearnt_notes(fitted),
                *scale_notes(data, plan, self.options),
                *self._small_batches(data, plan, loop, fitted[0].module),
            ],
            "options": self.options.model_dump(),
        }

    def _coupled(self, data: TrainingData, module: nn.Module) -> list[str]:
        """Losses that depend on which clips are together in a batch: the fusion's, and that of values."""
        own = [self.options.value_loss] if data.targets.values and self.options.value_loss in COUPLED else []
        return [*getattr(module, "coupled", ()), *own]

    def _small_batches(self, data: TrainingData, plan: Plan, loop: Loop, module: nn.Module) -> list[str]:
        smallest = min(len(part.train) // loop.steps for part in plan.parts)
        coupled = self._coupled(data, module)
        if not coupled or smallest >= FEW:
            return []
        return [f"{', '.join(coupled)}: compares the clips of a batch, and some batches have {smallest}."]


def _check(data: TrainingData, options: CvOptions) -> None:
    refuse_targets(options, data.targets)
    if not learnable(data).any():
        raise DataError("every clip is unlabelled.", "Give labels, votes or values for some.")


def _holes(part: StreamData) -> NDArray[np.int64]:
    return count_nonfinite(part.values, frames_of(part, np.arange(len(part.present))))


def _imputed(data: TrainingData, recall: Recall) -> dict[str, dict[str, int]]:
    """Per stream, non-finite cells of present rows, and in how many columns, where there are any."""
    found = {}
    for name in data.streams:
        part = folded(data, name, 1)[0]
        holes = recall(part, None, partial(_holes, part))
        if holes.any():
            found[name] = {"cells": int(holes.sum()), "columns": int((holes > 0).sum())}
    return found
