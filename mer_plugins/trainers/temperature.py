"""Temperatures: probabilities that mean what they say (Guo et al. 2017, "On calibration of modern neural networks").

Each member's logits are divided by one number T, which minimises the log loss on clips that the member did not learn
from. These are a part of its own training clips, never the part that it is scored on: with ``select=inner`` the part
that the epoch was chosen on; otherwise one that a second set of members, trained for this alone, does without.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mer_core.plugin import Fold, Fusion, Progress, TrainingData, take_clips
from mer_plugins.trainers.model import FusionModel
from mer_plugins.trainers.plan import Plan, Rows, make_plan
from mer_plugins.trainers.views import Refolded, seen_by

if TYPE_CHECKING:
    from mer_plugins.trainers.cv import CrossValidation

COLDEST, HOTTEST = 0.1, 10.0
"""Held-out answers that are all right would ask for T = 0, all wrong ones for infinity."""
NEAR = 1.001
"""A temperature within this factor of a limit is at it."""
FEWEST = 10
"""Held-out clips that a temperature is fitted to, at least."""


def fit_temperature(logits: NDArray[np.float64], labels: Rows) -> float:
    """T between ``COLDEST`` and ``HOTTEST`` with the least log loss of ``logits`` [n, C] / T.

    The loss is convex in 1 / T, so that its slope changes sign once: that place is found by bisection.
    """
    centred = logits - logits.mean(axis=1, keepdims=True)
    if not np.abs(centred).max(initial=0) > 0:
        return 1.0
    right = centred[np.arange(len(labels)), labels]

    def slope(sharpness: float) -> float:
        scaled = sharpness * centred
        shares = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        return float(((shares * centred).sum(axis=1) - right).mean())

    low, high = np.log(1 / HOTTEST), np.log(1 / COLDEST)
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if slope(float(np.exp(middle))) > 0 else (middle, high)
    return float(np.exp(-(low + high) / 2))


def calibrated(
    trainer: CrossValidation, fusion: Fusion, data: TrainingData, model: FusionModel, progress: Progress | None
) -> FusionModel:
    """``model`` with a temperature for each member, fitted on a part of that member's training clips."""
    seed = int(model.summary["seed"])
    plan = make_plan(data, trainer.options, seed)
    asked = model
    if plan.select != "inner":
        plan = make_plan(data, trainer.options.model_copy(update={"select": "inner"}), seed)
        if plan.select != "inner":
            return _noted(model, "Too few clips to hold any out for calibration: all temperatures are 1.")
        asked = _second(trainer, fusion, data, model, plan, progress)
    parts = [part.choose[data.labels[part.choose] >= 0] for part in plan.parts]
    found = [_temperature(asked, data, rows, fold) for fold, rows in enumerate(parts)]
    members = [replace(member, temperature=one) for member, one in zip(model.members, found, strict=True)]
    facts = {"temperatures": [round(one, 6) for one in found], "calibration_clips": [len(rows) for rows in parts]}
    done = FusionModel(model.targets, model.streams, members, {**model.summary, **facts})
    few = sum(len(rows) < FEWEST for rows in parts)
    if few:
        left = f"{few} of {len(parts)} temperatures are 1: fewer than {FEWEST} labelled clips were held out for them."
        done = _noted(done, left)
    at_end = sum(one < COLDEST * NEAR or one > HOTTEST / NEAR for one in found)
    if at_end:
        limit = f"{at_end} of {len(parts)} temperatures are at a limit ({COLDEST:g} or {HOTTEST:g})"
        done = _noted(done, f"{limit}: these members' probabilities may still be wrong. Training longer may help.")
    return done


def _noted(model: FusionModel, note: str) -> FusionModel:
    model.summary["notes"] = [*model.summary["notes"], note]
    return model


def _temperature(model: FusionModel, data: TrainingData, rows: Rows, fold: int) -> float:
    if len(rows) < FEWEST:
        return 1.0
    seen = {name: take_clips(seen_by(data, name, fold), rows) for name in model.streams}
    return fit_temperature(model.logits(seen, fold), data.labels[rows])


def _second(
    trainer: CrossValidation,
    fusion: Fusion,
    data: TrainingData,
    model: FusionModel,
    plan: Plan,
    progress: Progress | None,
) -> FusionModel:
    """Members that learn from the plan's training parts alone, pseudo-labels of the first ones included."""
    other = copy.copy(trainer)
    other.options = trainer.options.model_copy(update={"select": "last", "patience": None})
    apart = Refolded(data, tuple(Fold(part.train, part.choose) for part in plan.parts))

    def told(stage: str, done: int, total: int, note: str) -> None:
        if progress is not None:
            progress(stage, done, total, f"calibration, {note}")

    return other.fit_members(fusion, apart, int(model.summary["seed"]), told, _pseudo(model, data))


def _pseudo(model: FusionModel, data: TrainingData) -> Sequence[Mapping[int, int]]:
    """Per member, the pseudo-labels that it learnt from; empty without self-training."""
    given = model.summary.get("self_training", {}).get("labels", ())
    place = {name: row for row, name in enumerate(data.ids)} if given else {}
    return [{place[name]: label for name, label in own.items()} for own in given]
