"""Fusions over frames: EF-LSTM, MulT, and all others with an LSTM for each stream of frames."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from test_fusion import DIMS, streams
from test_fusion_kit import TARGETS, made
from torch import Tensor, nn

from mer_core import fit
from mer_core.plugin import PluginError, StreamInfo
from mer_core.testing import check_plugin, conformance
from mer_core.testing.tables import feature_set, framed
from mer_plugins.fusion.ef_lstm import binned
from mer_plugins.fusion.encoders import LSTMEncoder
from mer_plugins.fusion.specs import FUSIONS
from mer_plugins.trainers.stack import why_looped

SMALL = {"hidden": 8}
OWN: dict[str, dict[str, object]] = {
    "mult": {"heads": 2, "layers": 1, "dropout": 0.25},
    "misa": {"feedforward": 16},
    "transformer": {"feedforward": 16},
}
EACH = pytest.mark.parametrize("name", [spec.name for spec in FUSIONS])
FRAMES = {"speech:a": 6, "text:b": 4, "video:c": 5}


def built(name: str, order: dict[str, int] = DIMS, level: str = "frame", **options: object) -> nn.Module:
    torch.manual_seed(0)
    fusion = made(name, **{**SMALL, **OWN.get(name, {}), **options})
    return fusion.build(streams(order, level), TARGETS).double().eval()


def batch(size: int = 4, dims: dict[str, int] = DIMS) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Clips of 1 to all frames; the first has all."""
    drawer = torch.Generator().manual_seed(1)
    x, mask = {}, {}
    for name, dim in dims.items():
        x[name] = torch.randn(size, FRAMES[name], dim, generator=drawer, dtype=torch.float64)
        counts = 1 + torch.randperm(FRAMES[name], generator=drawer)[:size]
        counts[0] = FRAMES[name]
        mask[name] = torch.arange(FRAMES[name]) < counts.unsqueeze(1)
    return x, mask


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@conformance("ef-lstm", options=SMALL)
def test_ef_lstm_keeps_the_contract(check: Callable[[], None]) -> None:
    check()


@conformance("mult", options={**SMALL, **OWN["mult"], "kernel": 2})
def test_mult_keeps_the_contract(check: Callable[[], None]) -> None:
    check()


@pytest.mark.parametrize("name", ["ef-lstm", "mult"])
def test_with_zeros_for_absent_streams(name: str) -> None:
    options = {**SMALL, **OWN.get(name, {}), "absent": "zero"}
    found = check_plugin(name, kind="fusion", only=("starts", "absence", "frames", "one-stream"), options=options)
    assert found.ok, str(found)


def scattered(x: Tensor, mask: Tensor, more: int) -> tuple[Tensor, Tensor]:
    """The same frames with ``more`` absent ones, full of NaN, before, between and behind them."""
    size, frames, dim = x.shape
    places = torch.sort(torch.randperm(frames + more, generator=torch.Generator().manual_seed(3))[:frames]).values
    wide, bits = torch.full((size, frames + more, dim), torch.nan, dtype=x.dtype), torch.zeros(size, frames + more)
    wide[:, places], bits[:, places] = x, mask.to(bits)
    return wide, bits.bool()


@EACH
def test_absent_frames_anywhere_change_nothing(name: str) -> None:
    module, (x, mask) = built(name), batch()
    moved = {stream: scattered(x[stream], mask[stream], 3) for stream in x}
    found = module({n: pair[0] for n, pair in moved.items()}, {n: pair[1] for n, pair in moved.items()})
    expected = module(x, mask)
    assert torch.allclose(found.logits, expected.logits, atol=1e-12)
    assert torch.allclose(found.values, expected.values, atol=1e-12)
    (found.logits.square().sum() + sum(found.losses.values())).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())


@EACH
def test_what_the_table_says_of_stacking(name: str) -> None:
    spec = next(spec for spec in FUSIONS if spec.name == name)
    one, other = built(name), built(name)
    frames = [{n: torch.stack([v, v]) for n, v in part.items()} for part in batch(2)]
    reason = why_looped([one.train(), other.train()], *frames)
    assert (not reason) == (name == "mult")
    assert spec.stackable == (name == "mult" or "clip" in spec.levels)
    assert not reason or "aten::lstm" in reason


def test_the_lstm_encoder_is_torchs_over_each_clips_own_frames() -> None:
    torch.manual_seed(0)
    encoder, x = LSTMEncoder(3, 8, 0.5).double().eval(), randn(4, 6, 3)
    present = torch.tensor([[1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 0, 1], [1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]]).bool()
    found = encoder(x, present)
    for row in range(4):
        own = x[row][present[row]] if row < 3 else torch.zeros(1, 3).double()
        expected = encoder.linear_1(encoder.rnn(own.unsqueeze(0))[1][0][0, 0])
        assert torch.allclose(found[row], expected, atol=1e-12)
    assert set(encoder.state_dict()) >= {"rnn.weight_ih_l0", "rnn.bias_hh_l0", "linear_1.weight"}


def test_streams_of_frames_and_vectors_together() -> None:
    levels = {"speech:a": "frame", "text:b": "clip", "video:c": "frame"}
    infos = {n: StreamInfo(n, n.partition(":")[0], dim, levels[n]) for n, dim in DIMS.items()}
    module = made("attention", **SMALL).build(infos, TARGETS).double().eval()
    x, mask = batch()
    x["text:b"], mask["text:b"] = x["text:b"][:, 0], torch.tensor([True, False, True, True])
    assert [type(encoder).__name__ for encoder in module.streams.encoders] == [
        "LSTMEncoder",
        "MLPEncoder",
        "LSTMEncoder",
    ]
    mask["video:c"][2] = False
    hidden, present = module.streams(x, mask)
    assert present.tolist() == [[True] * 3, [True, False, True], [True, True, False], [True] * 3]
    assert not torch.cat([hidden[1, 1], hidden[2, 2]]).any()
    assert module(x, mask).logits.isfinite().all()


@pytest.mark.parametrize("name", ["ef-lstm", "mult"])
def test_vectors_are_refused_where_frames_are_read(name: str) -> None:
    with pytest.raises(PluginError, match=f"{name}: speech:a, text:b, video:c has one vector per clip"):
        built(name, level="clip")


def test_bins_are_averages_over_equal_parts_of_a_clip() -> None:
    x = torch.arange(12, dtype=torch.float64).view(1, 6, 2)
    everything = torch.ones(1, 6, dtype=torch.bool)
    assert torch.allclose(binned(x, everything, 3), x.view(1, 3, 2, 2).mean(2))
    assert torch.allclose(binned(x, everything, 6), x)
    assert torch.allclose(binned(x, everything, 12), x.repeat_interleave(2, 1))
    assert torch.allclose(binned(x, everything, 1), x.mean(1, keepdim=True))
    assert torch.allclose(binned(x, everything, 4)[0, :, 0], torch.tensor([2 / 3, 10 / 3, 20 / 3, 28 / 3]).double())
    some = torch.tensor([[False, True, False, True, True, False]])
    assert torch.allclose(binned(x, some, 2), binned(x[:, [1, 3, 4]], everything[:, :3], 2))
    assert not binned(x * torch.nan, ~everything, 4).any()


def test_ef_lstm_hears_who_is_there_only_where_it_is_to() -> None:
    x, mask = batch()
    mask["text:b"][1:] = False
    told = built("ef-lstm").side_by_side(x, mask)
    assert told.shape == (4, 16, 5 + 7 + 3 + 3)
    assert told[:, 0, 15:].tolist() == [[1, 1, 1]] + [[1, 0, 1]] * 3
    plain = built("ef-lstm", absent="zero", steps=4).side_by_side(x, mask)
    assert plain.shape == (4, 4, 15)
    assert not plain[1:, :, 5:12].any()


def test_ef_lstms_order_of_streams_does_not_matter_with_weights_moved_along() -> None:
    one, other = built("ef-lstm"), built("ef-lstm", dict(reversed(DIMS.items())))
    state, (x, mask) = one.state_dict(), batch()
    mask["text:b"][1:2] = False
    speech, text, video, bits = state["rnn.0.weight_ih_l0"].split([5, 7, 3, 3], dim=1)
    other.load_state_dict({**state, "rnn.0.weight_ih_l0": torch.cat([video, text, speech, bits.flip(1)], 1)})
    assert torch.allclose(one(x, mask).logits, other(x, mask).logits, atol=1e-12)


@pytest.mark.parametrize("name", ["attention", "ef-lstm", "mult"])
def test_a_fit_of_each_over_frames(name: str) -> None:
    data = framed(feature_set(24, folds=2))
    options = {**SMALL, **OWN.get(name, {})}
    found = fit(data, fusion=name, fusion_options=options, trainer_options={"epochs": 4, "lr": 5e-3}, folds=2)
    assert found.model.summary["stacked"] == (name == "mult")
    assert np.isfinite(found.predict(data)).all()
