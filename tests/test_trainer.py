"""The trainer ``cv``: stacking, randomness, honesty of selection, absence, and what it leaves."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from mer_core.errors import DataError, PluginError
from mer_core.feature_set import FeatureSet, Fold, FusionOutput, StreamData, StreamInfo, TargetSpec
from mer_plugins.fusion.attention import Attention, AttentionOptions
from mer_plugins.fusion.concat import Concat, ConcatOptions
from mer_plugins.specs import PROTOCOLS
from mer_plugins.trainers.cv import CrossValidation, CvOptions
from mer_plugins.trainers.dropout import MaskedDropout, find_sites, replace_dropout
from mer_plugins.trainers.loop import weighted_f1
from mer_plugins.trainers.members import build_member
from mer_plugins.trainers.model import FusionModel
from mer_plugins.trainers.noise import Noise
from mer_plugins.trainers.plan import Batches, epoch_count, make_plan
from mer_plugins.trainers.stack import why_looped
from mer_plugins.trainers.tables import build_tables

CLASSES = ("neutral", "angry", "happy", "sad", "worried", "surprise")
DIMS = {"speech:a": 6, "speech:b": 4, "text:c": 5}
SMALL = {"hidden": 8}
QUICK: dict[str, Any] = {"epochs": 5, "batch_size": 10}


def make_data(count: int = 62, folds: int = 3, signal: float = 2.0, seed: int = 0, speakers: int = 8) -> FeatureSet:
    """Clips whose class shows in every stream; folds of different sizes; some streams absent, full of NaN."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 6, count)
    table = {}
    for name, dim in DIMS.items():
        centres = rng.normal(0, signal, (6, dim))
        values = (centres[labels] + rng.normal(0, 1, (count, dim))).astype(np.float32)
        present = rng.random(count) < 0.9
        values[~present] = np.nan
        table[name] = StreamData(StreamInfo(name, name.partition(":")[0], dim), values, present)
    order = rng.permutation(count)
    parts = np.split(order, np.cumsum(np.arange(1, folds + 1))[:-1] * count // (folds * (folds + 1) // 2))
    plan = tuple(Fold(np.setdiff1d(order, part), np.sort(part)) for part in parts)
    return FeatureSet(
        ids=tuple(map(str, range(count))),
        targets=TargetSpec(CLASSES),
        labels=labels,
        table=table,
        groups=tuple(f"s{s}" for s in rng.integers(0, speakers, count)),
        folds=plan,
    )


def train(data: FeatureSet, fusion: Any = None, seed: int = 0, **options: Any) -> FusionModel:
    trainer = CrossValidation(CvOptions(**{**QUICK, **options}), "cpu")
    return trainer.fit(fusion or Attention(AttentionOptions(**SMALL)), data, seed)


def weights(model: FusionModel) -> dict[str, torch.Tensor]:
    return {f"{k}.{n}": t for k, m in enumerate(model.members) for n, t in m.module.state_dict().items()}


def assert_close(one: FusionModel, two: FusionModel, tolerance: float = 0.0) -> None:
    first, second = weights(one), weights(two)
    assert first.keys() == second.keys()
    assert max(float((first[k] - second[k]).abs().max()) for k in first) <= tolerance


def cut(data: FeatureSet, rows: np.ndarray) -> dict[str, StreamData]:
    return {n: StreamData(p.info, p.values[rows], p.present[rows]) for n, p in data.table.items()}


def out_of_fold(model: FusionModel, data: FeatureSet) -> float:
    """WAF of out-of-fold predictions."""
    guess = np.zeros(len(data.ids), np.int64)
    for k, fold in enumerate(data.folds):
        guess[fold.val] = model.predict(cut(data, fold.val), k).argmax(axis=1)
    return weighted_f1(data.labels, guess)


class OtherFusion:
    """A fusion around any recurrent or normalising layer over one stream."""

    def __init__(self, middle: type[nn.Module]) -> None:
        self.middle = middle

    def build(self, streams: Any, targets: TargetSpec) -> nn.Module:
        return OtherModule(self.middle(6), len(targets.classes))


class Recurrent(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.rnn = nn.LSTM(1, size, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rnn(x.unsqueeze(-1))[1][0][0]


class OtherModule(nn.Module):
    def __init__(self, middle: nn.Module, classes: int) -> None:
        super().__init__()
        self.drop, self.middle, self.out = nn.Dropout(0.4), middle, nn.Linear(6, classes)

    def forward(self, x: Any, mask: Any) -> FusionOutput:
        clean = torch.where(mask["speech:a"].unsqueeze(-1), x["speech:a"], 0.0)
        logits = self.out(self.middle(self.drop(clean)))
        return FusionOutput(logits, logits[:, :0], {"small": 0.01 * logits.square().mean()})


# stacking


@pytest.mark.parametrize("policy", ["keep_one", "allow"])
@pytest.mark.parametrize(("fusion", "options"), [(Attention, AttentionOptions), (Concat, ConcatOptions)])
def test_stacked_equals_single_training(fusion: type, options: type, policy: str) -> None:
    """Float64, 20 steps, dropout and modality dropout on, folds of different sizes."""
    made, data = fusion(options(**SMALL)), make_data()
    kind = {"precision": "float64", "modality_dropout_policy": policy, "lr": 1e-3}
    stacked, single = train(data, made, stacked=True, **kind), train(data, made, stacked=False, **kind)
    assert stacked.summary["steps"] >= 20
    assert (stacked.summary["stacked"], single.summary["stacked"]) == (True, False)
    assert (stacked.summary["stacked_reason"], single.summary["stacked_reason"]) == ("", "stacked=false was asked for")
    assert_close(stacked, single, 1e-9)


def test_stacked_equals_a_plain_loop_written_out() -> None:
    """Each fold alone, without any code of the trainer but its shuffles, initial weights and statistics."""
    data = make_data()
    fusion = Attention(AttentionOptions(hidden=8, dropout=0.0))
    model = train(data, fusion, precision="float64", modality_dropout=0.0, schedule="constant")
    steps = model.summary["steps"] // model.summary["epochs"]
    orders = Batches([fold.train for fold in data.folds], steps, seed=0)
    batches = [batch for _ in range(model.summary["epochs"]) for batch in orders.epoch()]
    assert len(batches) >= 20
    for k, member in enumerate(model.members):
        module = build_member(fusion, data, 0, k).double()
        optimiser = torch.optim.Adam(module.parameters(), lr=3e-4, weight_decay=3e-4, foreach=False)
        full = {n: torch.from_numpy(s.apply(data.table[n].values)).double() for n, s in member.standardisers.items()}
        for rows, shares in batches:
            own = rows[k][shares[k] > 0]
            mask = {n: torch.from_numpy(data.table[n].present[own]) for n in full}
            logits = module({n: v[own] for n, v in full.items()}, mask).logits
            optimiser.zero_grad()
            cross_entropy(logits, torch.from_numpy(data.labels[own])).backward()
            optimiser.step()
        expected = module.state_dict()
        assert all((expected[n] - v).abs().max() < 1e-9 for n, v in member.module.state_dict().items())


def test_in_float32_the_score_agrees() -> None:
    data = make_data(120, signal=1.0)
    one, two = (out_of_fold(train(data, stacked=s, epochs=8), data) for s in (True, False))
    assert abs(one - two) <= 0.01


def test_a_fold_learns_the_same_whatever_other_folds_there_are() -> None:
    data = make_data(60, folds=3)
    first = Fold(np.arange(40), np.arange(40, 60))
    two = dataclasses.replace(data, folds=(first, Fold(np.arange(20, 60), np.arange(20))))
    three = dataclasses.replace(data, folds=(*two.folds, Fold(np.arange(10, 50), np.arange(10))))
    few, many = train(two, precision="float64"), train(three, precision="float64")
    for k in range(2):
        one, other = (m.members[k].module.state_dict() for m in (few, many))
        assert all((one[n] - other[n]).abs().max() < 1e-12 for n in one)


def test_a_recurrent_fusion_trains_in_a_loop() -> None:
    data = make_data()
    summary = train(data, OtherFusion(Recurrent)).summary
    assert not summary["stacked"]
    assert "torch.vmap cannot run the fusion: Batching rule" in summary["stacked_reason"]
    with pytest.raises(PluginError, match=r"cannot be stacked: torch.vmap cannot run the fusion: .*lstm"):
        train(data, OtherFusion(Recurrent), stacked=True)


class Scaled(nn.Linear):
    """Looks at a value, which a stacked pass cannot."""

    def __init__(self, size: int) -> None:
        super().__init__(size, size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) * max(1.0, x.abs().max().item())


class Tied(nn.Linear):
    def __init__(self, size: int) -> None:
        super().__init__(size, size)
        self.again = self.weight


def inner_class(size: int) -> nn.Module:
    class Inner(nn.Linear):
        pass

    return Inner(size, size)


@pytest.mark.parametrize(
    ("middle", "reason"),
    [
        (Scaled, "calling .item() on a Tensor"),
        (Tied, "a weight of the fusion has two names"),
    ],
)
def test_why_folds_train_one_by_one(middle: Any, reason: str) -> None:
    summary = train(make_data(), OtherFusion(middle), epochs=1).summary
    assert not summary["stacked"]
    assert summary["stacked_reason"].endswith(reason)


def test_modules_of_another_class_each_time_are_not_stacked() -> None:
    batch = torch.zeros(2, 3, 6)
    reason = why_looped([inner_class(6), inner_class(6)], {"speech": batch}, {"speech": batch[..., 0] == 0})
    assert reason == "build returns another class of module for each fold"


def test_batch_normalisation_stacks_with_its_running_statistics() -> None:
    kind = {"precision": "float64"}
    one, two = (train(make_data(), OtherFusion(nn.BatchNorm1d), stacked=s, **kind) for s in (True, False))
    assert "0.middle.running_mean" in weights(one)
    assert_close(one, two, 1e-9)


# randomness


def test_same_seed_same_bits_other_seed_other_bits(tmp_path: Path) -> None:
    data = make_data()
    for name in ("one", "two"):
        train(data, seed=3).save(tmp_path / name)
    for file in ("members.safetensors", "members.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    with pytest.raises(AssertionError):
        assert_close(train(data, seed=3), train(data, seed=4))


def test_training_leaves_global_randomness_alone() -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    train(make_data(), epochs=1)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("on_device", [False, True])
def test_dropout_factors_have_the_right_rate_mean_and_source(on_device: bool) -> None:
    module = replace_dropout(nn.Sequential(nn.Linear(50, 400), nn.Dropout(0.3), nn.Dropout(0.0)))

    class Taking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, x: Any, mask: Any) -> torch.Tensor:
            return self.inner(x["s:a"])

    sites = find_sites(Taking(), {"s:a": torch.zeros(100, 50)}, {})
    assert [(s.name, s.shape) for s in sites] == [("inner.1", (100, 400))]
    noises = [Noise(seed=5, folds=k, device="cpu", dtype=torch.float32) for k in (2, 3)]
    if on_device:
        for noise in noises:
            noise.numpy = False
            noise.device_generators = [noise._on_device(g) for g in noise.generators]
    two, three = (noise.factors(sites)["inner.1"][0] for noise in noises)
    assert torch.equal(two, three[:2])
    assert not torch.equal(two[0], two[1])
    assert three.unique().tolist() == pytest.approx([0, 256 / (256 - 77)])
    assert three.mean().item() == pytest.approx(1, abs=0.01)
    assert (three == 0).float().mean().item() == pytest.approx(77 / 256, abs=0.006)


def test_replaced_dropout_is_identity_in_evaluation() -> None:
    x = torch.rand(4, 4)
    assert MaskedDropout(0.5).eval()(x) is x
    assert MaskedDropout(0.0).train()(x) is x
    with pytest.raises(PluginError, match="shapes"):
        MaskedDropout(0.5).train()(x)


def test_every_clip_is_seen_once_per_epoch_and_all_folds_take_the_same_steps() -> None:
    trains = [np.arange(23), np.arange(5, 40), np.arange(9)]
    epoch = list(Batches(trains, 5, seed=0).epoch())
    assert len(epoch) == 5
    for fold, rows in enumerate(trains):
        seen = np.concatenate([r[fold][w[fold] > 0] for r, w in epoch])
        assert np.array_equal(np.sort(seen), rows)
        assert all(w[fold].sum() == pytest.approx(1) for _, w in epoch)
        assert all(np.isin(r[fold], rows).all() for r, _ in epoch)


def test_at_least_a_thousand_steps_unless_epochs_are_given() -> None:
    assert epoch_count(2, CvOptions()) * 2 == 1000
    assert epoch_count(300, CvOptions()) * 300 >= 1000
    assert epoch_count(2, CvOptions(epochs=3)) == 3


# honesty


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_it_learns_what_is_there(precision: str) -> None:
    data, fusion = make_data(180), Attention(AttentionOptions(hidden=32))
    assert out_of_fold(train(data, fusion, epochs=30, lr=5e-3, batch_size=30, precision=precision), data) > 0.85


def test_with_permuted_labels_cross_validation_is_at_chance() -> None:
    """Chance is 1/6; selecting the epoch on the scored part is what lifts a score above it."""
    last, best = [], []
    for seed in range(3):
        data = make_data(240, folds=4, seed=seed)
        data = dataclasses.replace(data, labels=np.random.default_rng(seed).permutation(data.labels))
        kind: dict[str, Any] = {"epochs": 25, "lr": 5e-3, "batch_size": 60}
        fusion = Attention(AttentionOptions(hidden=16))
        last.append(out_of_fold(train(data, fusion, **kind), data))
        best.append(out_of_fold(train(data, fusion, select="val", **kind), data))
    assert abs(np.mean(last) - 1 / 6) < 0.05
    assert np.mean(best) > np.mean(last) + 0.01


@pytest.mark.parametrize("select", ["last", "inner"])
def test_nothing_of_the_scored_part_reaches_the_member(select: str) -> None:
    data = make_data(60, folds=2)
    val = data.folds[0].val
    labels, table = data.labels.copy(), {}
    labels[val] = (labels[val] + 1) % 6
    for name, part in data.table.items():
        values = part.values.copy()
        values[val] = 1e6
        table[name] = dataclasses.replace(part, values=values)
    changed = dataclasses.replace(data, labels=labels, table=table)
    one, two = train(data, select=select), train(changed, select=select)
    same = zip(one.members[0].module.state_dict().values(), two.members[0].module.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in same)
    assert one.members[0].standardisers["text:c"].mean.tolist() == two.members[0].standardisers["text:c"].mean.tolist()


def test_only_selection_on_the_scored_part_is_marked_optimistic() -> None:
    data = make_data()
    found = {select: train(data, select=select).summary for select in ("last", "inner", "val")}
    assert {k: s["optimistic"] for k, s in found.items()} == {"last": False, "inner": False, "val": True}
    assert {k: s["selection"] for k, s in found.items()} == {k: k for k in found}
    assert [curve["chosen_epoch"] for curve in found["last"]["curves"]] == [5, 5, 5]
    curve = found["val"]["curves"][0]
    assert curve["chosen_epoch"] == 1 + int(np.argmax(curve["selection_waf"]))


def test_the_chosen_epoch_is_the_one_returned() -> None:
    data = make_data(90, signal=1.0)
    model = train(data, select="val", epochs=12, lr=3e-3)
    for k, (fold, curve) in enumerate(zip(data.folds, model.summary["curves"], strict=True)):
        guess = model.predict(cut(data, fold.val), k).argmax(axis=1)
        assert weighted_f1(data.labels[fold.val], guess) == pytest.approx(max(curve["selection_waf"]), abs=1e-6)


def test_inner_selection_holds_out_whole_speakers_of_the_training_part() -> None:
    data = make_data(90)
    plan = make_plan(data, CvOptions(select="inner"), seed=0)
    speakers = np.asarray(data.groups)
    for part, fold in zip(plan.parts, data.folds, strict=True):
        assert not set(speakers[part.train]) & set(speakers[part.choose])
        assert np.array_equal(np.sort(np.concatenate([part.train, part.choose])), np.sort(fold.train))
        assert 0 < len(part.choose) < len(fold.train) / 2
    alone = make_plan(dataclasses.replace(data, groups=None), CvOptions(select="inner"), seed=0)
    assert len(alone.parts[0].choose) == pytest.approx(0.15 * len(data.folds[0].train), abs=6)


def test_inner_selection_splits_clips_of_unknown_speakers_one_by_one() -> None:
    data = make_data(90)
    groups = tuple("" if row % 2 else name for row, name in enumerate(data.groups or ()))
    plan = make_plan(dataclasses.replace(data, groups=groups), CvOptions(select="inner"), seed=0)
    for part in plan.parts:
        learnt, held = ({groups[row] for row in rows} for rows in (part.train, part.choose))
        assert learnt & held == {""}


@pytest.mark.parametrize("select", ["val", "inner"])
def test_where_there_is_nothing_to_select_on_the_last_epoch_is_kept_and_said(select: str) -> None:
    data = dataclasses.replace(make_data(5), folds=(), groups=None)
    summary = train(data, select=select).summary
    assert (summary["selection"], summary["optimistic"], summary["members"]) == ("last", False, 1)
    assert "last" in summary["notes"][0]


def test_unlabelled_and_empty_parts_are_refused() -> None:
    data = make_data()
    with pytest.raises(DataError, match="unlabelled"):
        train(dataclasses.replace(data, labels=np.full_like(data.labels, -1)))
    with pytest.raises(DataError, match="without any"):
        train(dataclasses.replace(data, folds=(Fold(np.arange(0), np.arange(3)),)))


def test_without_folds_all_labelled_clips_are_learnt_from() -> None:
    data = dataclasses.replace(make_data(), folds=())
    data.labels[:10] = -1
    model = train(data)
    assert model.summary["train_clips"] == [52]
    assert model.predict(data.table).shape == (62, 6)


# absence and holes


def test_nan_behind_cleared_bits_changes_no_bit() -> None:
    data = make_data()
    assert any(np.isnan(part.values).any() for part in data.table.values())
    clean = {n: dataclasses.replace(p, values=np.nan_to_num(p.values, nan=7.5)) for n, p in data.table.items()}
    one, two = train(data), train(dataclasses.replace(data, table=clean))
    assert_close(one, two)
    assert np.array_equal(one.predict(data.table), two.predict(clean))
    assert one.summary["imputed"] == {}


def test_holes_in_present_rows_are_imputed_and_counted() -> None:
    data = make_data()
    rows = np.flatnonzero(data.table["text:c"].present)[:4]
    data.table["text:c"].values[rows, 1] = np.inf
    model = train(data)
    assert model.summary["imputed"] == {"text:c": {"cells": 4, "columns": 1}}
    assert np.isfinite(model.predict(data.table)).all()


def test_a_missing_stream_equals_an_absent_one_everywhere() -> None:
    data = make_data()
    model = train(data)
    absent = dict(data.table)
    absent["text:c"] = dataclasses.replace(absent["text:c"], present=np.zeros(62, bool))
    fewer = {name: part for name, part in data.table.items() if name != "text:c"}
    assert np.array_equal(model.predict(absent), model.predict(fewer))
    with pytest.raises(DataError, match="do not fit"):
        model.predict({"video:z": data.table["text:c"]})
    with pytest.raises(DataError, match="shape"):
        model.predict({"text:c": data.table["speech:a"]})


def test_streams_of_one_modality_are_dropped_together() -> None:
    seen: list[tuple[torch.Tensor, ...]] = []

    class Watching(Attention):
        def build(self, streams: Any, targets: TargetSpec) -> Any:
            module = super().build(streams, targets)
            module.register_forward_pre_hook(lambda m, args: seen.append(tuple(args[1].values())))
            return module

    data = make_data()
    for part in data.table.values():
        part.present[:] = True
    full = {n: dataclasses.replace(p, values=np.nan_to_num(p.values)) for n, p in data.table.items()}
    rows = np.arange(62)
    even = tuple(Fold(rows[rows % 2 == k], rows[rows % 2 != k]) for k in range(2))
    data = dataclasses.replace(data, table=full, folds=even)
    train(data, Watching(AttentionOptions(**SMALL)), stacked=False, modality_dropout=0.5, batch_size=31)
    a, b, c = (torch.cat(bits) for bits in zip(*seen, strict=True))
    assert torch.equal(a, b)
    assert 0.2 < (~a).float().mean() < 0.5
    assert (a | c).all()


def test_modality_dropout_off_draws_nothing() -> None:
    class Refusing(Noise):
        def uniform(self, rows: int, columns: int) -> torch.Tensor:
            raise AssertionError("drawn")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mer_plugins.trainers.cv.Noise", Refusing)
        train(make_data(), modality_dropout=0.0)
        with pytest.raises(AssertionError, match="drawn"):
            train(make_data())


# tables


@pytest.mark.parametrize("kind", [{}, {"standardise": False}, {"limit": 0.5}, {"limit": None}])
def test_training_sees_the_very_values_that_prediction_sees(kind: dict[str, Any]) -> None:
    data = make_data()
    data.table["text:c"].values[::5, 2] = np.inf
    model = train(data, **kind)
    rows = np.arange(62)
    tables = build_tables(data, [m.standardisers for m in model.members], rows, "cpu", torch.float32)
    values, present = tables.gather(torch.from_numpy(np.stack([rows] * 3)))
    for name, part in data.table.items():
        for fold, member in enumerate(model.members):
            assert np.array_equal(values[name][fold].numpy(), member.standardisers[name].apply(part.values))
            assert np.array_equal(present[name][fold].numpy(), part.present)


def test_features_that_differ_by_fold_are_used() -> None:
    data = make_data()
    other = dataclasses.replace(data.table["text:c"], values=data.table["text:c"].values[::-1].copy())
    special = dataclasses.replace(data, fold_tables={1: {"text:c": other}})
    plain, mixed = train(data), train(special)
    same = [
        all(torch.equal(a, b) for a, b in zip(x.module.parameters(), y.module.parameters(), strict=True))
        for x, y in zip(plain.members, mixed.members, strict=True)
    ]
    assert same == [True, False, True]


# the model


def test_the_ensemble_is_the_mean_of_logits() -> None:
    data = make_data()
    model = train(data)
    each = np.stack([model.logits(data.table, fold) for fold in range(3)])
    expected = torch.softmax(torch.from_numpy(each.mean(axis=0)), dim=1).numpy()
    assert np.allclose(model.predict(data.table), expected)
    assert np.allclose(model.predict(data.table).sum(axis=1), 1)
    with pytest.raises(DataError, match="no fold 3"):
        model.predict(data.table, 3)


def test_saved_and_loaded_it_predicts_the_same_bits(tmp_path: Path) -> None:
    data, fusion = make_data(), Attention(AttentionOptions(**SMALL))
    model = train(data, fusion)
    model.save(tmp_path / "model")
    loaded = CrossValidation(CvOptions(), "cpu").load(tmp_path / "model", fusion)
    assert (loaded.targets, dict(loaded.streams)) == (model.targets, dict(model.streams))
    assert loaded.summary == model.summary
    for fold in (None, 0, 2):
        assert np.array_equal(loaded.predict(data.table, fold), model.predict(data.table, fold))


def test_large_values_are_remarked_on_where_nothing_is_standardised() -> None:
    data = make_data()
    part = data.table["text:c"]
    values = np.where(np.arange(len(part.values))[:, None] % 3 == 0, np.float32(-4310), part.values)
    far = StreamData(part.info, values, part.present)
    moved = dataclasses.replace(data, table={**data.table, "text:c": far})
    fusion = Attention(AttentionOptions(**SMALL))
    (note,) = train(moved, fusion, standardise=False, epochs=1).summary["notes"]
    assert "Values of text:c reach 4,310, and nothing is standardised" in note
    assert train(moved, fusion, epochs=1).summary["notes"] == []
    assert train(data, fusion, standardise=False, epochs=1).summary["notes"] == []


def test_a_stream_that_no_training_clip_has_counts_as_absent(tmp_path: Path) -> None:
    data = make_data()
    part = data.table["text:c"]
    present = part.present.copy()
    present[data.folds[0].train] = False
    partly = dataclasses.replace(data, table={**data.table, "text:c": StreamData(part.info, part.values, present)})
    fusion = Attention(AttentionOptions(**SMALL))
    model = train(partly, fusion)
    model.save(tmp_path)
    assert model.summary["notes"] == ["No training clip of 1 of 3 folds has text:c: it counts as absent there."]
    without = {name: stream for name, stream in partly.table.items() if name != "text:c"}
    for found in (model, CrossValidation(CvOptions(), "cpu").load(tmp_path, fusion)):
        assert [member.unlearnt for member in found.members] == [("text:c",), (), ()]
        assert np.array_equal(found.predict(partly.table, 0), found.predict(without, 0))
        assert not np.array_equal(found.predict(partly.table, 1), found.predict(without, 1))


def test_what_cannot_be_loaded_is_explained(tmp_path: Path) -> None:
    trainer = CrossValidation(CvOptions(), "cpu")
    with pytest.raises(DataError, match="no readable model"):
        trainer.load(tmp_path, Attention(AttentionOptions()))
    train(make_data(), epochs=1).save(tmp_path)
    with pytest.raises(DataError, match="do not fit"):
        trainer.load(tmp_path, Attention(AttentionOptions(hidden=9)))


def test_progress_ends_at_the_last_step() -> None:
    seen: list[tuple[str, int, int]] = []
    trainer = CrossValidation(CvOptions(**QUICK), "cpu")
    model = trainer.fit(Attention(AttentionOptions(**SMALL)), make_data(), 0, lambda s, d, t, n: seen.append((s, d, t)))
    assert seen[-1] == ("train", model.summary["steps"], model.summary["steps"])


def test_divergence_is_an_error_that_names_the_fold() -> None:
    data = make_data()
    with pytest.raises(DataError, match="fold 1 diverged"):
        train(data, lr=1e30)


def test_the_published_protocol_is_a_set_of_valid_options() -> None:
    mer2024 = next(p for p in PROTOCOLS if p.name == "mer2024")
    options = CvOptions(**mer2024.trainer_options)
    assert (options.epochs, options.select, options.standardise, options.schedule) == (30, "val", False, "constant")
    model = train(make_data(), Attention(AttentionOptions(**mer2024.fusion_options)), **mer2024.trainer_options)
    assert model.summary["optimistic"]
    assert model.members[0].standardisers["text:c"].scale.tolist() == [1.0] * 5


def test_weighted_f1_golden() -> None:
    truth, guess = np.array([0, 0, 0, 1, 1, 2, 3, 4, 5, 5]), np.array([0, 0, 1, 1, 2, 2, 3, 3, 5, 0])
    assert weighted_f1(truth, guess) == pytest.approx(17 / 30)


@pytest.mark.real
def test_defaults_hold_up_on_real_features(real_data: Path) -> None:
    """RAVDESS, unseen speakers: standardised logistic regression reaches .72 to .75 on such folds."""
    found = np.load(real_data / "features" / "ravdess_av.npz")
    speakers = found["speaker"]
    order = np.random.default_rng(0).permutation(np.unique(speakers))
    folds = tuple(
        Fold(np.flatnonzero(~np.isin(speakers, held)), np.flatnonzero(np.isin(speakers, held)))
        for held in np.array_split(order, 3)
    )
    table = {
        name: StreamData(StreamInfo(name, name.partition(":")[0], values.shape[1]), values, np.ones(360, bool))
        for name, values in (("speech:a", found["audio"]), ("video:v", found["video"]))
    }
    targets = TargetSpec(tuple(map(str, found["label_names"])))
    data = FeatureSet(ids=tuple(found["ids"]), targets=targets, labels=found["labels"], table=table, folds=folds)
    model = CrossValidation(CvOptions(), "cpu").fit(Attention(AttentionOptions()), data, 0)
    assert model.summary["imputed"]["speech:a"]["cells"] == 538
    assert out_of_fold(model, data) > 0.66
