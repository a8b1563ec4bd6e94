"""A round's labels: what its models say of the clips that have none, and which of it becomes a label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mer_core.plugin import Fusion, Progress, StreamData, TrainingData, take_clips
from mer_plugins.trainers.model import FusionModel
from mer_plugins.trainers.pseudo import agreed, choose
from mer_plugins.trainers.rounds import Rounds
from mer_plugins.trainers.views import OneModality, seen_by

if TYPE_CHECKING:
    from mer_plugins.trainers.cv import CrossValidation

Rows = NDArray[np.int64]
Probabilities = NDArray[np.float64]
BATCH = 4096
"""Unlabelled clips that are in memory at once."""


def give_labels(
    trainer: CrossValidation,
    fusion: Fusion,
    data: TrainingData,
    pool: Rows,
    model: FusionModel,
    state: Rounds,
    seed: int,
    progress: Progress | None,
) -> bool:
    """Turn predictions into labels, member by member, and note that in ``state``; whether there were any."""
    options = trainer.options
    single = _singles(trainer, fusion, data, seed, state.pseudo, progress)
    shared = options.pseudo_from == "ensemble"
    whole = _by_source(predict(model, data, pool), shared)
    parts = {name: _by_source(predict(one, data, pool), shared) for name, one in single.items()}
    names = [data.ids[row] for row in pool.tolist()]
    facts: list[dict[str, float | None]] = []
    given: list[dict[str, int]] = []
    for fold, own in enumerate(state.pseudo):
        mine = whole[fold]
        others = [found[fold].argmax(axis=1) for found in parts.values()]
        has = [present(OneModality(data, name), fold)[pool] for name in parts]
        free = np.asarray([row not in own for row in pool.tolist()], bool)
        agree = agreed(mine.argmax(axis=1), others, has, options.pseudo_agreement)
        found = choose(mine, agree & free, names, options, data.targets.classes)
        if options.pseudo_relabel:
            own.update({row: int(mine[at].argmax()) for at, row in enumerate(pool.tolist()) if row in own})
        own.update({int(pool[at]): label for at, label in found.items()})
        given.append({names[at]: label for at, label in found.items()})
        facts.append(_measured(mine, agree[free] if single else None, found) | {"left": float(free.sum())})
    state.facts[-1] |= over_members(facts) | {"given": given}
    return any(given)


def predict(model: FusionModel, data: TrainingData, rows: Rows) -> list[Probabilities]:
    """Probabilities [n, C] of ``rows`` by each member, as its fold sees them; each clip is read once where all do."""
    found = [np.zeros((len(rows), len(data.targets.classes))) for _ in model.members]
    for start in range(0, len(rows), BATCH):
        at = slice(start, start + BATCH)
        taken: dict[int, tuple[StreamData, StreamData]] = {}
        for fold, own in enumerate(found):
            seen = [seen_by(data, name, fold) for name in model.streams]
            for part in seen:
                if id(part.values) not in taken:
                    taken[id(part.values)] = (part, _taken(part, rows[at]))
            own[at] = model.predict({part.info.name: taken[id(part.values)][1] for part in seen}, fold)
    return found


def predict_fold(model: FusionModel, data: TrainingData, rows: Rows, fold: int) -> Probabilities:
    """Probabilities [n, C] of ``rows`` by one member, as its fold sees them."""
    seen = {name: take_clips(data.features(name, fold), rows) for name in model.streams}
    return model.predict(seen, fold)


def present(data: TrainingData, fold: int) -> NDArray[np.bool_]:
    """bool [N]: the clip has any of the streams."""
    seen = [seen_by(data, name, fold).present for name in data.streams]
    return np.asarray(np.any(seen, axis=0), np.bool_)


def _taken(part: StreamData, rows: Rows) -> StreamData:
    """Clips ``rows`` (sorted); of neighbours nothing is copied."""
    first, count = int(rows[0]), len(rows)
    if int(rows[-1]) - first + 1 != count:
        return take_clips(part, rows)
    at = slice(first, first + count)
    if part.offsets is None:
        return replace(part, values=part.values[at], present=part.present[at])
    return replace(part, present=part.present[at], offsets=part.offsets[at])


def _by_source(found: Sequence[Probabilities], shared: bool) -> list[Probabilities]:
    """By member, the predictions that it learns from: its own, or those of all together."""
    return [np.mean(found, axis=0)] * len(found) if shared else list(found)


def _measured(
    mine: Probabilities, agree: NDArray[np.bool_] | None, found: Mapping[int, int]
) -> dict[str, float | None]:
    """Of one member in one round: labels given, their mean probability, mean entropy (nats), share that agreed.

    Args:
        agree: whether the modalities do, of each clip that had no label yet; None where they are not asked.
    """
    sure = mine[list(found)].max(axis=1) if found else np.zeros(0)
    entropy = -(mine * np.log(np.maximum(mine, 1e-12))).sum(axis=1)
    return {
        "added": float(len(found)),
        "confidence": float(sure.mean()) if len(sure) else None,
        "entropy": float(entropy.mean()),
        "agreement": float(agree.mean()) if agree is not None and len(agree) else None,
    }


def over_members(facts: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Means over members; of confidence, over all labels that they gave."""
    found = {key: _mean([one[key] for one in facts]) for key in facts[0]}
    found["confidence"] = _mean([one["confidence"] for one in facts], [one["added"] or 0 for one in facts])
    return found


def _mean(values: Sequence[float | None], weights: Sequence[float] | None = None) -> float | None:
    """Of those that are known; None where none is."""
    known = [place for place, value in enumerate(values) if value is not None]
    if not known:
        return None
    return float(np.average([values[at] for at in known], weights=weights and [weights[at] for at in known]))


def _singles(
    trainer: CrossValidation,
    fusion: Fusion,
    data: TrainingData,
    seed: int,
    pseudo: Sequence[Mapping[int, int]],
    progress: Progress | None,
) -> dict[str, FusionModel]:
    """A model of each modality alone, where they are asked and there are several."""
    names = list(dict.fromkeys(info.modality for info in data.streams.values()))
    if trainer.options.pseudo_agreement == "off" or len(names) < 2:
        return {}
    return {name: trainer.fit_members(fusion, OneModality(data, name), seed, progress, pseudo) for name in names}
