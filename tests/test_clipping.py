"""Gradient clipping by norm: torch's arithmetic, for each member on its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from test_consistency import blobs
from test_trainer import OtherFusion, OtherModule, Recurrent, assert_close, make_data, train, weights
from test_trials import attention, furthest, together, trial
from torch import nn

from mer_core import fit
from mer_core.errors import OptionError
from mer_core.options import validate
from mer_core.testing.tables import feature_set
from mer_plugins.trainers.clipping import clip, norms
from mer_plugins.trainers.modulation import Modulation
from mer_plugins.trainers.optimiser import Adam
from mer_plugins.trainers.options import CvOptions
from mer_plugins.trainers.stack import Looped, Members, Stacked

SHAPES = [(3, 7, 5), (3, 5), (3,), (3, 2, 3, 4)]
"""The third is a single number of each member."""
LIMIT = 0.05
"""Below the norm of every step of these trainings."""


def gradients(size: float = 1.0, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    """Of three members."""
    rng = torch.Generator().manual_seed(0)
    return [size * torch.randn(shape, generator=rng, dtype=dtype) for shape in SHAPES]


def clipped_by_torch(found: Sequence[torch.Tensor], limit: float) -> list[torch.Tensor]:
    params = [nn.Parameter(torch.zeros_like(one)) for one in found]
    for param, one in zip(params, found, strict=True):
        param.grad = one.clone()
    nn.utils.clip_grad_norm_(params, limit)
    return [param.grad for param in params if param.grad is not None]


@pytest.mark.parametrize("size", [0.0, 1e-4, 1.0, 1e4])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-14), (torch.float32, 1e-6)])
def test_each_member_gets_what_torch_makes_of_it(size: float, dtype: torch.dtype, tolerance: float) -> None:
    found = gradients(size, dtype)
    clip(found, 0.8)
    for member in range(3):
        expected = clipped_by_torch([one[member] for one in gradients(size, dtype)], 0.8)
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours[member], theirs, rtol=tolerance, atol=0.0)
    assert (norms(found) <= 0.8 * (1 + 1e-6)).all()


def test_a_norm_below_the_limit_changes_no_bit() -> None:
    found = gradients()
    clip(found, 1e3)
    assert all(torch.equal(ours, before) for ours, before in zip(found, gradients(), strict=True))


@pytest.mark.parametrize("huge", [1e12, float("inf"), float("nan")])
def test_a_huge_gradient_of_one_member_changes_no_bit_of_the_others(huge: float) -> None:
    found, alone = gradients(), gradients()
    found[0][1] = huge
    clip(found, 0.8)
    clip(alone, 0.8)
    for ours, theirs in zip(found, alone, strict=True):
        assert torch.equal(ours[[0, 2]], theirs[[0, 2]])


def test_nothing_to_clip_is_no_error() -> None:
    clip([], 0.8)


def members(kind: type[Stacked] | type[Looped]) -> Members:
    torch.manual_seed(0)
    return kind([OtherModule(nn.Linear(6, 6), 6) for _ in range(3)])


def stepped(kind: type[Stacked] | type[Looped], size: float) -> list[dict[str, torch.Tensor]]:
    """The states after a clipped step in which the second member's gradient is ``size`` times as long."""
    made = members(kind)
    made.train(False)
    x = {"speech:a": torch.randn(3, 9, 6, generator=torch.Generator().manual_seed(1))}
    out = made.forward(x, {"speech:a": torch.ones(3, 9, dtype=torch.bool)}, {})
    (out.logits.square().mean((1, 2)) * torch.tensor([1.0, size, 1.0])).sum().backward()
    made.clip(LIMIT)
    Adam(made.parameters(), 1e-2, 0.0).step()
    return [made.state(member) for member in range(3)]


@pytest.mark.parametrize("kind", [Stacked, Looped])
def test_a_member_far_ahead_leaves_the_others_steps_alone(kind: type[Stacked] | type[Looped]) -> None:
    calm, wild = stepped(kind, 1.0), stepped(kind, 1e9)
    for member in (0, 2):
        assert all(torch.equal(calm[member][key], wild[member][key]) for key in calm[member])


@pytest.mark.parametrize("kind", [Stacked, Looped])
def test_a_parameter_without_a_gradient_is_passed_over(kind: type[Stacked] | type[Looped]) -> None:
    made = members(kind)
    made.clip(LIMIT)
    assert all(param.grad is None for param in made.parameters())


# whole trainings


def test_stacked_equals_looped() -> None:
    kind: dict[str, Any] = {"precision": "float64", "lr": 1e-3, "clip_norm": LIMIT}
    data = make_data()
    stacked, looped = train(data, stacked=True, **kind), train(data, stacked=False, **kind)
    assert (stacked.summary["stacked"], looped.summary["stacked"]) == (True, False)
    assert_close(stacked, looped, 1e-9)
    without = weights(train(data, **{**kind, "clip_norm": None}))
    assert max(float((without[key] - value).abs().max()) for key, value in weights(stacked).items()) > 1e-4


def test_a_fusion_that_cannot_be_stacked_is_clipped() -> None:
    data, fusion = make_data(), OtherFusion(Recurrent)
    free, held = train(data, fusion), train(data, fusion, clip_norm=1e-4)
    assert not held.summary["stacked"]
    assert any(
        not torch.equal(one, two) for one, two in zip(weights(free).values(), weights(held).values(), strict=True)
    )


@pytest.mark.parametrize("stacked", [True, False])
def test_none_changes_nothing(stacked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """No gradient is touched, and a limit that no gradient reaches gives the same weights to the bit."""
    data = make_data()
    far = train(data, stacked=stacked, clip_norm=1e6)

    def refuse(*_: Any) -> None:
        raise AssertionError("clipped without being asked to")

    monkeypatch.setattr(Stacked, "clip", refuse)
    monkeypatch.setattr(Looped, "clip", refuse)
    assert_close(train(data, stacked=stacked), far)


def noted(monkeypatch: pytest.MonkeyPatch, kind: type[Stacked] | type[Looped], folds: int) -> list[str]:
    """What is called in training, by its first letter; no step is taken with a norm above the limit."""
    told: list[str] = []
    real_step, real_clip, real_change = Adam.step, kind.clip, Modulation.__call__

    def step(self: Adam) -> None:
        told.append("s")
        found = [param.grad for param in self.params if param.grad is not None]
        each = len(found) // folds
        own = [found] if kind is Stacked else [found[k * each : (k + 1) * each] for k in range(folds)]
        for one in own:
            assert (norms(one if kind is Stacked else [part[None] for part in one]) <= LIMIT * (1 + 1e-5)).all()
        real_step(self)

    def clipped(self: Any, limit: float) -> None:
        told.append("c")
        real_clip(self, limit)

    def modulated(self: Modulation, *args: Any) -> None:
        real_change(self, *args)
        told.append("m")

    monkeypatch.setattr(Adam, "step", step)
    monkeypatch.setattr(kind, "clip", clipped)
    monkeypatch.setattr(Modulation, "__call__", modulated)
    return told


@pytest.mark.parametrize("kind", [Stacked, Looped])
def test_modulated_gradients_are_clipped(kind: type[Stacked] | type[Looped], monkeypatch: pytest.MonkeyPatch) -> None:
    told = noted(monkeypatch, kind, 3)
    options: dict[str, Any] = {"gradient_modulation": "ogm-ge", "gradient_modulation_until": 1.0, "clip_norm": LIMIT}
    model = train(make_data(), stacked=kind is Stacked, **options)
    assert "".join(told) == "mcs" * model.summary["steps"]


@pytest.mark.parametrize("kind", [Stacked, Looped])
def test_losses_of_unlabelled_clips_are_clipped_with_the_others(
    kind: type[Stacked] | type[Looped], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = noted(monkeypatch, kind, 2)
    features, _ = blobs(24, 24)
    options: dict[str, Any] = {"epochs": 3, "batch_size": 8, "self_training": "flexmatch", "stacked": kind is Stacked}
    fit(features, folds=2, fusion_options={"hidden": 8}, trainer_options={**options, "clip_norm": LIMIT})
    assert told
    assert "".join(told) == "cs" * told.count("s")


def test_a_family_of_trials_is_clipped_as_each_alone() -> None:
    data = feature_set(50, folds=3, absent=0.1)
    kind: dict[str, Any] = {"precision": "float64", "clip_norm": LIMIT}
    trials = [
        trial(attention(dropout=0.2), lr=1e-3, **kind),
        trial(attention(dropout=0.5), lr=1e-2, weight_decay=1e-2, **kind),
        trial(attention(dropout=0.2), lr=1e-3, **{**kind, "clip_norm": 2 * LIMIT}),
    ]
    found = together(trials, data)
    assert [found[number].summary.get("trials") for number in range(3)] == [2, 2, None]
    for number, model in found.items():
        assert furthest(model, trials[number], data) < 1e-9


@pytest.mark.parametrize("value", [0, -1, "many"])
def test_a_limit_that_is_none_is_refused_by_name(value: Any) -> None:
    with pytest.raises(OptionError, match="clip_norm"):
        validate(CvOptions, {"clip_norm": value}, "cv")


@pytest.mark.parametrize(("given", "read"), [({}, None), ({"clip_norm": "0.8"}, 0.8), ({"clip_norm": None}, None)])
def test_the_option_is_read(given: Mapping[str, Any], read: float | None) -> None:
    assert validate(CvOptions, given, "cv").clip_norm == read
