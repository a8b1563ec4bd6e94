"""The fusions equal their formulas: late, LF-DNN, TFN, LMF, MISA, MMIM and the transformer over streams."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_fusion import DIMS, TARGETS, batch, streams
from test_fusion_kit import built, made
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from mer_core.errors import OptionError, PluginError
from mer_plugins.fusion.layers import TransformerLayer
from mer_plugins.fusion.misa_losses import difference, moments, overlap, reconstruction, similarity
from mer_plugins.fusion.mmim_losses import LIMIT, Likelihood, Predictor
from mer_plugins.fusion.options import MisaOptions, TransformerOptions
from mer_plugins.fusion.tfn import outer_product, with_one

FOUR = {**DIMS, "image:d": 4}


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def affine(module: nn.Module, key: str, v: np.ndarray) -> np.ndarray:
    w = {name: value.numpy() for name, value in module.state_dict().items()}
    return v @ w[f"{key}.weight"].T + w[f"{key}.bias"]


def test_lf_dnn_equals_its_formula() -> None:
    module, (x, mask) = built("lf-dnn").eval(), batch()
    v = module.streams(x, mask)[0].flatten(1).detach().numpy()
    for key in ("post_fusion_layer_1", "post_fusion_layer_2"):
        v = np.maximum(affine(module, key, v), 0)
    expected = affine(module, "fc_out", v)
    found = module(x, mask)
    assert np.allclose(torch.cat([found.logits, found.values], 1).detach().numpy(), expected, atol=1e-12)


def test_outer_product_is_the_tensor_product_with_the_first_stream_slowest() -> None:
    a, v, t = (with_one(randn(4, 3, seed=seed)) for seed in range(3))
    expected = torch.einsum("bi,bj,bk->bijk", a, v, t)
    assert torch.equal(outer_product([a, v, t]), expected.flatten(1))
    assert torch.equal(expected[:, 1:, 0, 0], a[:, 1:])
    assert (expected[:, 0, 0, 0] == 1).all()


def test_an_absent_stream_leaves_the_products_of_the_others() -> None:
    codes = [with_one(randn(4, 3)), with_one(torch.zeros(4, 3).double()), with_one(randn(4, 3, seed=2))]
    product = outer_product(codes).view(4, 4, 4, 4)
    assert not product[:, :, 1:].any()
    assert torch.equal(product[:, :, 0].flatten(1), outer_product([codes[0], codes[2]]))


def test_tfn_has_the_published_size_where_asked_and_one_that_fits_elsewhere() -> None:
    with torch.device("meta"):
        published = made("tfn", hidden=128, width=128).build(streams(DIMS), TARGETS)
    assert published.post_fusion_layer_1.weight.numel() == 129**3 * 128 == 274_776_192
    assert built("tfn", FOUR, hidden=256).post_fusion_layer_1.weight.shape == (256, 8**4)
    assert built("tfn", hidden=8).streams.encoders[0].linear_3.out_features == 8
    with pytest.raises(PluginError, match="products of 4 streams") as caught:
        built("tfn", FOUR, hidden=256, width=128)
    assert caught.value.hint.startswith("Leave out tfn.width, and the widest codes that fit are taken, or choose the")


@pytest.mark.parametrize("width", [{}, {"width": 6}])
def test_tfn_over_too_many_streams_names_only_what_would_help(width: dict[str, int]) -> None:
    with pytest.raises(PluginError, match="products of 16 streams") as caught:
        built("tfn", {f"m{number}:x": 1 for number in range(16)}, hidden=128, **width)
    assert caught.value.hint == "Choose the fusion lmf, which does the same by factors, or give fewer streams."


@pytest.mark.parametrize("dims", [DIMS, FOUR])
def test_lmf_equals_tfn_with_a_tensor_of_rank_r(dims: dict[str, int]) -> None:
    module = built("lmf", dims, hidden=6, rank=3).eval()
    hidden = randn(5, len(dims), 6)
    weights = torch.zeros(3, 7 ** len(dims), dtype=torch.float64)
    for rank in range(3):
        for out in range(3):
            columns = [factor[rank, :, out].unsqueeze(0) for factor in module.factors]
            weights[out] += module.fusion_weights[0, rank] * outer_product(columns)[0]
    products = outer_product([with_one(code) for code in hidden.unbind(1)])
    expected = products @ weights.T + module.fusion_bias
    assert torch.allclose(module.fused(hidden), expected, atol=1e-12)


def late_batch() -> tuple[dict[str, int], dict[str, Tensor], dict[str, Tensor]]:
    dims = {"speech:a": 5, "speech:b": 4, "text:c": 3}
    return dims, *batch(8, dims)


def test_late_averages_the_predictions_of_who_is_there() -> None:
    dims, x, mask = late_batch()
    module = built("late", dims, weights={"speech": 3, "text": 1}).eval()
    alone = torch.softmax(module.alone(module.streams(x, mask)[0])[0], -1)
    assert alone.shape == (8, 2, 3)
    assert torch.allclose(module(x, mask).logits.exp(), 0.75 * alone[:, 0] + 0.25 * alone[:, 1], atol=1e-12)
    nothing = torch.zeros(8, dtype=torch.bool)
    heard = module(x, {**mask, "text:c": nothing}).logits.exp()
    assert torch.allclose(heard, alone[:, 0], atol=1e-12)
    silent = module(x, {**mask, "speech:a": nothing, "speech:b": nothing}).logits.exp()
    assert torch.allclose(silent, alone[:, 1], atol=1e-12)
    assert "log_weights" not in dict(module.named_parameters())


def test_late_predictions_learn_alone_and_the_weights_from_the_average() -> None:
    dims, x, mask = late_batch()
    module, labels = built("late", dims, dropout=0), torch.arange(8) % 3
    mask["text:c"][:3] = False
    out = module(x, mask)
    own = sum((cross_entropy(h.logits, labels, reduction="none") * h.weights).mean() for h in out.heads.values())
    (cross_entropy(out.logits, labels) + own).backward()
    found = {name: p.grad.clone() for name, p in module.named_parameters()}
    module.zero_grad()
    own = module.alone(module.streams(x, mask)[0])[0]
    (cross_entropy(own[:, 0], labels) + cross_entropy(own[3:, 1], labels[3:]) * 5 / 8).backward()
    for name, p in module.named_parameters():
        if name != "log_weights" and p.grad is not None:
            assert torch.allclose(found[name], p.grad, atol=1e-12), name
    module.zero_grad()
    cross_entropy(module.eval()(x, mask).logits, labels).backward()
    assert found["log_weights"].any()
    assert torch.allclose(found["log_weights"], module.log_weights.grad, atol=1e-12)


def test_late_by_stream_and_weights_of_others() -> None:
    dims, x, mask = late_batch()
    module = built("late", dims, by="stream", weights="equal").eval()
    alone = torch.softmax(module.alone(module.streams(x, mask)[0])[0], -1)
    assert torch.allclose(module(x, mask).logits.exp(), alone.mean(1), atol=1e-12)
    with pytest.raises(PluginError, match="weights are given for speech, and there are speech, text"):
        built("late", dims, weights={"speech": 1})
    with pytest.raises(OptionError, match="negative"):
        built("late", dims, weights={"speech": 1, "text": -1})
    with pytest.raises(PluginError, match="at least one"):
        built("late", dims, weights={"speech": 0, "text": 0})


@pytest.mark.parametrize("norm_first", [False, True])
def test_the_transformer_layer_is_torchs(norm_first: bool) -> None:
    torch.manual_seed(0)
    theirs = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=norm_first).double().eval()
    ours = TransformerLayer(8, 2, 16, 0.1, norm_first=norm_first).double().eval()
    names = {
        "self_attn.in_proj_": "attention.project_in.", "self_attn.out_proj": "attention.project_out",
        "linear1": "linear_1", "linear2": "linear_2", "norm1": "norm_1", "norm2": "norm_2",
    }  # fmt: skip
    state = theirs.state_dict()
    for there, here in names.items():
        state = {key.replace(there, here): value for key, value in state.items()}
    ours.load_state_dict(state)
    x, present = randn(4, 5, 8), torch.rand(4, 5, generator=torch.Generator().manual_seed(0)) < 0.6
    present[:, 0] = True
    expected = theirs(x, src_key_padding_mask=~present)
    assert torch.allclose(ours(x, present)[present], expected[present], atol=1e-12)


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(OptionError, match="4 attention heads do not divide a hidden width of 10"):
        TransformerOptions(hidden=10)
    with pytest.raises(OptionError, match="misa"):
        MisaOptions(hidden=9)


def test_transformer_trains_each_present_stream_alone_beside_the_fused_prediction() -> None:
    module, (x, mask) = built("transformer", dropout=0, unimodal=0.4), batch()
    for layer in module.layers.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    mask["text:b"][:3] = False
    out, plain = module(x, mask), module.eval()(x, mask)
    hidden = module.streams(x, mask)[0]
    assert torch.allclose(out.logits, plain.logits, atol=1e-12)
    assert (plain.losses, plain.heads, list(out.heads)) == ({}, {}, list(DIMS))
    for m, (name, head) in enumerate(out.heads.items()):
        logits, values = module.alone[m].split(hidden[:, m])
        assert torch.equal(head.logits, logits)
        assert torch.equal(head.values, values)
        assert torch.equal(head.weights, 0.4 * mask[name].double())


def test_misa_fuses_private_then_shared_codes_as_tokens() -> None:
    module, (x, mask) = built("misa", feedforward=16).eval(), batch(4)
    hidden, present = module.streams(x, mask)
    whole = [project(part) for project, part in zip(module.project, hidden.unbind(1), strict=True)]
    private = [layer(part) for layer, part in zip(module.private, whole, strict=True)]
    tokens = torch.stack([*private, *(module.shared(part) for part in whole)], 1)
    assert ((tokens > 0) & (tokens < 1)).all()
    told = module.transformer(tokens, torch.ones(4, 6, dtype=torch.bool)).flatten(1)
    fused = module.fusion_2(torch.relu(module.fusion_1(told)))
    out = module(x, mask)
    assert torch.allclose(out.logits, module.fc_out.split(fused)[0], atol=1e-12)
    assert (module.fusion_1.weight.shape, module.fusion_2.weight.shape) == ((24, 48), (4, 24))
    shared = torch.stack([module.shared(part) for part in whole], 1)
    assert torch.allclose(out.losses["similarity"], similarity(shared, present), atol=1e-12)
    assert torch.allclose(
        out.losses["difference"], 0.3 * difference(torch.stack(private, 1), shared, present), atol=1e-12
    )


def test_misas_moments_and_overlap_equal_their_formulas() -> None:
    x, y, rows = randn(20, 6).sigmoid(), randn(20, 6, seed=1).sigmoid(), torch.ones(20, dtype=torch.bool)
    a, b = x.numpy(), y.numpy()
    expected = np.linalg.norm(a.mean(0) - b.mean(0))
    for power in (2, 3, 4, 5):
        expected += np.linalg.norm(((a - a.mean(0)) ** power).mean(0) - ((b - b.mean(0)) ** power).mean(0))
    assert moments(x, y, rows, rows).item() == pytest.approx(expected, abs=1e-6)
    a, b = ((v - v.mean(0)) / np.linalg.norm(v - v.mean(0), axis=1, keepdims=True) for v in (a, b))
    assert overlap(x, y, rows).item() == pytest.approx(((a.T @ b) ** 2).mean(), rel=1e-4)
    whole, rebuilt = torch.stack([x, y], 1), torch.stack([y, y], 1)
    both = rows.unsqueeze(1).expand(20, 2)
    assert reconstruction(rebuilt, whole, both).item() == pytest.approx(((x - y) ** 2).mean().item() / 2)
    parts = [overlap(x, y, rows), overlap(y, x, rows), overlap(x, y, rows)]
    assert difference(whole, whole.flip(1), both).item() == pytest.approx(sum(parts).item())
    assert similarity(torch.stack([x, y, x], 1), rows.unsqueeze(1).expand(20, 3)).item() == pytest.approx(
        2 / 3 * moments(x, y, rows, rows).item(), abs=1e-5
    )


def test_misas_losses_leave_absent_clips_out_and_have_gradients_at_zero() -> None:
    codes, present = randn(10, 2, 4).sigmoid(), torch.ones(10, 2, dtype=torch.bool)
    present[6:, 1] = False
    junk = codes.clone()
    junk[6:, 1] = 1e9
    for loss in (similarity(junk, present), difference(junk, junk.flip(1), present & present.flip(1))):
        assert loss.isfinite()
    assert torch.equal(similarity(junk, present), similarity(codes, present))
    assert not similarity(codes, torch.tensor([[True, False]]).expand(10, 2)).any()
    same = randn(1, 1, 4).expand(1, 2, 4).clone().requires_grad_()
    (similarity(same, present[:1]) + difference(same, same, present[:1])).backward()
    assert same.grad.isfinite().all()


def test_mmims_likelihood_equals_its_formula() -> None:
    x, y, rows = randn(6, 4), randn(6, 4, seed=1), torch.tensor([True] * 4 + [False] * 2)
    torch.manual_seed(0)
    published = Likelihood(4, normaliser=False).double()
    mean, raw = published.mean(x), published.log_variance(x)
    log_variance = LIMIT * torch.tanh(raw / LIMIT)
    expected = -((mean - y) ** 2 / (2 * log_variance.exp())).sum(1)
    assert torch.allclose(published(x, y, rows), expected[:4].mean(), atol=1e-12)
    published.normaliser = True
    normal = torch.distributions.Normal(mean, (log_variance / 2).exp()).log_prob(y).sum(1)
    constant = 4 * np.log(2 * np.pi) / 2
    assert torch.allclose(published(x, y, rows), normal[:4].mean() + constant, atol=1e-12)
    assert not published(x, y, ~rows & rows).any()


@pytest.mark.parametrize("layers", [1, 3])
def test_mmims_contrast_is_among_clips_that_have_the_stream(layers: int) -> None:
    stream, fused, rows = randn(6, 4), randn(6, 4, seed=1), torch.tensor([True, False, True, True, False, True])
    torch.manual_seed(0)
    predictor = Predictor(4, layers).double()
    assert [type(part).__name__ for part in predictor.net] == ["Linear", "Tanh", "Linear", "Linear"][
        : {1: 1, 3: 4}[layers]
    ]
    found = nn.functional.normalize(predictor.net(fused[rows]), dim=1)
    wanted = nn.functional.normalize(stream[rows], dim=1)
    expected = cross_entropy(wanted @ found.T, torch.arange(4))
    assert torch.allclose(predictor(stream, fused, rows), expected, atol=1e-9)
    one = torch.tensor([True] + [False] * 5)
    assert predictor(stream, fused, one).item() == pytest.approx(0, abs=1e-12)
    assert not predictor(stream, fused, ~rows & rows).any()


def test_mmims_anchor_is_text_wherever_it_stands() -> None:
    assert built("mmim").anchor == 1
    assert built("mmim", dict(reversed(DIMS.items()))).anchor == 1
    assert built("mmim", {"video:b": 2, "speech:a": 3}).anchor == 1
    assert count(built("mmim").likelihoods) == 2 * 4 * (8 * 8 + 8)
