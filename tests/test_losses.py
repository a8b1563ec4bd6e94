"""What the trainer ``cv`` minimises, against torch and closed forms; schedules and patience."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import shelf_fusions
import torch
from shelf_plugin import Shelf
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, huber_loss, l1_loss, mse_loss, one_hot

from mer_core.errors import OptionError
from mer_core.plugin import FusionOutput, Head, StreamInfo, TargetSpec
from mer_core.testing import check_plugin
from mer_plugins.trainers.curve import Curve
from mer_plugins.trainers.losses import Batch, Losses, concordance
from mer_plugins.trainers.options import CvOptions
from mer_plugins.trainers.schedule import rate_factor
from mer_plugins.trainers.stack import Outputs
from mer_plugins.trainers.targets import class_weights

CLASS_WEIGHTS = torch.tensor([[0.5, 2.0, 1.0], [1.0, 3.0, 0.2]], dtype=torch.float64)
REAL = (7, 5)
"""Clips of each member; the batch is as long as the longer one."""


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def batch(*, voted: bool = False, values: int = 0) -> Batch:
    rows = torch.zeros(2, 7, dtype=torch.float64)
    for member, real in enumerate(REAL):
        rows[member, :real] = 1 / real
    labels = torch.arange(14).view(2, 7) % 3
    shares = torch.softmax(randn(2, 7, 3, seed=3), -1) if voted else None
    known = randn(2, 7, values, seed=4)
    return Batch(rows, labels, shares, known)


def each_member(loss: Any) -> Tensor:
    return torch.stack([loss(member, slice(0, real)) for member, real in enumerate(REAL)])


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", [None, CLASS_WEIGHTS])
def test_labels_weights_and_smoothing_are_torchs(weights: Tensor | None, smoothing: float, complete: bool) -> None:
    logits, found = randn(2, 7, 3), batch()
    losses = Losses(smoothing=smoothing, weights=weights, complete=complete)
    expected = each_member(
        lambda f, own: cross_entropy(
            logits[f, own],
            found.labels[f, own],
            weight=None if weights is None else weights[f],
            label_smoothing=smoothing,
        )
    )
    assert torch.allclose(losses.classes(logits, found), expected, atol=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_votes_are_torchs_probability_targets(smoothing: float) -> None:
    logits, found = randn(2, 7, 3), batch(voted=True)
    assert found.shares is not None
    expected = each_member(
        lambda f, own: cross_entropy(logits[f, own], found.shares[f, own], label_smoothing=smoothing)
    )
    assert torch.allclose(Losses(smoothing=smoothing).classes(logits, found), expected, atol=1e-12)
    assert torch.allclose(Losses(smoothing=smoothing, complete=True).classes(logits, found), expected, atol=1e-12)


def test_certain_votes_are_labels_and_who_has_none_falls_back_on_the_label() -> None:
    logits, plain = randn(2, 7, 3), batch()
    certain = one_hot(plain.labels, 3).double()
    certain[0, 2] = certain[1, 4] = torch.nan
    losses = Losses(smoothing=0.1, gamma=1.5, weights=CLASS_WEIGHTS)
    expected = losses.classes(logits, plain)
    assert torch.allclose(losses.classes(logits, plain._replace(shares=certain)), expected, atol=1e-12)


def test_votes_with_weights_smoothing_and_gamma_equal_the_formula() -> None:
    logits, found = randn(2, 7, 3), batch(voted=True)
    losses = Losses(smoothing=0.3, gamma=2.0, weights=CLASS_WEIGHTS)
    p, q, w = (part.numpy() for part in (logits.softmax(-1), found.shares, CLASS_WEIGHTS))  # type: ignore[union-attr]
    for f, real in enumerate(REAL):
        terms = w[f] * (0.7 * q[f] + 0.1) * (1 - p[f]) ** 2 * np.log(p[f])
        expected = -terms[:real].sum() / (w[f] * q[f])[:real].sum()
        assert losses.classes(logits, found)[f].item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
def test_focal_loss_is_lins(gamma: float) -> None:
    logits, found = randn(2, 7, 3), batch()
    p = logits.softmax(-1).gather(-1, found.labels.unsqueeze(-1)).squeeze(-1)
    expected = (found.rows * -((1 - p) ** gamma) * p.log()).sum(1)
    assert torch.allclose(Losses(gamma=gamma).classes(logits, found), expected, atol=1e-12)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_loss_of_what_is_certain_has_a_finite_gradient(gamma: float) -> None:
    logits = (1e4 * one_hot(batch().labels, 3)).double().requires_grad_()
    Losses(gamma=gamma).classes(logits, batch()).sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("losses", [Losses(), Losses(gamma=2.0, smoothing=0.1, weights=CLASS_WEIGHTS)])
def test_padding_and_clips_without_label_play_no_part(losses: Losses) -> None:
    logits, found = randn(2, 7, 3).requires_grad_(), batch(voted=False)
    found.labels[0, 1] = -1
    found.labels[1, :] = -1
    loss = losses.classes(logits, found)
    few = Batch(torch.full((1, 6), 1 / 6).double(), found.labels[:1, [0, 2, 3, 4, 5, 6]], None, found.values[:1, :6])
    one = Losses(losses.smoothing, losses.gamma, None if losses.weights is None else losses.weights[:1])
    assert torch.allclose(loss[:1], one.classes(logits[:1, [0, 2, 3, 4, 5, 6]], few), atol=1e-12)
    assert loss[1] == 0
    loss.sum().backward()
    assert logits.grad is not None
    assert not logits.grad[0, 1].any()
    assert not logits.grad[1].any()
    assert logits.grad[0, 0].any()


@pytest.mark.parametrize(("name", "theirs"), [("mse", mse_loss), ("mae", l1_loss), ("huber", huber_loss)])
def test_losses_of_values_are_torchs_where_values_are_known(name: Any, theirs: Any) -> None:
    said, found = 2 * randn(2, 7, 2), batch(values=2)
    found.values[0, 3, 0] = found.values[1, 0, 1] = torch.nan
    expected = torch.zeros(2, dtype=torch.float64)
    for f, real in enumerate(REAL):
        for v in range(2):
            own = found.values[f, :real, v].isfinite()
            expected[f] += theirs(said[f, :real, v][own], found.values[f, :real, v][own]) / 2
    assert torch.allclose(Losses(value_loss=name).values(said, found), expected, atol=1e-12)
    found.values[:] = torch.nan
    assert not Losses(value_loss=name).values(said, found).any()


def test_concordance_golden_and_its_loss() -> None:
    """Two variances, their covariance and the distance of the means."""
    truth = torch.tensor([1.0, 2, 3, 4, 5], dtype=torch.float64).view(1, 5, 1)
    said = torch.tensor([1.5, 2, 3.5, 4.5, 6], dtype=torch.float64).view(1, 5, 1)
    weights = torch.ones(1, 5, 1, dtype=torch.float64)
    a, b = said.numpy().ravel(), truth.numpy().ravel()
    expected = 2 * np.cov(a, b, bias=True)[0, 1] / (a.var() + b.var() + (a.mean() - b.mean()) ** 2)
    assert concordance(said, truth, weights).item() == pytest.approx(expected, abs=1e-12)
    rows = torch.full((1, 5), 0.2, dtype=torch.float64)
    found = Batch(rows, torch.zeros(1, 5, dtype=torch.int64), None, truth)
    assert Losses(value_loss="ccc").values(said, found).item() == pytest.approx(1 - expected, abs=1e-12)
    half = Losses(value_loss="ccc").values(said, found, 0.5 * torch.ones(1, 5))
    assert half.item() == pytest.approx((1 - expected) / 2, abs=1e-12)
    one = said[:, :1].requires_grad_()
    lonely = Batch(rows[:, :1] * 5, found.labels[:, :1], None, truth[:, :1])
    Losses(value_loss="ccc").values(one, lonely).sum().backward()
    assert one.grad is not None
    assert one.grad.isfinite().all()


def test_heads_add_their_own_losses_by_their_clips_weights() -> None:
    found, extra = batch(voted=True, values=2), torch.tensor([0.25, 0.5], dtype=torch.float64)
    parts = [(randn(2, 7, 3, seed=s), randn(2, 7, 2, seed=s + 10)) for s in range(3)]
    weights = [torch.rand(2, 7, generator=torch.Generator().manual_seed(s)).double() for s in (0, 1)]
    heads = {str(s): Head(*parts[s + 1], weights[s]) for s in range(2)}
    losses = Losses(smoothing=0.1, value_weight=0.7)
    shares = found.shares
    assert shares is not None
    expected = extra.clone()
    for (logits, values), weight in zip(parts, [torch.ones(2, 7).double(), *weights], strict=True):
        for f, real in enumerate(REAL):
            own = slice(0, real)
            each = cross_entropy(logits[f, own], shares[f, own], label_smoothing=0.1, reduction="none")
            each = each + 0.7 * (values[f, own] - found.values[f, own]).square().mean(-1)
            expected[f] += (weight[f, own] * each).mean()
    assert torch.allclose(losses(Outputs(*parts[0], heads, extra), found), expected, atol=1e-12)


def test_half_precision_is_summed_in_single() -> None:
    found = batch(voted=True, values=1)
    said = Outputs(randn(2, 7, 3).bfloat16(), randn(2, 7, 1).bfloat16(), {}, torch.zeros(2).bfloat16())
    assert Losses()(said, found).dtype == torch.float32


def test_balanced_weights_are_the_inverse_of_the_counts() -> None:
    counts = np.array([[2.0, 6, 0], [1, 1, 2]])
    found = class_weights("balanced", ("a", "b", "c"), counts)
    assert found is not None
    assert found.tolist() == [[2.0, pytest.approx(2 / 3), 1.0], [pytest.approx(4 / 3), pytest.approx(4 / 3), 2 / 3]]
    given = class_weights({"c": 3}, ("a", "b", "c"), counts)
    assert given is not None
    assert given.tolist() == [[1, 1, 3]] * 2
    assert class_weights("off", ("a", "b", "c"), counts) is None
    with pytest.raises(OptionError, match="no class 'd'"):
        class_weights({"d": 3}, ("a", "b", "c"), counts)


@pytest.mark.parametrize("given", ["sad=2,happy=0.5", {"sad": 2, "happy": 0.5}])
def test_weights_as_they_are_written(given: Any) -> None:
    assert CvOptions(class_weights=given).class_weights == {"sad": 2.0, "happy": 0.5}
    assert CvOptions(class_weights="balanced").class_weights == "balanced"


@pytest.mark.parametrize("given", ["sad=-1", "sad=x", "even", {}, {"sad": True}])
def test_weights_that_are_none(given: Any) -> None:
    with pytest.raises(ValueError, match=r"weight|off"):
        CvOptions(class_weights=given)


def test_schedules() -> None:
    """Linear and cosine are those of Hugging Face's transformers, in shares of the steps."""
    assert [rate_factor(share, "constant") for share in (0, 0.5, 0.99)] == [1, 1, 1]
    assert [rate_factor(share, "linear") for share in (0, 0.25, 0.75)] == [1, 0.75, 0.25]
    assert rate_factor(0.25, "cosine") == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))
    assert [rate_factor(share, "step") for share in (0, 0.49, 0.5, 0.75)] == pytest.approx([1, 1, 0.1, 0.01])
    assert [rate_factor(share, "linear", 0.2) for share in (0, 0.1, 0.2, 0.6)] == pytest.approx([0, 0.5, 1, 0.5])
    assert rate_factor(0.6, "cosine", 0.2) == pytest.approx(0.5)


def test_patience_counts_looks_since_the_best() -> None:
    curve = Curve()
    told = [curve.better(epoch, score, 2) for epoch, score in enumerate([0.1, 0.3, 0.3, 0.2], start=1)]
    assert told == [True, True, False, False]
    assert (curve.chosen, curve.stopped) == (2, 4)
    assert curve.facts()["stopped_epoch"] == 4


class Wide(shelf_fusions.Module):
    """Has a head for other clips than those of the batch."""

    def forward(self, x: Any, mask: Any) -> FusionOutput:
        out = super().forward(x, mask)
        head = Head(out.logits, out.values, torch.ones(len(out.logits) + 1))
        return out._replace(heads={"speech": head})


class OddHead(shelf_fusions.Good):
    def build(self, streams: dict[str, StreamInfo], targets: TargetSpec) -> nn.Module:  # type: ignore[override]
        return Wide(streams, len(targets.classes))


def test_the_kit_looks_at_heads() -> None:
    spec = shelf_fusions.spec(OddHead, target=f"{__name__}:OddHead")
    report = check_plugin(spec.name, plugins=[Shelf([spec])], only=("starts",))
    assert report.failed == ("starts",)
    assert "heads['speech'].weights has shape [9], not [8]" in report.results[0].reason
