"""The shipped fusions: goldens of the MER2024 baseline, and the one meaning of absence."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mer_core.errors import PluginError
from mer_core.feature_set import StreamInfo, TargetSpec
from mer_plugins.fusion.attention import Attention, AttentionOptions
from mer_plugins.fusion.concat import Concat, ConcatOptions

TARGETS = TargetSpec(("neutral", "angry", "happy", "sad", "worried", "surprise"))
DIMS = {"speech:a": 5, "text:b": 7, "video:c": 3}
BOTH = pytest.mark.parametrize(("fusion", "options"), [(Attention, AttentionOptions), (Concat, ConcatOptions)])
ABSENT = pytest.mark.parametrize("absent", ["mask", "zero"])


def streams(dims: dict[str, int], level: str = "clip") -> dict[str, StreamInfo]:
    return {name: StreamInfo(name, name.partition(":")[0], dim, level) for name, dim in dims.items()}


def built(fusion: type = Attention, options: type = AttentionOptions, dims: dict[str, int] = DIMS, **values: object):
    torch.manual_seed(0)
    return fusion(options(**{"hidden": 16, **values})).build(streams(dims), TARGETS).double().eval()


def batch(size: int = 8, dims: dict[str, int] = DIMS) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    drawer = torch.Generator().manual_seed(1)
    x = {n: torch.randn(size, d, generator=drawer, dtype=torch.float64) for n, d in dims.items()}
    return x, {n: torch.ones(size, dtype=torch.bool) for n in dims}


@pytest.mark.parametrize(
    ("dims", "hidden", "parameters"),
    [
        ((1024, 5120, 768), 128, 1_067_657),
        ((2048, 10240, 1536, 768), 256, 4_659_466),
        ((1024, 5120, 768, 768), 128, 1_215_626),
    ],
)
def test_parameter_counts(dims: tuple[int, ...], hidden: int, parameters: int) -> None:
    named = {f"m{i}:x": dim for i, dim in enumerate(dims)}
    module = Attention(AttentionOptions(hidden=hidden)).build(streams(named), TARGETS)
    assert sum(p.numel() for p in module.parameters()) == parameters


def test_attention_equals_its_formula() -> None:
    module = built()
    x, mask = batch()
    w = {key: value.numpy() for key, value in module.state_dict().items()}

    def mlp(prefix: str, v: np.ndarray) -> np.ndarray:
        for layer in (1, 2, 3):
            v = np.maximum(v @ w[f"{prefix}.linear_{layer}.weight"].T + w[f"{prefix}.linear_{layer}.bias"], 0)
        return v

    h = [mlp(f"streams.encoders.{i}", x[name].numpy()) for i, name in enumerate(DIMS)]
    s = mlp("attention_mlp", np.concatenate(h, axis=1)) @ w["fc_att.weight"].T + w["fc_att.bias"]
    z = sum(s[:, i : i + 1] * h[i] for i in range(3))
    expected = z @ w["fc_out.weight"].T + w["fc_out.bias"]
    assert np.allclose(module(x, mask).logits.detach().numpy(), expected, atol=1e-12)


def test_attention_weights_are_unbounded_unless_softmax_is_asked_for() -> None:
    hidden = torch.rand(200, 3, 16, dtype=torch.float64) * 20
    present = torch.rand(200, 3) < 0.7
    raw = built().weigh(hidden, torch.ones_like(present))
    assert (raw < 0).any()
    assert (raw.sum(1) - 1).abs().max() > 0.1
    soft = built(softmax=True).weigh(hidden, present)
    assert torch.allclose(soft.sum(1)[present.any(1)], torch.ones(1, dtype=torch.float64))
    assert not soft[~present].any()


@BOTH
def test_one_clip_equals_the_same_clip_among_others(fusion: type, options: type) -> None:
    module, (x, mask) = built(fusion, options), batch()
    alone = module({n: v[:1] for n, v in x.items()}, {n: v[:1] for n, v in mask.items()})
    assert alone.logits.shape == (1, 6)
    assert alone.values.shape == (1, 0)
    assert torch.allclose(alone.logits, module(x, mask).logits[:1], atol=1e-12)


def test_order_of_streams_does_not_matter_with_weights_moved_along() -> None:
    one, (x, mask) = built(), batch()
    turned = {name: DIMS[name] for name in reversed(DIMS)}
    two = built(dims=turned)
    state = one.state_dict()
    moved = {k.replace("encoders.0", "encoders.x").replace("encoders.2", "encoders.0"): v for k, v in state.items()}
    moved = {k.replace("encoders.x", "encoders.2"): v for k, v in moved.items()}
    moved["attention_mlp.linear_1.weight"] = state["attention_mlp.linear_1.weight"].view(16, 3, 16).flip(1).flatten(1)
    moved["fc_att.weight"], moved["fc_att.bias"] = state["fc_att.weight"].flip(0), state["fc_att.bias"].flip(0)
    two.load_state_dict(moved)
    assert torch.allclose(one(x, mask).logits, two(x, mask).logits, atol=1e-12)


def gradients(module: nn.Module, x: dict[str, Tensor], mask: dict[str, Tensor]) -> list[Tensor]:
    module.zero_grad()
    (module(x, mask).logits ** 2).sum().backward()
    return [p.grad.clone() for p in module.parameters()]


@BOTH
@ABSENT
@pytest.mark.parametrize("junk", [float("nan"), float("inf"), 1e30])
def test_values_behind_a_cleared_bit_change_nothing(fusion: type, options: type, absent: str, junk: float) -> None:
    module, (x, mask) = built(fusion, options, absent=absent), batch()
    mask["text:b"][2:5] = False
    clean = {name: value.clone() for name, value in x.items()}
    x["text:b"][2:5], clean["text:b"][2:5] = junk, 0.0
    assert torch.equal(module(x, mask).logits, module(clean, mask).logits)
    for dirty, expected in zip(gradients(module, x, mask), gradients(module, clean, mask), strict=True):
        assert torch.equal(dirty, expected)


@BOTH
@ABSENT
def test_no_gradient_reaches_a_dropped_input(fusion: type, options: type, absent: str) -> None:
    module, (x, mask) = built(fusion, options, absent=absent), batch()
    mask["speech:a"][0] = False
    x["speech:a"].requires_grad_()
    module(x, mask).logits.sum().backward()
    assert not x["speech:a"].grad[0].any()
    assert x["speech:a"].grad[1].any()


@BOTH
def test_mask_keeps_an_absent_stream_out_and_zero_encodes_a_zero_vector(fusion: type, options: type) -> None:
    (x, mask), nobody = batch(), torch.zeros(8, dtype=torch.bool)
    masked, zeroed = built(fusion, options, absent="mask"), built(fusion, options, absent="zero")
    hidden, _ = masked.streams(x, {**mask, "text:b": nobody})
    assert not hidden[:, 1].any()
    through = zeroed({**x, "text:b": torch.zeros(8, 7, dtype=torch.float64)}, mask).logits
    assert torch.equal(zeroed(x, {**mask, "text:b": nobody}).logits, through)
    gradients(masked, x, {**mask, "text:b": nobody})
    assert not any(p.grad.any() for p in masked.streams.encoders[1].parameters())


@BOTH
@ABSENT
def test_a_clip_without_anything_has_finite_logits(fusion: type, options: type, absent: str) -> None:
    x, mask = batch()
    nothing = {name: torch.zeros_like(bits) for name, bits in mask.items()}
    assert built(fusion, options, absent=absent)(x, nothing).logits.isfinite().all()


@BOTH
def test_keys_do_not_come_from_stream_names(fusion: type, options: type) -> None:
    renamed = {"speech:zzz": 5, "text:yyy": 7, "video:xxx": 3}
    assert built(fusion, options).state_dict().keys() == built(fusion, options, dims=renamed).state_dict().keys()


@BOTH
def test_no_streams_are_refused(fusion: type, options: type) -> None:
    with pytest.raises(PluginError, match="at least one"):
        fusion(options()).build({}, TARGETS)
