"""The trainer ``cv`` with votes, values, heads, padding and patience: stacked, looped and honest."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_trainer import SMALL, assert_close, cut, make_data, train
from torch import nn

from mer_core.errors import DataError, OptionError, PluginError
from mer_core.feature_set import FeatureSet, Fold, TargetSpec
from mer_core.plugin import ValueModel
from mer_plugins.fusion.attention import Attention, AttentionOptions
from mer_plugins.trainers import cv
from mer_plugins.trainers.cv import CrossValidation, CvOptions
from mer_plugins.trainers.members import make_losses

VALUES = ("valence", "arousal")
DOUBLE: dict[str, Any] = {"precision": "float64", "epochs": 3}


def fusion(name: str, **options: Any) -> Any:
    module = importlib.import_module(f"mer_plugins.fusion.{name}")
    return getattr(module, name.capitalize())(getattr(module, f"{name.capitalize()}Options")(**{**SMALL, **options}))


def with_targets(data: FeatureSet, *, votes: bool = True, classes: bool = True, seed: int = 1) -> FeatureSet:
    """Votes that agree with labels by more than half, and two values that follow from a stream; a third is unknown."""
    rng, count = np.random.default_rng(seed), len(data.ids)
    signal = np.nan_to_num(data.table["speech:a"].values)
    values = 50 + 10 * (signal @ rng.normal(size=(signal.shape[1], 2)))
    values[rng.random((count, 2)) < 0.3] = np.nan
    values[~data.table["speech:a"].present] = np.nan
    shares = 0.6 * np.eye(6)[data.labels] + 0.4 * rng.dirichlet(np.ones(6), count)
    shares[rng.random(count) < 0.3] = np.nan
    targets = TargetSpec(data.targets.classes if classes else (), VALUES, votes and classes)
    if not classes:
        known = np.isfinite(values).any(axis=1)
        folds = tuple(Fold(*(rows[known[rows]] for rows in (fold.train, fold.val))) for fold in data.folds)
        data = dataclasses.replace(data, folds=folds)
    labels = data.labels if classes else np.full(count, -1)
    return dataclasses.replace(data, targets=targets, labels=labels, values=values, votes=shares if votes else None)


def test_stacked_equals_looped_with_everything_at_once() -> None:
    """Heads, votes, values, class weights, smoothing and focal loss; folds of different sizes."""
    data = with_targets(make_data())
    kind = {
        "class_weights": "balanced",
        "label_smoothing": 0.1,
        "focal_gamma": 1.0,
        "value_loss": "huber",
        **DOUBLE,
        "epochs": 2,
    }
    for name in ("late", "transformer"):
        stacked, looped = (train(data, fusion(name), stacked=how, **kind) for how in (True, False))
        assert stacked.summary["stacked"]
        assert_close(stacked, looped, 1e-9)
        assert np.allclose(stacked.predict_values(data.table), looped.predict_values(data.table), atol=1e-9)


class Undropped:
    """A fusion without any dropout: what is drawn depends on how long a batch is."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def build(self, streams: Any, targets: TargetSpec) -> nn.Module:
        module = self.inner.build(streams, targets)
        for part in module.modules():
            if isinstance(part, nn.Dropout):
                part.p = 0.0
        return module


@pytest.mark.parametrize(
    ("name", "absent"),
    [("misa", "mask"), ("mmim", "mask"), ("late", "mask"), ("late", "zero"), ("transformer", "mask")],
)
def test_a_fold_that_is_padded_learns_what_it_learns_alone(name: str, absent: str) -> None:
    data = with_targets(make_data(31))
    short = Fold(np.arange(21), np.arange(21, 31))
    both = dataclasses.replace(data, folds=(short, Fold(np.arange(30), np.arange(30, 31))))
    kind = {"modality_dropout": 0.0, "value_loss": "ccc", "class_weights": "balanced", **DOUBLE}
    made = Undropped(fusion(name, absent=absent, **({"feedforward": 16} if name == "misa" else {})))
    padded, alone = train(both, made, **kind), train(dataclasses.replace(data, folds=(short,)), made, **kind)
    assert padded.summary["steps"] == alone.summary["steps"] == 9
    one, other = (model.members[0].module.state_dict() for model in (padded, alone))
    assert max(float((one[key] - other[key]).abs().max()) for key in one) < 1e-9
    assert padded.summary["curves"][0] == alone.summary["curves"][0]


# votes


def test_probabilities_learn_the_shares_of_the_raters() -> None:
    data = dataclasses.replace(make_data(24), folds=())
    shares = np.random.default_rng(0).dirichlet(np.full(6, 2.0), 24)
    voted = dataclasses.replace(data, targets=TargetSpec(data.targets.classes, votes=True), votes=4 * shares)
    kind: dict[str, Any] = {"epochs": 150, "batch_size": 24, "lr": 1e-2, "modality_dropout": 0.0, "weight_decay": 0.0}
    made = fusion("concat", hidden=32, dropout=0.0)
    soft, hard = (train(one, made, **kind).predict(data.table) for one in (voted, data))
    seen = np.any([part.present for part in data.table.values()], axis=0)
    assert np.abs(soft - shares)[seen].max() < 0.1
    assert np.abs(hard - shares)[seen].max() > 0.4
    assert_close(train(voted, epochs=1), train(dataclasses.replace(voted, votes=shares), epochs=1), 1e-6)


def test_votes_are_ignored_where_the_targets_are_none() -> None:
    data = make_data()
    assert_close(train(dataclasses.replace(data, votes=np.full((62, 6), 1 / 6))), train(data))


def test_clips_with_votes_alone_are_learnt_from() -> None:
    data = with_targets(make_data())
    labels = data.labels.copy()
    labels[np.isfinite(data.votes[:, 0])] = -1
    one, two = (train(dataclasses.replace(data, labels=own), **DOUBLE) for own in (labels, data.labels))
    assert_close(one, two)


# values


def test_values_alone_are_learnt_in_their_own_units(tmp_path: Path) -> None:
    data = with_targets(make_data(90, folds=2), classes=False)
    made = fusion("attention", hidden=32, dropout=0.0)
    model = train(data, made, epochs=40, lr=5e-3, modality_dropout=0.0, select="inner")
    assert isinstance(model, ValueModel)
    found, truth = model.predict_values(data.table), data.values
    assert truth is not None
    assert found.shape == (90, 2)
    assert model.predict(data.table).shape == (90, 0)
    for v in range(2):
        known = np.isfinite(truth[:, v])
        a, b = found[known, v], truth[known, v]
        assert 2 * np.cov(a, b)[0, 1] / (a.var() + b.var() + (a.mean() - b.mean()) ** 2) > 0.8
    each = np.stack([model.predict_values(data.table, fold) for fold in range(2)])
    assert np.allclose(found, each.mean(axis=0))
    curve = model.summary["curves"][0]
    assert model.summary["selection"] == "inner"
    assert curve["selection_ccc"][curve["chosen_epoch"] - 1] == max(curve["selection_ccc"])
    assert max(curve["selection_ccc"]) > 0.5
    model.save(tmp_path)
    loaded = CrossValidation(CvOptions()).load(tmp_path, made)
    assert np.array_equal(loaded.predict_values(data.table), found)


@pytest.mark.parametrize("loss", ["mae", "huber", "ccc"])
def test_every_loss_of_values_learns(loss: str) -> None:
    data = with_targets(make_data(60), votes=False)
    model = train(dataclasses.replace(data, folds=()), epochs=25, lr=1e-2, value_loss=loss, modality_dropout=0.0)
    known = np.isfinite(data.values[:, 0])
    assert np.corrcoef(model.predict_values(data.table)[known, 0], data.values[known, 0])[0, 1] > 0.6
    assert model.summary["coupled"] == (["ccc"] if loss == "ccc" else [])


def test_bfloat16_and_values() -> None:
    data = with_targets(make_data(), seed=2)
    model = train(data, fusion("late"), precision="bfloat16", value_loss="ccc", class_weights="balanced")
    assert np.isfinite(model.predict_values(data.table)).all()


def test_a_models_values_do_not_depend_on_their_unit() -> None:
    data = with_targets(make_data())
    one = train(data, **DOUBLE)
    other = train(dataclasses.replace(data, values=1000 * data.values + 3), **DOUBLE)
    assert np.allclose(1000 * one.predict_values(data.table) + 3, other.predict_values(data.table))
    assert_close(one, other, 1e-9)


def test_clips_with_a_value_alone_are_labelled_and_others_are_not() -> None:
    data = with_targets(make_data(), votes=False)
    labels = data.labels.copy()
    labels[:20] = -1
    some = dataclasses.replace(data, labels=labels, folds=())
    known = (labels >= 0) | np.isfinite(data.values).any(axis=1)
    model = train(some, epochs=1)
    assert model.summary["train_clips"] == [known.sum()]
    assert known[:20].any()
    assert not known[:20].all()
    assert train(some, epochs=2, select="inner").summary["selection"] == "inner"


@pytest.mark.parametrize("select", ["last", "inner"])
def test_held_out_votes_and_values_reach_no_member(select: str) -> None:
    """Not even those of clips that a member was given pseudo-labels for."""
    data = with_targets(make_data(60, folds=2))
    val = data.folds[0].val
    changed = dataclasses.replace(data, votes=data.votes.copy(), values=data.values.copy())
    changed.votes[val], changed.values[val] = np.eye(6)[0], 1e3
    trainer = CrossValidation(CvOptions(epochs=3, batch_size=10, select=select))
    for pseudo in ((), ({int(val[0]): 1, int(val[1]): 2}, {})):
        one, two = (trainer.fit_members(fusion("late"), own, 0, pseudo=pseudo).members[0] for own in (data, changed))
        same = zip(one.module.state_dict().values(), two.module.state_dict().values(), strict=True)
        assert all(torch.equal(a, b) for a, b in same)
        assert one.scale.mean.tolist() == two.scale.mean.tolist()


def test_balanced_weights_come_from_the_members_own_clips_pseudo_labelled_ones_included() -> None:
    data = make_data(60, folds=2)
    trainer = CrossValidation(CvOptions(epochs=1, class_weights="balanced"))
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cv, "make_losses", lambda *given: seen.append(make_losses(*given)) or seen[-1])
        more = {int(row): 5 for row in data.folds[0].val[:4]}
        trainer.fit_members(fusion("concat"), data, 0, pseudo=(more, {}))
    for fold, extra in enumerate((4, 0)):
        counts = np.bincount(data.labels[data.folds[fold].train], minlength=6) + extra * (np.arange(6) == 5)
        assert np.allclose(seen[0].weights[fold].numpy(), counts.sum() / (6 * counts))


# stopping


def test_members_that_get_no_better_stop_at_their_best() -> None:
    data = make_data(48, folds=2)
    kind: dict[str, Any] = {"epochs": 24, "select": "inner", "lr": 1e-2, "schedule": "constant", "precision": "float64"}
    whole, short = train(data, **kind), train(data, patience=3, **kind)
    assert short.summary["epochs"] < 24
    assert short.summary["steps"] == short.summary["epochs"] * whole.summary["steps"] // 24
    for one, other in zip(short.summary["curves"], whole.summary["curves"], strict=True):
        looks = one["selection_waf"]
        assert looks == other["selection_waf"][: len(looks)]
        assert one["stopped_epoch"] == one["checked_epochs"][-1] == len(one["train_loss"])
        assert len(looks) - 1 - int(np.argmax(looks)) == 3
        assert one["chosen_epoch"] == 1 + int(np.argmax(looks))
    assert short.summary["epochs"] == max(one["stopped_epoch"] for one in short.summary["curves"])
    told: list[tuple[int, int]] = []
    looped = CrossValidation(CvOptions(batch_size=10, patience=3, stacked=False, **kind)).fit(
        Attention(AttentionOptions(**SMALL)), data, 0, lambda stage, done, total, note: told.append((done, total))
    )
    assert_close(short, looped, 1e-9)
    assert told[-1] == (short.summary["steps"],) * 2


# refusals


def test_what_cannot_be_learnt_is_said() -> None:
    data, both = make_data(), with_targets(make_data())
    with pytest.raises(DataError, match="neither two classes to learn nor continuous values"):
        train(dataclasses.replace(data, targets=TargetSpec(("one",))))
    with pytest.raises(DataError, match="no values"):
        train(dataclasses.replace(both, values=None))
    nobody = both.values.copy()
    nobody[both.folds[1].train, 1] = np.nan
    with pytest.raises(DataError, match="no training clip of fold 2 has a value of 'arousal'"):
        train(dataclasses.replace(both, values=nobody))
    with pytest.raises(OptionError, match=r"cv\.patience"):
        train(data, patience=2)
    with pytest.raises(OptionError, match="no class 'glad'"):
        train(data, class_weights={"glad": 2})
    alone = with_targets(make_data(), classes=False)
    for options in ({"self_training": "class-balanced"}, {"gradient_modulation": "ogm"}):
        with pytest.raises(OptionError, match="needs classes"):
            train(alone, **options)


def test_a_fusion_without_values_is_told_so() -> None:
    class Classifier:
        def build(self, streams: Any, targets: TargetSpec) -> nn.Module:
            return fusion("attention").build(streams, dataclasses.replace(targets, values=()))

    with pytest.raises(PluginError, match="the fusion answers values of shape"):
        train(with_targets(make_data()), Classifier(), epochs=1)


def test_values_of_some_clips_by_one_fold() -> None:
    data = with_targets(make_data())
    rows = data.folds[1].val
    model = train(data)
    part = cut(data, rows)
    assert np.allclose(model.predict_values(data.table, 1)[rows], model.predict_values(part, 1))
