"""The checks of a trainer: does it learn, is it honest, can it be repeated, saved and asked?"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mer_core.feature_set import FeatureSet, StreamData
from mer_core.probabilities import softmax
from mer_core.protocols import Model, ValueModel
from mer_core.testing.common import light_import, options
from mer_core.testing.kit import Check, CheckFailed, NotApplicable, check, require
from mer_core.testing.subject import Subject
from mer_core.testing.tables import copied, feature_set, one_fold, part_of, relabelled, soiled, valued
from mer_core.testing.toy_fusion import ToyFusion
from mer_core.testing.trainer_bench import FOLDS, Probabilities, accuracy, ask, bench_of, distance

EQUAL = 1e-5
"""Probabilities that differ by less count as the same where arithmetic may be ordered differently."""
LEARNT = 0.9
"""Share of training clips that must be recognised."""
RECOGNISED = 0.75
"""Share of clips, most of them new, that must be recognised where classes are far apart."""
DEVIATIONS = 4.0
"""How many standard deviations above chance an accuracy on random labels may be."""
SUFFIXES = {".safetensors", ".json"}


@check(cure="take `(options, device)`; return a whole `Model`, with JSON in `summary`; work on copies")
def starts(subject: Subject) -> None:
    """Fitting over folds gives a model with targets, streams, a summary, probabilities and logits."""
    bench = bench_of(subject)
    data = bench.data
    before, labels = copied(data), data.labels.copy()
    model = bench.model
    ask(model, part_of(data.table, slice(0, 7)), len(data.targets.classes))
    require(
        np.array_equal(labels, data.labels) and _same_table(data.table, before),
        "fit or predict changed the features or labels it was given: work on copies.",
    )
    require(model.targets == data.targets, f"model.targets is {model.targets!r}, not the data's {data.targets!r}.")
    require(dict(model.streams) == dict(data.streams), "model.streams are not the data's streams, in their order.")
    _check_summary(model)
    require(
        np.array_equal(bench.answer, model.predict(data.table)),
        "predict gives other probabilities the second time: put modules into evaluation mode.",
    )


def _check_summary(model: Model) -> None:
    try:
        json.dumps(dict(model.summary))
    except (TypeError, ValueError) as error:
        raise CheckFailed(
            f"model.summary cannot be written as JSON ({error}): use str, int, float, list and dict."
        ) from None


def _same_table(one: Mapping[str, StreamData], two: Mapping[str, StreamData]) -> bool:
    pairs = [(one[name], two[name]) for name in two]
    return all(np.array_equal(a.values, b.values) and np.array_equal(a.present, b.present) for a, b in pairs)


@check(
    needs=("starts",),
    cure="see that rows and labels belong together, that the optimiser has the parameters; take more steps",
)
def overfits(subject: Subject) -> None:
    """A single member learns sixteen clips by heart."""
    bench = bench_of(subject)
    data = one_fold(feature_set(22, seed=1), 16)
    found = bench.fit(data).predict(part_of(data.table, slice(0, 16)))
    share = accuracy(found, data.labels[:16])
    require(
        share >= LEARNT,
        f"after training on 16 easy clips, {share:.0%} of them are recognised, not {LEARNT:.0%}: check that rows "
        "and labels belong together, that the optimiser gets the parameters, and the number of steps.",
    )


@check(needs=("starts",), cure="draw everything, the fusion's first weights too, from generators made of the seed")
def seeded(subject: Subject) -> None:
    """The same seed gives the same probabilities bit for bit, another seed others."""
    bench = bench_of(subject)
    again, other = (
        bench.fit(bench.data, 0).predict(bench.data.table),
        bench.fit(bench.data, 1).predict(bench.data.table),
    )
    require(
        np.array_equal(bench.answer, again),
        f"two fits with the same seed differ by {distance(bench.answer, again):.2g} in probability: take every random "
        "number, the fusion's first weights included, from generators made of the seed.",
    )
    require(
        not np.array_equal(bench.answer, other), "another seed gives the same probabilities: the seed has no effect."
    )


@check(needs=("starts",), cure="save the standardisation and the classes with the weights")
def save_load(subject: Subject) -> None:
    """A model saved to a folder and read by a fresh trainer answers as before, wherever the folder is."""
    bench = bench_of(subject)
    with tempfile.TemporaryDirectory(prefix="mer-check-") as name:
        saved, moved = Path(name, "saved"), Path(name, "moved")
        saved.mkdir()
        bench.model.save(saved)
        _check_files(saved)
        saved.rename(moved)
        loaded = bench.trainer().load(moved, ToyFusion())
        answers = [loaded.predict(bench.data.table, fold) for fold in (None, *range(FOLDS))]
    expected = [bench.answer, *(bench.model.predict(bench.data.table, fold) for fold in range(FOLDS))]
    worst = max(distance(one, two) for one, two in zip(answers, expected, strict=True))
    require(
        worst <= EQUAL,
        f"the loaded model's probabilities differ by {worst:.2g}: save everything that predicting needs, the "
        "standardisation included.",
    )
    for part in ("targets", "streams", "summary"):
        one, two = getattr(loaded, part), getattr(bench.model, part)
        same = _plain(dict(one)) == _plain(dict(two)) if part != "targets" else one == two
        require(same, f"the loaded model has other {part}: save them too.")


def _plain(value: object) -> object:
    return json.loads(json.dumps(value, default=repr))


def _check_files(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    strange = sorted(path.name for path in files if path.suffix not in SUFFIXES)
    require(files, "save wrote nothing into the folder.")
    require(
        not strange,
        f"save wrote {', '.join(strange)}: models are safetensors and JSON, so that reading one runs no code.",
    )


@check(needs=("starts",), cure="keep one member per fold")
def members(subject: Subject) -> None:
    """Every fold's member can be asked, and the ensemble is the softmax of the mean of their logits."""
    bench = bench_of(subject)
    classes = len(bench.data.targets.classes)
    asked = [ask(bench.model, bench.data.table, classes, fold) for fold in range(FOLDS)]
    logits = [own for _, own in asked]
    require(
        all(distance(logits[0], own) > EQUAL for own in logits[1:]),
        "all folds' members answer alike: predict(fold=k) must ask the member of fold k alone.",
    )
    for fold, (found, own) in enumerate(asked):
        require(distance(found, softmax(own)) < EQUAL, f"predict is not the softmax of logits for fold {fold}.")
    difference = distance(bench.answer, softmax(np.mean(logits, axis=0)))
    require(
        difference < EQUAL,
        f"the ensemble's probabilities differ by {difference:.2g} from the softmax of the mean of the members' logits.",
    )


@check(needs=("members",), cure="learn from `fold.train` alone")
def chance(subject: Subject) -> None:
    """On random labels, members are no better than chance on the clips that their folds hold out."""
    bench = bench_of(subject)
    data = feature_set(60, signal=0.0, folds=FOLDS, seed=2)
    model = bench.fit(data)
    found = [model.predict(part_of(data.table, fold.val), number) for number, fold in enumerate(data.folds)]
    held = np.concatenate([fold.val for fold in data.folds])
    share, level = accuracy(np.concatenate(found), data.labels[held]), 1 / len(data.targets.classes)
    limit = level + DEVIATIONS * math.sqrt(level * (1 - level) / len(held))
    require(
        share <= limit,
        f"on random labels, {share:.0%} of the held-out clips are recognised; chance is {level:.0%}, luck ends at "
        f"{limit:.0%}. A member has seen its held-out clips: learn from fold.train only, and let predict(fold=k) "
        "ask member k.",
    )


@check(needs=("chance", "seeded"), cure="choose epochs, thresholds and class weights without them")
def held_out_labels(subject: Subject) -> None:
    """A fold's member is the same whatever the labels of the clips that the fold holds out.

    With the right labels a member that is chosen on them is a late one, with wrong ones an early one.
    """
    bench = bench_of(subject)
    changed = bench.fit(relabelled(bench.data, bench.data.folds[0].val))
    difference = distance(changed.predict(bench.data.table, 0), bench.model.predict(bench.data.table, 0))
    require(
        difference < EQUAL,
        f"with other labels on the clips that fold 0 holds out, its member's probabilities change by "
        f"{difference:.2g}: its score is then optimistic. Neither learn from those labels nor choose an epoch, a "
        "threshold or class weights by them.",
    )


@check(needs=("starts",), cure="leave clips with label -1 out of the loss")
def no_folds(subject: Subject) -> None:
    """Without folds, one model learns from all labelled clips; unlabelled ones are of no class."""
    bench = bench_of(subject)
    data = feature_set(18, unlabelled=30, seed=3)
    found, _ = ask(bench.fit(data), data.table, len(data.targets.classes))
    truth = np.maximum(data.labels, 0)
    share = accuracy(found, truth)
    require(
        share >= RECOGNISED,
        f"trained on 18 easy labelled clips beside 30 unlabelled ones that look like the first class, {share:.0%} of "
        f"all are recognised, not {RECOGNISED:.0%}: leave clips with label -1 out of the loss (as an index, -1 is the "
        "last class).",
    )


@check(needs=("seeded",), cure="statistics over present rows only; NaN times zero is NaN")
def cleared_values(subject: Subject) -> None:
    """Values of absent streams, NaN included, change nothing: neither in fitting nor in predicting."""
    bench = bench_of(subject)
    dirty: FeatureSet = soiled(bench.data)
    remedy = "Take statistics over present rows only, and never multiply by presence: NaN times zero is NaN."
    predicted = distance(bench.model.predict(dirty.table), bench.answer)
    require(predicted < EQUAL, f"NaN behind absent streams changes predictions by {predicted:.2g}. {remedy}")
    fitted = distance(bench.fit(dirty).predict(bench.data.table), bench.answer)
    require(fitted < EQUAL, f"NaN behind absent streams changes the fitted model by {fitted:.2g}. {remedy}")


@check(
    needs=("save-load",),
    cure="standardise values on the training part, leave NaN out of their loss, save mean and scale",
)
def values(subject: Subject) -> None:
    """A model with `predict_values` predicts continuous targets in their own units, after loading, too."""
    bench = bench_of(subject)
    if not isinstance(bench.model, ValueModel):
        raise NotApplicable("its models have no predict_values")
    data = valued(bench.data)
    model = bench.fit(data)
    found = _values(model, data)
    truth = np.asarray(data.values)
    known = np.isfinite(truth)
    error, spread = np.abs(found - truth)[known].mean(), np.abs(truth - truth[known].mean())[known].mean()
    require(
        error < spread,
        f"on clips that it learnt from, values are {error:.3g} off on average; their mean would be {spread:.3g} off. "
        "Clips whose value is NaN must not reach the loss, and predictions are in the units of the data.",
    )
    with tempfile.TemporaryDirectory(prefix="mer-check-") as name:
        model.save(Path(name))
        worst = distance(_values(bench.trainer().load(Path(name), ToyFusion()), data), found)
    require(worst <= EQUAL * spread, f"the loaded model's values differ by {worst:.2g}: save their mean and scale.")


def _values(model: Model, data: FeatureSet) -> Probabilities:
    found = model.predict_values(data.table) if isinstance(model, ValueModel) else None
    require(isinstance(found, np.ndarray), f"predict_values returned {type(found).__name__}, not a numpy array.")
    said = np.asarray(found, np.float64)
    require(said.shape == (len(data.ids), 1), f"predict_values returned {list(said.shape)}, not [{len(data.ids)}, 1].")
    require(bool(np.isfinite(said).all()), "predict_values returned NaN or infinity.")
    return said


CHECKS: tuple[Check, ...] = (
    light_import,
    options,
    starts,
    overfits,
    seeded,
    save_load,
    members,
    chance,
    held_out_labels,
    no_folds,
    cleared_values,
    values,
)
