"""MulT: its layers equal their formulas, no frame hears what comes later, and streams may stand in any order."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from test_frame_fusions import OWN, SMALL, batch, built, randn
from test_fusion import DIMS
from test_fusion_kit import made
from torch import Tensor, nn

from mer_core.plugin import OptionError
from mer_core.testing.tables import feature_set, framed
from mer_plugins.fusion.mult_layers import Attention, Encoder, Projection, sinusoids
from mer_plugins.fusion.options import MultOptions
from mer_plugins.trainers.cv import CrossValidation, CvOptions


def published_mask(queries: int, keys: int) -> Tensor:
    """What the authors' code forbids: above a diagonal that moves with the difference of lengths."""
    return torch.triu(torch.ones(queries, keys), 1 + abs(keys - queries)).bool()


@pytest.mark.parametrize(("queries", "keys"), [(4, 4), (3, 5), (5, 2)])
def test_mults_mask_is_the_published_one_for_each_clips_own_lengths(queries: int, keys: int) -> None:
    encoder = built("mult").cross[0][0]
    there, given = torch.arange(6) < queries, torch.arange(7) < keys
    seen = encoder.seen(there.unsqueeze(0), given.unsqueeze(0))[0]
    assert torch.equal(seen[:queries, :keys], ~published_mask(queries, keys))
    assert not seen[:, keys:].any()
    encoder.causal = False
    assert torch.equal(encoder.seen(there.unsqueeze(0), given.unsqueeze(0))[0], given.expand(6, 7))


def test_no_frame_hears_what_comes_later() -> None:
    encoder = built("mult").cross[0][0]
    assert isinstance(encoder, Encoder)
    x, source = randn(1, 4, 8), randn(1, 6, 8, seed=1)
    there, given = torch.ones(1, 4).bool(), torch.tensor([[True] * 5 + [False]])
    before = encoder(x, there, source, given)
    for frame in range(6):
        later = source.clone()
        later[:, frame] += randn(8, seed=2)
        changed = (encoder(x, there, later, given) - before).abs().amax(-1)[0] > 1e-12
        assert changed.tolist() == [frame < 5 and frame <= row + 1 for row in range(4)]


def test_attention_to_nobody_says_nothing_and_has_gradients() -> None:
    torch.manual_seed(0)
    attention, x = Attention(8, 2, 0.0).double(), randn(2, 3, 8).requires_grad_()
    nn.init.ones_(attention.out_proj.bias)
    seen = torch.ones(2, 3, 4, dtype=torch.bool)
    seen[1] = False
    told = attention(x, randn(2, 4, 8), seen)
    assert not told[1].any()
    told.sum().backward()
    assert x.grad.isfinite().all()
    assert not x.grad[1].any()


def test_mults_positions_count_from_one() -> None:
    found = sinusoids(3, 5, torch.device("cpu"))
    expected = [[np.sin(p), np.sin(p / 1e4), np.cos(p), np.cos(p / 1e4), 0] for p in (1, 2, 3)]
    assert np.allclose(found.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("kernel", [1, 3])
def test_mults_projection_is_a_convolution_over_each_clips_own_frames(kernel: int) -> None:
    torch.manual_seed(0)
    project, x = Projection(4, 6, kernel, 0.0).double(), randn(3, 5, 4)
    conv = nn.Conv1d(4, 6, kernel, bias=False).double()
    conv.weight = nn.Parameter(project.linear.weight.view(6, 4, kernel))
    present = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]]).bool()
    found, there = project(x, present)
    assert there.sum(1).tolist() == ([5, 3, 1] if kernel == 1 else [3, 1, 1])
    for row, count in enumerate((5, 3, 1)):
        own = nn.functional.pad(x[row, :count].T, (0, max(0, kernel - count)))
        expected = conv(own.unsqueeze(0))[0].T
        assert torch.allclose(found[row][there[row]], expected, atol=1e-12)
    assert not found[~there].any()


def test_mult_still_reads_a_stream_whose_others_are_all_absent() -> None:
    module, (x, mask) = built("mult"), batch()
    for name in ("text:b", "video:c"):
        mask[name][:] = False
    x["speech:a"].requires_grad_()
    module(x, mask).logits.sum().backward()
    assert x["speech:a"].grad[mask["speech:a"]].any()


def test_mults_parameters_follow_from_its_widths() -> None:
    def encoder(width: int, layers: int) -> int:
        return layers * (12 * width**2 + 13 * width) + 2 * width

    for others, hidden in ((0, 8), (1, 8), (2, 40)):
        dims = dict(list(DIMS.items())[: others + 1])
        module, count, width = built("mult", dims, hidden=hidden, layers=4), others + 1, max(1, others) * hidden
        total = sum(dims.values()) * hidden + count * (others * encoder(hidden, 4) + encoder(width, 4))
        wide, half = count * width, hidden // 2
        total += 2 * (wide**2 + wide) + (wide + 1) * half + (half + 1) * 5
        assert sum(p.numel() for p in module.parameters()) == total


def test_heads_that_do_not_divide_mults_width_are_refused() -> None:
    with pytest.raises(OptionError, match="mult: 8 attention heads do not divide a hidden width of 30"):
        MultOptions(hidden=30)


def swapped(key: str, value: Tensor) -> tuple[str, Tensor]:
    """A part of MulT's state for streams in the opposite order."""
    key = re.sub(r"^(streams\.encoders|cross|memory)\.(\d)", lambda m: f"{m[1]}.{2 - int(m[2])}", key)
    key = re.sub(r"^(cross\.\d)\.(\d)", lambda m: f"{m[1]}.{1 - int(m[2])}", key)
    if key.startswith("memory"):
        inner = re.search(r"in_proj_|fc1\.bias", key)
        rows = value if inner or "fc1" in key else value.view(2, 8, *value.shape[1:]).flip(0).flatten(0, 1)
        wide = value.dim() == 2 and "fc2" not in key and "out_proj" not in key
        return key, rows.view(len(rows), 2, 8).flip(1).flatten(1) if wide else rows
    if key.startswith("proj"):
        value = value.view(3, 2, 8, *value.shape[1:]).flip(0, 1).flatten(0, 2)
    wide = key.endswith("weight") and key.startswith(("proj", "out_layer"))
    return key, value.view(len(value), 3, 2, 8).flip(1, 2).flatten(1) if wide else value


def test_mults_order_of_streams_does_not_matter_with_weights_moved_along() -> None:
    """Without positions: with them, columns of the encoder over both others' answers have places of their own."""
    one, other = built("mult", positions="none"), built("mult", dict(reversed(DIMS.items())), positions="none")
    x, mask = batch()
    mask["text:b"][1:2] = False
    other.load_state_dict(dict(swapped(key, value) for key, value in one.state_dict().items()))
    assert torch.allclose(one(x, mask).logits, other(x, mask).logits, atol=1e-12)


def test_mults_folds_trained_at_once_are_folds_trained_one_by_one() -> None:
    data, fusion = framed(feature_set(24, folds=2)), made("mult", **{**SMALL, **OWN["mult"]})
    asked = CvOptions(epochs=3, precision="float64")
    one, other = (
        CrossValidation(asked.model_copy(update={"stacked": stacked})).fit(fusion, data, 0).predict(data.table, fold=1)
        for stacked in (True, False)
    )
    np.testing.assert_allclose(one, other, atol=1e-9)
