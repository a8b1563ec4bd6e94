"""Self-training: label what is not labelled with the model's own surest predictions, learn anew, and again.

Everything of a fold, its pseudo-labels and the models that have to agree on them included, is learnt from that
fold's training part alone: an ensemble of folds has seen the labels of every fold's validation part, and would hand
them on through the labels of similar clips. ``pseudo_from=ensemble``, the published way (arXiv 2409.07078, section
3.5), does that, and says that its score is contaminated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mer_core.plugin import Fold, Fusion, OptionError, Progress, StreamData, StreamInfo, TargetSpec, TrainingData
from mer_plugins.trainers.model import FusionModel
from mer_plugins.trainers.pseudo import agreed, choose

if TYPE_CHECKING:
    from mer_plugins.trainers.cv import CrossValidation

Rows = NDArray[np.int64]
BATCH = 4096
"""Unlabelled clips that are predicted at once."""


@dataclass(frozen=True, slots=True)
class OneModality:
    """``data`` without the streams of all other modalities."""

    data: TrainingData
    modality: str

    @property
    def ids(self) -> tuple[str, ...]:
        """See :class:`mer_core.protocols.TrainingData`; so for the others."""
        return self.data.ids

    @property
    def targets(self) -> TargetSpec:
        """As there."""
        return self.data.targets

    @property
    def labels(self) -> Rows:
        """As there."""
        return self.data.labels

    @property
    def votes(self) -> NDArray[np.float64] | None:
        """As there."""
        return self.data.votes

    @property
    def values(self) -> NDArray[np.float64] | None:
        """As there."""
        return self.data.values

    @property
    def groups(self) -> tuple[str, ...] | None:
        """As there."""
        return self.data.groups

    @property
    def folds(self) -> tuple[Fold, ...]:
        """As there."""
        return self.data.folds

    @property
    def streams(self) -> Mapping[str, StreamInfo]:
        """Those of the one modality."""
        return {name: info for name, info in self.data.streams.items() if info.modality == self.modality}

    def features(self, stream: str, fold: int | None) -> StreamData:
        """As there."""
        return self.data.features(stream, fold)


@dataclass(slots=True)
class Rounds:
    """What each round did: facts for the report, and labels per member so far."""

    pseudo: list[dict[int, int]]
    facts: list[dict[str, Any]] = field(default_factory=list)
    inner: list[float] = field(default_factory=list)

    def better(self) -> int:
        """The first round with the highest inner score."""
        return int(np.argmax(self.inner)) if self.inner else len(self.facts) - 1


def self_train(
    trainer: CrossValidation, fusion: Fusion, data: TrainingData, seed: int, progress: Progress | None
) -> FusionModel:
    """Train, label, train anew ...; the model of the last round, or of the best one.

    ``summary["self_training"]`` has a line per round; round 0 learns from labels alone.

    Raises:
        OptionError: patience or ``pseudo_final=best`` without an inner part to measure on.
    """
    options = trainer.options
    if options.select != "inner" and (options.pseudo_patience or options.pseudo_final == "best"):
        raise OptionError(
            "cv.pseudo_patience and cv.pseudo_final=best look at an inner part of the training clips.",
            "Add --select inner, or leave them out.",
        )
    pool = _pool(data)
    state = Rounds([{} for _ in range(max(1, len(data.folds)))])
    models: list[FusionModel] = []
    stopped = "all rounds done" if len(pool) else "there is no unlabelled clip"
    for number in range(options.pseudo_rounds + 1):
        told = _told(progress, number, options.pseudo_rounds)
        start = models[-1] if models and options.pseudo_warm_start else None
        model = trainer.fit_members(fusion, data, seed + number, told, state.pseudo, start)
        models = [*models, model] if options.pseudo_final == "best" else [model]
        state.facts.append(_scored(model, data, number, state.pseudo))
        state.inner.extend(_inner(model))
        if number == options.pseudo_rounds or not len(pool):
            break
        if _tired(state.inner, options.pseudo_patience):
            stopped = f"no better on the inner part for {options.pseudo_patience} rounds"
            break
        if not _label(trainer, fusion, data, pool, model, state, seed + number, told):
            stopped = "no prediction could become a label"
            break
    kept = state.better() if options.pseudo_final == "best" else len(state.facts) - 1
    model = models[kept] if options.pseudo_final == "best" else models[-1]
    model.summary["contaminated"] = options.pseudo_from == "ensemble" and bool(data.folds) and any(state.pseudo)
    model.summary["self_training"] = _facts(trainer, data, state, len(pool), kept, stopped)
    return model


def _facts(
    trainer: CrossValidation, data: TrainingData, state: Rounds, pool: int, kept: int, stopped: str
) -> dict[str, Any]:
    options = trainer.options
    return {
        "method": options.self_training,
        "from": options.pseudo_from,
        "pool": pool,
        "rounds": state.facts,
        "kept": kept,
        "stopped": stopped,
        "labels": [{data.ids[row]: label for row, label in own.items()} for own in state.pseudo],
    }


def _pool(data: TrainingData) -> Rows:
    """Unlabelled rows that have a stream."""
    found: Rows = np.flatnonzero((data.labels < 0) & _present(data, 0))
    return found


def _told(progress: Progress | None, number: int, rounds: int) -> Progress | None:
    if progress is None:
        return None
    return lambda stage, done, total, note: progress(stage, done, total, f"round {number}/{rounds}, {note}")


def _inner(model: FusionModel) -> list[float]:
    """The members' mean WAF on their inner parts, if they have any."""
    scores = [max(curve["selection_waf"]) for curve in model.summary["curves"] if curve.get("selection_waf")]
    return [float(np.mean(scores))] if scores else []


def _tired(inner: Sequence[float], patience: int | None) -> bool:
    return patience is not None and len(inner) - 1 - int(np.argmax(inner)) >= patience if inner else False


def _scored(model: FusionModel, data: TrainingData, number: int, pseudo: Sequence[Mapping[int, int]]) -> dict[str, Any]:
    """A round's line: how much it learnt from, and what its members say of the clips that they held out."""
    counts = np.zeros(len(data.targets.classes), np.int64)
    for own in pseudo:
        np.add.at(counts, list(own.values()), 1)
    held: dict[str, int] = {}
    for fold, part in enumerate(data.folds):
        guess = predict(model, data, part.val, fold).argmax(axis=1)
        held |= {data.ids[row]: int(label) for row, label in zip(part.val.tolist(), guess, strict=True)}
    shares = [round(float(count) / len(pseudo), 3) for count in counts]
    return {"round": number, "learnt": dict(zip(data.targets.classes, shares, strict=True)), "held_out": held}


def predict(model: FusionModel, data: TrainingData, rows: Rows, fold: int) -> NDArray[np.float64]:
    """Probabilities [n, C] of ``rows`` by one member, as its fold sees them."""
    found = np.zeros((len(rows), len(data.targets.classes)))
    for start in range(0, len(rows), BATCH):
        chosen = rows[start : start + BATCH]
        features = {}
        for name in model.streams:
            seen = data.features(name, fold if data.folds else None)
            features[name] = StreamData(seen.info, seen.values[chosen], seen.present[chosen])
        found[start : start + BATCH] = model.predict(features, fold)
    return found


def _label(
    trainer: CrossValidation,
    fusion: Fusion,
    data: TrainingData,
    pool: Rows,
    model: FusionModel,
    state: Rounds,
    seed: int,
    progress: Progress | None,
) -> bool:
    """Turn predictions into labels, member by member; whether there were any."""
    options = trainer.options
    single = _singles(trainer, fusion, data, seed, state.pseudo, progress)
    every = range(len(state.pseudo))
    shared = options.pseudo_from == "ensemble"
    whole = [predict(model, data, pool, fold) for fold in every]
    parts = {name: [predict(one, data, pool, fold) for fold in every] for name, one in single.items()}
    facts: list[dict[str, float]] = []
    given: list[dict[str, int]] = []
    for fold in every:
        mine = np.mean(whole, axis=0) if shared else whole[fold]
        others = [np.mean(found, axis=0) if shared else found[fold] for found in parts.values()]
        present = [_present(OneModality(data, name), fold)[pool] for name in parts]
        allowed = agreed(mine.argmax(axis=1), [one.argmax(axis=1) for one in others], present, options.pseudo_agreement)
        own = state.pseudo[fold]
        fresh = np.asarray([row not in own for row in pool.tolist()])
        names = [data.ids[row] for row in pool]
        found = choose(mine, allowed & fresh, names, options, data.targets.classes)
        if options.pseudo_relabel:
            own.update({row: int(mine[at].argmax()) for at, row in enumerate(pool.tolist()) if row in own})
        own.update({int(pool[at]): label for at, label in found.items()})
        given.append({names[at]: label for at, label in found.items()})
        facts.append(_measured(mine, allowed & fresh, found))
    state.facts[-1] |= {key: float(np.mean([one[key] for one in facts])) for key in facts[0]}
    state.facts[-1]["given"] = given
    return any(given)


def _measured(mine: NDArray[np.float64], allowed: NDArray[np.bool_], found: Mapping[int, int]) -> dict[str, float]:
    """Of one member in one round: labels given, their mean probability, mean entropy (nats), share that agreed."""
    sure = mine[list(found)].max(axis=1) if found else np.zeros(0)
    entropy = -(mine * np.log(np.maximum(mine, 1e-12))).sum(axis=1)
    return {
        "added": float(len(found)),
        "confidence": float(sure.mean()) if len(sure) else 0.0,
        "entropy": float(entropy.mean()),
        "agreement": float(allowed.mean()),
    }


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


def _present(data: TrainingData, fold: int) -> NDArray[np.bool_]:
    """bool [N]: the clip has any of the streams."""
    seen = [data.features(name, fold if data.folds else None).present for name in data.streams]
    return np.asarray(np.any(seen, axis=0), np.bool_)
