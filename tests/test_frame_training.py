"""The trainer ``cv`` on streams of frames: padding, order, what lies behind cleared bits, folds alone and together."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mer_core.frames import as_level, pad_clips, take_clips
from mer_core.plugin import DataError, FeatureSet, FusionOutput, StreamData, StreamInfo, TargetSpec, clear_input
from mer_core.pooling import Standardiser
from mer_core.testing.tables import feature_set, framed, part_of, soiled
from mer_plugins.trainers.cv import CrossValidation
from mer_plugins.trainers.frame_tables import FrameTable, parts_of
from mer_plugins.trainers.masking import ModalityDropout
from mer_plugins.trainers.model import FusionModel
from mer_plugins.trainers.noise import Noise
from mer_plugins.trainers.options import CvOptions
from mer_plugins.trainers.sites import Sites
from mer_plugins.trainers.stack import Looped, Stacked

HIDDEN = 6
QUICK: Mapping[str, Any] = {"epochs": 4, "batch_size": 8, "lr": 3e-2, "precision": "float64"}


class Mean(nn.Module):
    """Every frame is encoded; present ones are averaged; streams are added."""

    def __init__(self, streams: Mapping[str, StreamInfo], classes: int, rate: float) -> None:
        super().__init__()
        self.names, self.levels = tuple(streams), [info.level for info in streams.values()]
        self.encoders = nn.ModuleList(nn.Linear(info.dim, HIDDEN) for info in streams.values())
        self.drops = nn.ModuleList(nn.Dropout(rate) for _ in streams)
        self.after, self.out = nn.Dropout(rate), nn.Linear(HIDDEN, classes)

    def forward(self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> FusionOutput:
        parts = [self.encode(number, x[name], mask[name]) for number, name in enumerate(self.names)]
        logits = self.out(self.after(torch.stack(parts).sum(0)))
        return FusionOutput(logits, logits[:, :0], {})

    def encode(self, number: int, x: Tensor, mask: Tensor) -> Tensor:
        hidden = clear_input(self.drops[number](torch.tanh(self.encoders[number](clear_input(x, mask)))), mask)
        if self.levels[number] == "clip":
            return hidden
        return self.summary(hidden, mask)

    def summary(self, hidden: Tensor, mask: Tensor) -> Tensor:
        return hidden.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)


class Last(Mean):
    """Likewise, with a recurrent layer over the frames, whose state stays where a frame is absent."""

    def __init__(self, streams: Mapping[str, StreamInfo], classes: int, rate: float) -> None:
        super().__init__(streams, classes, rate)
        self.cell = nn.GRUCell(HIDDEN, HIDDEN)

    def summary(self, hidden: Tensor, mask: Tensor) -> Tensor:
        state = hidden.new_zeros(len(hidden), HIDDEN)
        for at in range(int(mask.any(0).nonzero().max()) + 1 if mask.any() else 0):
            state = torch.where(mask[:, at, None], self.cell(hidden[:, at], state), state)
        return state


class Framed:
    """A fusion of a test's own."""

    def __init__(self, module: type[Mean] = Mean, rate: float = 0.25) -> None:
        self.module, self.rate = module, rate

    def build(self, streams: Mapping[str, StreamInfo], targets: TargetSpec) -> nn.Module:
        return self.module(streams, len(targets.classes), self.rate)


def fitted(data: FeatureSet, fusion: Framed | None = None, **options: Any) -> FusionModel:
    return CrossValidation(CvOptions(**{**QUICK, **options})).fit(fusion or Framed(), data, seed=3)


@pytest.fixture(scope="module")
def data() -> FeatureSet:
    return framed(feature_set(36, absent=0.2, folds=3), longest=11)


@pytest.fixture(scope="module")
def model(data: FeatureSet) -> FusionModel:
    return fitted(data)


def longer(data: FeatureSet, frames: int = 30) -> FeatureSet:
    """``data`` with one more clip, unlabelled, of many frames: batches with it are padded further."""
    table = {}
    for name, part in data.table.items():
        assert part.offsets is not None
        end = len(part.values)
        table[name] = StreamData(
            part.info,
            np.concatenate([part.values, np.ones((frames, part.info.dim), np.float32)]),
            np.append(part.present, True),
            np.concatenate([part.offsets, [[end, end + frames]]]),
        )
    return dataclasses.replace(data, ids=(*data.ids, "long"), labels=np.append(data.labels, -1), table=table)


def test_frames_are_learnt_from_stacked(model: FusionModel, data: FeatureSet) -> None:
    assert model.summary["stacked"]
    assert {info.level for info in model.streams.values()} == {"frame"}
    truth = np.concatenate([data.labels[fold.val] for fold in data.folds])
    parts = [model.predict(part_of(data.table, fold.val), k) for k, fold in enumerate(data.folds)]
    assert (np.concatenate(parts).argmax(1) == truth).mean() > 0.6


@pytest.mark.parametrize("module", [Mean, Last])
def test_stacked_and_looped_members_get_the_same_draws(module: type[Mean], data: FeatureSet) -> None:
    if module is Last:
        found = fitted(data, Framed(Last), modality_dropout=0.3)
        assert not found.summary["stacked"]
        assert "vmap" in found.summary["stacked_reason"]
        return
    one, other = (fitted(data, Framed(module), modality_dropout=0.3, stacked=way) for way in (True, False))
    np.testing.assert_allclose(one.predict(data.table), other.predict(data.table), atol=1e-10)


@pytest.mark.parametrize("module", [Mean, Last])
def test_a_fold_alone_is_the_fold_among_others(module: type[Mean], data: FeatureSet) -> None:
    together = fitted(data, Framed(module), stacked=False)
    alone = fitted(dataclasses.replace(data, folds=data.folds[:1]), Framed(module))
    np.testing.assert_allclose(together.predict(data.table, 0), alone.predict(data.table, 0), atol=1e-10)


def test_what_lies_behind_cleared_bits_and_between_clips_changes_nothing(model: FusionModel, data: FeatureSet) -> None:
    dirty = fitted(soiled(data))
    assert np.array_equal(dirty.predict(soiled(data).table), model.predict(data.table))


def test_more_padding_other_order_and_a_batch_of_one_change_no_prediction(model: FusionModel, data: FeatureSet) -> None:
    expected = model.predict(data.table)
    np.testing.assert_allclose(model.predict(longer(data).table)[:-1], expected, atol=1e-12)
    turned = np.arange(len(data.ids))[::-1].copy()
    np.testing.assert_allclose(model.predict(part_of(data.table, turned)), expected[turned], atol=1e-12)
    for row in (0, 7):
        found = model.predict(part_of(data.table, np.array([row])))
        np.testing.assert_allclose(found[0], expected[row], atol=1e-12)


def test_a_saved_model_reads_frames_again(model: FusionModel, data: FeatureSet, tmp_path: Path) -> None:
    model.save(tmp_path)
    again = CrossValidation(CvOptions(**QUICK)).load(tmp_path, Framed())
    assert again.streams == model.streams
    assert np.array_equal(again.predict(data.table), model.predict(data.table))


def test_vectors_count_as_one_frame_and_frames_are_refused_as_vectors(model: FusionModel) -> None:
    vectors = feature_set(9)
    rows = {name: as_level(part, model.streams[name]) for name, part in vectors.table.items()}
    assert np.array_equal(model.predict(vectors.table), model.predict(rows))
    clipwise = fitted(feature_set(18, folds=2))
    with pytest.raises(DataError, match="has frames"):
        clipwise.predict(framed(vectors).table)


def test_levels_mix(data: FeatureSet) -> None:
    vectors = feature_set(36, absent=0.2, folds=3)
    mixed = dataclasses.replace(data, table={**data.table, "text:c": vectors.table["text:c"]})
    found = fitted(mixed)
    assert [info.level for info in found.streams.values()] == ["frame", "frame", "clip"]
    assert found.predict(mixed.table).shape == (36, 3)


def test_each_member_is_standardised_by_the_frames_of_its_own_training_clips(
    model: FusionModel, data: FeatureSet
) -> None:
    part = data.table["speech:a"]
    assert part.offsets is not None
    for member, fold in zip(model.members, data.folds, strict=True):
        spans = [part.values[start:end] for start, end in part.offsets[fold.train[part.present[fold.train]]]]
        frames = np.concatenate(spans)
        own = member.standardisers["speech:a"]
        np.testing.assert_allclose(own.mean, frames.mean(0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(own.scale, 1 / frames.std(0), rtol=1e-5)


def test_blocks_of_frames_teach_what_all_at_once_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mer_core.pooling._CELLS", 7 * 4)
    values = np.random.default_rng(0).normal([5, -3, 0, 1e3], [1, 9, 0, 2], (200, 4)).astype(np.float32)
    values[3, 1] = np.inf
    rows = np.arange(0, 200, 3)
    one, other = Standardiser.fit(values, rows), Standardiser.fit_frames(values, rows)
    for name in ("median", "mean", "scale"):
        np.testing.assert_allclose(getattr(other, name), getattr(one, name), rtol=1e-5)
    nobody = Standardiser.fit_frames(values, rows[:0], limit=3.0)
    assert nobody.limit == 3.0
    assert (nobody.scale == 1).all()


def test_a_hole_in_a_frame_is_filled_with_the_median(data: FeatureSet) -> None:
    part = data.table["speech:a"]
    assert part.offsets is not None
    values = part.values.copy()
    row = int(np.flatnonzero(part.present)[0])
    values[part.offsets[row, 0], 2] = np.nan
    holed = dataclasses.replace(data, table={**data.table, "speech:a": dataclasses.replace(part, values=values)})
    found = fitted(holed)
    assert found.summary["imputed"] == {"speech:a": {"cells": 1, "columns": 1}}
    assert np.isfinite(found.predict(holed.table)).all()


def table_of(data: FeatureSet, name: str) -> FrameTable:
    part = data.table[name]
    return FrameTable([part], np.arange(len(data.ids)), lambda x: x, "cpu", torch.float32)


def test_batches_are_as_long_as_the_longest_of_all_members(data: FeatureSet) -> None:
    part, table = data.table["speech:b"], table_of(data, "speech:b")
    rows = np.array([[0, 1, 2], [3, 4, 5]])
    x, mask = table.gather(torch.from_numpy(rows))
    counts = mask.sum(-1).numpy()
    expected, bits = pad_clips(part, rows.ravel())
    assert x.shape[2] == min(table.longest, -(-counts.max() // 8) * 8)
    assert np.array_equal(counts.ravel(), bits.sum(1))
    assert np.array_equal(x.flatten(0, 1).numpy()[:, : expected.shape[1]], expected)
    assert not mask.flatten(0, 1).numpy()[:, expected.shape[1] :].any()


def test_a_clip_has_the_same_dropout_however_far_its_batch_is_padded(data: FeatureSet) -> None:
    streams = {name: part.info for name, part in data.table.items()}
    from mer_plugins.trainers.dropout import replace_dropout

    modules = [replace_dropout(Framed(rate=0.5).build(streams, data.targets)) for _ in range(2)]
    x = {name: torch.randn(2, 4, 3, info.dim) for name, info in streams.items()}
    mask = {name: torch.ones(2, 4, 3, dtype=torch.bool) for name in streams}
    further = {name: torch.cat([part, part], 2) for name, part in x.items()}
    wider = {name: torch.cat([part, part], 2) for name, part in mask.items()}
    longest = dict.fromkeys(streams, 9)
    for members in (Stacked(modules), Looped(modules)):
        first = Sites(members, longest).factors(x, mask, Noise(0, 2, "cpu", torch.float32))
        second = Sites(members, longest).factors(further, wider, Noise(0, 2, "cpu", torch.float32))
        assert [factor.shape for factor in first["drops.0"]] == [(2, 4, 3, HIDDEN)]
        for name in first:
            for one, other in zip(first[name], second[name], strict=True):
                assert torch.equal(one, other[tuple(map(slice, one.shape))])


def test_modality_dropout_clears_whole_clips(data: FeatureSet) -> None:
    streams = {name: part.info for name, part in data.table.items()}
    dropping = ModalityDropout(streams, CvOptions(modality_dropout=0.5))
    mask = {name: torch.rand(2, 50, 7) < 0.8 for name in streams}
    x = {name: torch.zeros(2, 50, 7, info.dim) for name, info in streams.items()}
    kept = dropping(x, mask, Noise(0, 2, "cpu", torch.float32))[1]
    for name, part in kept.items():
        whole, gone = (part == mask[name]).all(-1), ~part.any(-1)
        assert (whole | gone).all()
        assert 0.2 < gone.float().mean() < 0.8
    assert torch.equal(kept["speech:a"].any(-1), kept["speech:b"].any(-1))


def test_gradient_modulation_takes_frames(data: FeatureSet) -> None:
    found = fitted(data, gradient_modulation="ogm-ge", epochs=1)
    assert set(found.summary["gradient_modulation"]) == {"speech", "text"}


def test_self_training_takes_frames() -> None:
    pool = framed(feature_set(24, folds=2, unlabelled=6), longest=4)
    found = fitted(pool, self_training="class-balanced", pseudo_rounds=1, pseudo_agreement="all", epochs=2)
    assert found.summary["self_training"]["pool"] == 6


def test_long_clips_are_predicted_in_smaller_parts() -> None:
    counts: NDArray[np.int64] = np.array([1, 1, 2**21, 1, 1])
    ends = np.cumsum(counts)
    part = StreamData(
        StreamInfo("a", "a", 4, "frame"),
        np.zeros((0, 4), np.float32),
        np.ones(5, bool),
        np.stack([ends - counts, ends], axis=1),
    )
    assert list(parts_of([part], 5, 512)) == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert list(parts_of([take_clips(part, np.array([0, 1]))], 2, 512)) == [slice(0, 2)]
    assert list(parts_of([feature_set(9).table["text:c"]], 9, 4)) == [slice(0, 4), slice(4, 8), slice(8, 12)]
