"""What a member begins with, what it learns by, and what it is at the end: alone, as a fold or as part of a trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from mer_core.plugin import Fusion, FusionError, StreamData, frames_of
from mer_core.pooling import Standardiser
from mer_plugins.trainers.known import ValueScale, values_of
from mer_plugins.trainers.losses import Losses
from mer_plugins.trainers.model import FittedMember
from mer_plugins.trainers.noise import generator, seeded
from mer_plugins.trainers.options import CvOptions
from mer_plugins.trainers.plan import Part, Plan, Rows
from mer_plugins.trainers.recall import Recall
from mer_plugins.trainers.stack import why_looped
from mer_plugins.trainers.tables import Tables, fit_standardiser
from mer_plugins.trainers.targets import Targets, class_counts, class_weights
from mer_plugins.trainers.views import seen_by

if TYPE_CHECKING:
    from mer_core.plugin import TrainingData

FAR = 100.0
"""Values that reach further from zero than this are remarked on where nothing is standardised."""
LOOKED_AT = 256
"""Clips or frames of a stream that are looked at for that."""


def build_member(fusion: Fusion, data: TrainingData, seed: int, fold: int) -> nn.Module:
    """A module whose initial weights, drawn on the CPU, depend on ``seed`` and ``fold`` alone."""
    with seeded(int(generator(seed, fold, "weights").integers(2**62))):
        return fusion.build(data.streams, data.targets)


def number_type(options: CvOptions) -> torch.dtype:
    """What weights are kept in."""
    return torch.float64 if options.precision == "float64" else torch.float32


def fit_standardisers(
    data: TrainingData, part: Part, fold: int, options: CvOptions, recall: Recall
) -> dict[str, Standardiser]:
    """By stream, what the member's training part teaches about its columns."""
    found = {}
    for name in data.streams:
        seen = seen_by(data, name, fold)
        learn = partial(fit_standardiser, seen, part.train, options.standardise, options.limit)
        found[name] = recall(seen, part.train, learn)
    return found


def fit_value_scale(data: TrainingData, part: Part, fold: int) -> ValueScale:
    """The scale of the continuous targets in the member's training part."""
    names = data.targets.values
    return ValueScale.fit(values_of(data), part.train, names, fold) if names else ValueScale.identity(0)


def make_losses(data: TrainingData, plan: Plan, targets: Targets, tables: Tables, options: CvOptions) -> Losses:
    """What all members minimise, class weights by each one's own training part."""
    classes = data.targets.classes
    counts = class_counts(targets, [tables.local(part.train) for part in plan.parts], len(classes))
    weights = class_weights(options.class_weights, classes, counts)
    return Losses(
        smoothing=options.label_smoothing,
        gamma=options.focal_gamma,
        weights=None if weights is None else weights.to(targets.labels.device),
        complete=counts.sum() > sum(len(part.train) for part in plan.parts) - 0.5,
        value_loss=options.value_loss,
        value_weight=options.value_weight,
    )


def why_one_by_one(modules: Sequence[nn.Module], tables: Tables, options: CvOptions, device: str) -> str:
    """Why members train one by one, because that is wanted or the fusion needs it; "" for one stacked model.

    Raises:
        FusionError: ``stacked=true`` was asked for, and the fusion cannot be.
    """
    wanted = options.stacked
    if wanted is False:
        return "stacked=false was asked for"
    if wanted is None and len(modules) == 1:
        return "there is one member"
    rows = torch.zeros((len(modules), 2), dtype=torch.int64, device=device)
    reason = why_looped(modules, *tables.gather(rows))
    if wanted and reason:
        hint = "Leave out stacked=true: folds then train one by one."
        raise FusionError(f"cannot be stacked: {reason}.", hint)
    return reason


def finish_member(
    module: nn.Module,
    best: Mapping[str, Tensor],
    data: TrainingData,
    part: Part,
    fold: int,
    standardisers: Mapping[str, Standardiser],
    scale: ValueScale,
) -> FittedMember:
    """``module`` with the weights ``best`` that were chosen, and what belongs to it."""
    module.load_state_dict({key: best[key] for key in module.state_dict()})
    unlearnt = tuple(name for name in data.streams if not seen_by(data, name, fold).present[part.train].any())
    return FittedMember(module.eval(), standardisers, unlearnt, scale=scale)


def scale_notes(data: TrainingData, plan: Plan, options: CvOptions) -> list[str]:
    """A line for each stream whose values are large and not standardised: a fusion learns nothing from such."""
    if options.standardise:
        return []
    reached = {name: _reach(seen_by(data, name, 0), plan.parts[0].train) for name in data.streams}
    return [
        f"Values of {name} reach {far:,.0f}, and nothing is standardised: such columns may keep the model from "
        "learning. Add -o cv.standardise=true."
        for name, far in reached.items()
        if far > FAR
    ]


def _reach(seen: StreamData, rows: Rows) -> float:
    """What one cell in a hundred exceeds, either side of zero, in a column of some of the clips ``rows``."""
    there = frames_of(seen, rows)
    some = there[np.linspace(0, len(there) - 1, min(len(there), LOOKED_AT)).astype(np.int64)]
    sizes = np.abs(np.asarray(seen.values[some], np.float32))
    known = np.where(np.isfinite(sizes), sizes, 0)
    return float(np.quantile(known, 0.99, axis=0).max()) if len(some) else 0.0


def unlearnt_notes(members: Sequence[FittedMember]) -> list[str]:
    """A line for each stream that no training clip of some member has."""
    names = dict.fromkeys(name for member in members for name in member.unlearnt)
    counts = {name: sum(name in member.unlearnt for member in members) for name in names}
    return [
        f"No training clip of {count} of {len(members)} folds has {name}: it counts as absent there."
        if len(members) > 1
        else f"No training clip has {name}: it counts as absent in every clip."
        for name, count in counts.items()
    ]
