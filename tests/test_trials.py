"""Many trials as one stack: each member learns what it would learn in a training of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from mer_core.errors import DataError
from mer_core.plugin import FeatureSet, Fusion, Trial, TrialTrainer
from mer_core.testing.tables import feature_set
from mer_plugins.fusion.attention import Attention
from mer_plugins.fusion.misa import Misa
from mer_plugins.fusion.options import AttentionOptions, MisaOptions
from mer_plugins.trainers import trials as work
from mer_plugins.trainers.cv import CrossValidation
from mer_plugins.trainers.dropout import replace_dropout
from mer_plugins.trainers.model import FusionModel
from mer_plugins.trainers.optimiser import MemberAdam
from mer_plugins.trainers.options import CvOptions
from mer_plugins.trainers.signature import signature

TRAINER = CrossValidation(CvOptions(), "cpu")


@pytest.fixture(scope="module")
def data() -> FeatureSet:
    return feature_set(50, folds=3, absent=0.1)


def attention(hidden: int = 8, dropout: float = 0.3, **options: Any) -> Fusion:
    return Attention(AttentionOptions(hidden=hidden, dropout=dropout, **options))


def trial(fusion: Fusion, folds: tuple[int, ...] | None = None, share: float = 1.0, **options: Any) -> Trial:
    return Trial(
        fusion=fusion, options=CvOptions(**{"epochs": 4, "batch_size": 10, **options}), folds=folds, share=share
    )


def together(trials: list[Trial], data: FeatureSet) -> dict[int, Any]:
    return dict(TRAINER.fit_trials(trials, data, 3))


def furthest(found: FusionModel, trial: Trial, data: FeatureSet) -> float:
    """The largest difference of any weight or standardiser to those of a training of the trial alone."""
    alone = CrossValidation(trial.options, "cpu").fit(trial.fusion, data, 3)
    folds = trial.folds or range(len(data.folds))
    pairs = [(found.members[k], alone.members[fold]) for k, fold in enumerate(folds)]
    for ours, theirs in pairs:
        assert all((ours.standardisers[n].mean == s.mean).all() for n, s in theirs.standardisers.items())
    states = [(a.module.state_dict(), b.module.state_dict()) for a, b in pairs]
    return max(float((a[key] - b[key]).abs().max()) for a, b in states for key in a)


def test_members_of_one_stack_equal_trainings_of_their_own(data: FeatureSet) -> None:
    trials = [
        trial(attention(dropout=0.2), lr=1e-3),
        trial(attention(dropout=0.5), lr=1e-4, weight_decay=1e-2),
        trial(attention(dropout=0.4), lr=1e-3, folds=(2,)),
        trial(attention(dropout=0.3), lr=3e-3, folds=(0, 2)),
    ]
    found = together(trials, data)
    assert sorted(found) == [0, 1, 2, 3]
    assert {model.summary["trials"] for model in found.values()} == {4}, "all trained as one"
    assert [len(found[number].members) for number in range(4)] == [3, 3, 1, 2]
    for number, model in found.items():
        assert furthest(model, trials[number], data) < 1e-6


@pytest.mark.parametrize("options", [{"select": "inner"}, {"class_weights": "balanced", "label_smoothing": 0.1}])
def test_other_options_of_the_trainer_hold_in_a_stack(data: FeatureSet, options: dict[str, Any]) -> None:
    trials = [trial(attention(dropout=rate), lr=lr, **options) for rate, lr in ((0.2, 1e-3), (0.5, 1e-2))]
    for number, model in together(trials, data).items():
        assert model.summary["trials"] == 2
        assert furthest(model, trials[number], data) < 1e-6


def test_auxiliary_losses_that_couple_a_batch_stay_within_a_member(data: FeatureSet) -> None:
    options = {"hidden": 8, "feedforward": 16}
    fusions = [Misa(MisaOptions(dropout=rate, **options)) for rate in (0.2, 0.5)]
    trials = [trial(one, precision="float64", lr=1e-3) for one in fusions]
    for number, model in together(trials, data).items():
        assert model.summary["trials"] == 2
        assert furthest(model, trials[number], data) < 1e-9


def test_a_share_is_a_shorter_training_with_a_whole_schedule(data: FeatureSet) -> None:
    trials = [trial(attention(), share=0.5, lr=lr) for lr in (1e-3, 1e-4)]
    for number, model in together(trials, data).items():
        short = trial(attention(), epochs=2, lr=trials[number].options.lr)
        assert furthest(model, short, data) < 1e-6


def test_stacks_are_cut_to_fit_into_memory(data: FeatureSet, monkeypatch: pytest.MonkeyPatch) -> None:
    trials = [trial(attention(), lr=lr) for lr in (1e-3, 2e-3, 3e-3)]
    whole = together(trials, data)
    monkeypatch.setattr(work, "STACK_BYTES", 1)
    cut = together(trials, data)
    assert [cut[number].summary["trials"] for number in range(3)] == [1, 1, 1]
    for number in range(3):
        one, two = (found[number].members[1].module.state_dict() for found in (whole, cut))
        assert max(float((one[key] - two[key]).abs().max()) for key in one) < 1e-6


def test_what_differs_in_more_than_weights_and_rates_trains_apart(data: FeatureSet) -> None:
    def made(fusion: Fusion) -> Any:
        return signature(replace_dropout(fusion.build(data.streams, data.targets)))

    assert made(attention(dropout=0.2)) == made(attention(dropout=0.5))
    assert made(attention(softmax=True)) != made(attention())
    assert made(attention(dropout=0.0)) != made(attention())
    assert made(attention(hidden=9)) != made(attention())
    found = together([trial(attention()), trial(attention(), batch_size=11), trial(attention(), stacked=False)], data)
    assert all("trials" not in model.summary for model in found.values())


def test_objects_that_cannot_be_compared_make_a_module_one_of_its_own() -> None:
    class Holds(nn.Module):
        def __init__(self, what: object) -> None:
            super().__init__()
            self.what = what

    thing = object()
    assert signature(Holds(thing)) == signature(Holds(thing))
    assert signature(Holds(object())) != signature(Holds(object()))
    assert signature(Holds([1, {"a": torch.ones(2)}])) == signature(Holds([1, {"a": torch.ones(2)}]))
    assert signature(Holds(1)) != signature(Holds(True))


def test_a_member_that_diverges_leaves_the_others_alone(data: FeatureSet, monkeypatch: pytest.MonkeyPatch) -> None:
    trials = [trial(attention(), lr=1e-3), trial(attention(), lr=1e38)]
    found = together(trials, data)
    assert isinstance(found[1], DataError)
    assert "diverged" in found[1].message
    assert furthest(found[0], trials[0], data) < 1e-6


def test_a_fusion_that_cannot_be_stacked_trains_trial_after_trial(data: FeatureSet) -> None:
    class Branching(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: dict[str, torch.Tensor], mask: dict[str, torch.Tensor]) -> Any:
            if float(next(iter(x.values())).sum()) > 1e9:
                raise AssertionError
            return self.inner(x, mask)

    class Shelf:
        def build(self, streams: Any, targets: Any) -> nn.Module:
            return Branching(attention().build(streams, targets))

    trials = [trial(Shelf(), lr=lr) for lr in (1e-3, 1e-4)]
    for number, model in together(trials, data).items():
        assert not model.summary["stacked"]
        assert furthest(model, trials[number], data) == 0


def test_the_trainer_says_that_it_takes_many_trials() -> None:
    trainer: object = TRAINER
    assert isinstance(trainer, TrialTrainer)


@pytest.mark.parametrize("rates", [[1e-3] * 3, [1e-3, 1e-3, 1e-2]])
def test_each_member_is_optimised_to_the_bit_as_alone(rates: list[float]) -> None:
    decays = [0.0, 1e-2, 1e-2]
    torch.manual_seed(0)
    start = torch.randn(3, 4, 5)
    stacked = start.clone().requires_grad_()
    alone = [start[m].clone().requires_grad_() for m in range(3)]
    ours = MemberAdam([stacked], rates, decays)
    theirs = [torch.optim.Adam([alone[m]], lr=rates[m], weight_decay=decays[m], fused=True) for m in range(3)]
    for _ in range(5):
        goal = torch.randn(3, 4, 5)
        (stacked - goal).square().sum().backward()
        ours.step()
        ours.zero_grad()
        assert stacked.grad is None
        for member, optimiser in enumerate(theirs):
            (alone[member] - goal[member]).square().sum().backward()
            optimiser.step()
            optimiser.zero_grad()
    assert torch.equal(stacked.detach(), torch.stack([one.detach() for one in alone]))
    assert {group.initial_lr for group in ours.groups} == set(rates)


def test_progress_counts_all_members(data: FeatureSet) -> None:
    told: list[tuple[int, int]] = []

    def heard(stage: str, done: int, total: int, note: str) -> None:
        told.append((done, total))

    trials = [trial(attention(8)), trial(attention(8), lr=1e-4), trial(attention(9))]
    models: Iterator[Any] = TRAINER.fit_trials(trials, data, 0, heard)
    assert len(list(models)) == 3
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1][0] == told[-1][1] == 9000
