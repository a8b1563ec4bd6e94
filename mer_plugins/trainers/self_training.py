"""Self-training: label what is not labelled with the model's own surest predictions, learn anew, and again.

Everything of a fold, its pseudo-labels and the models that have to agree on them included, is learnt from that
fold's training part alone: an ensemble of folds has seen the labels of every fold's validation part, and would hand
them on through the labels of similar clips. ``pseudo_from=ensemble``, the published way (arXiv 2409.07078, section
3.5), does that, and says that its score is contaminated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mer_core.plugin import Fusion, Progress, TrainingData
from mer_plugins.trainers.checks import CONSISTENT
from mer_plugins.trainers.consistency_loop import Unlabelled
from mer_plugins.trainers.labelling import give_labels, predict_fold, present
from mer_plugins.trainers.model import FusionModel
from mer_plugins.trainers.options import CvOptions
from mer_plugins.trainers.rounds import Keeper, Rounds

if TYPE_CHECKING:
    from mer_plugins.trainers.cv import CrossValidation

Rows = NDArray[np.int64]


def self_train(
    trainer: CrossValidation, fusion: Fusion, data: TrainingData, seed: int, progress: Progress | None
) -> FusionModel:
    """Train, label, train anew ...; the model of the last round, or of the best one.

    ``summary["self_training"]`` has a line per round; round 0 learns from labels alone. With ``trainer.folder``, a
    training that was killed goes on after the last round that had ended there.
    """
    options = trainer.options
    if options.self_training in CONSISTENT:
        return learn_consistently(trainer, fusion, data, seed, progress)
    pool = pool_of(data)
    best, keeper = options.pseudo_final == "best", Keeper(trainer.folder)
    state, models = keeper.load(fusion, trainer.device, best) or (
        Rounds([{} for _ in range(max(1, len(data.folds)))]),
        dict[int, FusionModel](),
    )
    while not state.stopped:
        number = len(state.facts)
        told = _told(progress, number, options.pseudo_rounds)
        start = models[number - 1] if number and options.pseudo_warm_start else None
        model = models[number] = trainer.fit_members(fusion, data, seed + number, told, state.pseudo, start)
        state.facts.append(_scored(model, data, number, state.pseudo))
        state.inner.extend(_inner(model))
        state.stopped = _why_stop(state, options, len(pool))
        if not state.stopped and not give_labels(trainer, fusion, data, pool, model, state, seed + number, told):
            state.stopped = why_none(state.facts[-1], options)
        models = {one: models[one] for one in {number, *([state.better()] if best else [])}}
        keeper.save(state, models)
    kept = state.better() if best else len(state.facts) - 1
    model = models[kept]
    model.summary["contaminated"] = options.pseudo_from == "ensemble" and bool(data.folds) and any(state.pseudo)
    model.summary["self_training"] = _facts(options, options.pseudo_from, data, state, len(pool), kept)
    return model


def learn_consistently(
    trainer: CrossValidation, fusion: Fusion, data: TrainingData, seed: int, progress: Progress | None
) -> FusionModel:
    """Train on labels alone, for comparison, then on labelled and unlabelled clips together (FlexMatch, Dash).

    ``summary["self_training"]`` tells of both as of two rounds, each fold's clips and labels being its own.
    """
    keeper, pool = Keeper(trainer.folder), pool_of(data)
    state, models = keeper.load(fusion, trainer.device, False) or (
        Rounds([{} for _ in range(max(1, len(data.folds)))]),
        dict[int, FusionModel](),
    )
    while not state.stopped:
        number = len(state.facts)
        unlabelled = Unlabelled(pool, seed) if number else None
        told = _told(progress, number, 1)
        models = {number: trainer.fit_members(fusion, data, seed, told, unlabelled=unlabelled)}
        given = []
        if unlabelled:
            state.pseudo = unlabelled.learnt
            given = [{data.ids[row]: label for row, label in own.items()} for own in state.pseudo]
        state.facts.append({**_scored(models[number], data, number, state.pseudo), "given": given})
        state.stopped = "trained" if number else "" if len(pool) else "there is no unlabelled clip"
        keeper.save(state, models)
    kept = len(state.facts) - 1
    models[kept].summary["self_training"] = _facts(trainer.options, "fold", data, state, len(pool), kept)
    return models[kept]


def why_none(facts: Mapping[str, Any], options: CvOptions) -> str:
    """Why a round gave no label: nothing was left, the modalities agreed on nothing of it, or something else."""
    if facts.get("left") == 0:
        return "every unlabelled clip has a label"
    if options.pseudo_agreement != "off" and facts.get("agreement") == 0:
        mode = options.pseudo_agreement
        return f"the modalities' own models agreed on no clip that was left (cv.pseudo_agreement={mode})"
    return "no prediction could become a label"


def pool_of(data: TrainingData) -> Rows:
    """Unlabelled rows that have a stream; clips of the folds, which may have votes or values, are not among them."""
    free = (data.labels < 0) & present(data, 0)
    for fold in data.folds:
        free[fold.train] = free[fold.val] = False
    found: Rows = np.flatnonzero(free)
    return found


def _why_stop(state: Rounds, options: CvOptions, pool: int) -> str:
    """Why no labels are to be given after the round that has just ended; "" where they are."""
    if not pool:
        return "there is no unlabelled clip"
    if len(state.facts) > options.pseudo_rounds:
        return "all rounds done"
    if state.tired(options.pseudo_patience):
        part = "inner" if options.select == "inner" else "scored"
        return f"no better on the {part} part for {options.pseudo_patience} rounds"
    return ""


def _facts(options: CvOptions, source: str, data: TrainingData, state: Rounds, pool: int, kept: int) -> dict[str, Any]:
    return {
        "method": options.self_training,
        "from": source,
        "pool": pool,
        "rounds": state.facts,
        "kept": kept,
        "stopped": state.stopped,
        "labels": [{data.ids[row]: label for row, label in own.items()} for own in state.pseudo],
    }


def _told(progress: Progress | None, number: int, rounds: int) -> Progress | None:
    if progress is None:
        return None
    return lambda stage, done, total, note: progress(stage, done, total, f"round {number}/{rounds}, {note}")


def _inner(model: FusionModel) -> list[float]:
    """The members' mean WAF on the parts that their epochs were chosen on, if they have any."""
    scores = [max(curve["selection_waf"]) for curve in model.summary["curves"] if curve.get("selection_waf")]
    return [float(np.mean(scores))] if scores else []


def _scored(model: FusionModel, data: TrainingData, number: int, pseudo: Sequence[Mapping[int, int]]) -> dict[str, Any]:
    """A round's line: how much it learnt from, and what its members say of the clips that they held out."""
    counts = np.zeros(len(data.targets.classes), np.int64)
    for own in pseudo:
        np.add.at(counts, list(own.values()), 1)
    held: dict[str, int] = {}
    for fold, part in enumerate(data.folds):
        guess = predict_fold(model, data, part.val, fold).argmax(axis=1)
        held |= {data.ids[row]: int(label) for row, label in zip(part.val.tolist(), guess, strict=True)}
    shares = [round(float(count) / len(pseudo), 3) for count in counts]
    return {"round": number, "learnt": dict(zip(data.targets.classes, shares, strict=True)), "held_out": held}
