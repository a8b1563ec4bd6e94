"""FlexMatch and Dash: their thresholds, what counts under them, and that they learn from unlabelled clips."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from mer_core import compose, fit
from mer_core.feature_set import FeatureSet
from mer_plugins.trainers.consistency import LEAST, Dash, FlexMatch, dash_bound, distance, flexible_threshold
from mer_plugins.trainers.consistency_loop import Order
from mer_plugins.trainers.noise import Noise

CPU = torch.device("cpu")


def logits_of(*rows: list[float]) -> torch.Tensor:
    """[1, B, C] whose softmax has ``rows``."""
    return torch.tensor([rows], dtype=torch.float64).log()


def test_flexmatch_thresholds() -> None:
    learnt = torch.tensor([0, 0.25, 0.5, 0.75, 1], dtype=torch.float64)
    wanted = torch.tensor([0, 0.135714, 0.316667, 0.57, 0.95], dtype=torch.float64)
    torch.testing.assert_close(flexible_threshold(learnt, 0.95), wanted, atol=1e-6, rtol=0)


def test_flexmatch_lets_everything_pass_at_first_and_counts_what_was_sure() -> None:
    rule = FlexMatch(1, 4, 2, 0.95, CPU)
    counts, target = rule(logits_of([0.6, 0.4], [0.97, 0.03]), torch.tensor([[0, 1]]))
    assert counts.all(), "the thresholds are 0 while nothing is learnt"
    assert target.argmax(-1).tolist() == [[0, 0]]
    assert rule.selected.tolist() == [[-1, 0, -1, -1]], "only what is above the fixed threshold is noted"
    torch.testing.assert_close(rule.learnt, torch.tensor([[1 / 3, 0.0]]))
    counts, _ = rule(logits_of([0.96, 0.04], [0.02, 0.98]), torch.tensor([[2, 3]]))
    assert rule.learnt.tolist() == [[1.0, 0.5]], "2 of class 0, 1 of class 1, 1 unsure"
    counts, _ = rule(logits_of([0.94, 0.06], [0.4, 0.6]), torch.tensor([[0, 1]]))
    assert counts.tolist() == [[False, True]], "class 0 asks for .95 now, class 1 for .32"
    assert rule.selected.tolist() == [[-1, 0, 0, 1]], "what is no longer sure keeps its class"


def test_flexmatch_learns_no_more_where_all_clips_are_of_one_answer() -> None:
    rule = FlexMatch(1, 2, 2, 0.9, CPU)
    rule(logits_of([0.99, 0.01], [0.98, 0.02]), torch.tensor([[0, 1]]))
    assert rule.learnt.tolist() == [[0.0, 0.0]]


def test_members_have_states_of_their_own() -> None:
    rule = FlexMatch(2, 3, 2, 0.9, CPU)
    both = torch.cat([logits_of([0.99, 0.01]), logits_of([0.5, 0.5])])
    rule(both, torch.tensor([[0], [2]]))
    assert rule.selected.tolist() == [[0, -1, -1], [-1, -1, -1]]
    assert rule.learnt.tolist() == [[0.5, 0.0], [0.0, 0.0]]
    one, two = Order(5, 0, 0), Order(5, 0, 1)
    assert sorted(one.take(5).tolist()) == [0, 1, 2, 3, 4]
    assert one.take(7).tolist() != two.take(12).tolist()[5:]


def test_dash_bounds_fall_to_the_least() -> None:
    loss = torch.tensor([1.5], dtype=torch.float64)
    found = torch.cat([dash_bound(loss, falls) for falls in range(5)])
    wanted = torch.tensor([1.50015, 1.181220, 0.930095, 0.732358, 0.576660], dtype=torch.float64)
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=0)
    assert dash_bound(loss, 40).item() == LEAST


def test_dash_counts_losses_up_to_the_bound_and_hardens_at_the_end() -> None:
    rule = Dash(0.5)
    rule.begin(torch.tensor([1.5], dtype=torch.float64))
    logits = logits_of([0.6, 0.4], [0.9, 0.1])
    _, soft = rule(logits, torch.tensor([[0, 1]]))
    torch.testing.assert_close(soft[0, 0], torch.tensor([0.36, 0.16], dtype=torch.float64) / 0.52)
    rule.bound = distance(logits, soft)[:, 0]
    assert rule(logits, torch.tensor([[0, 1]]))[0].tolist() == [[True, True]], "equal is enough"
    rule.bound = torch.tensor([LEAST], dtype=torch.float64)
    sure = math.exp(-LEAST)
    at = logits_of([sure + 1e-9, 1 - sure - 1e-9], [sure - 1e-9, 1 - sure + 1e-9])
    counts, hard = rule(at, torch.tensor([[0, 1]]))
    assert hard.tolist() == [[[1, 0], [1, 0]]]
    assert counts.tolist() == [[True, False]], "a loss of -log p up to the bound is a p from exp(-bound)"
    torch.testing.assert_close(distance(at, hard), -at.max(-1).values)


def test_noise_of_a_fold_does_not_depend_on_the_others() -> None:
    three, one = Noise(7, 3, "cpu", torch.float32), Noise(7, 1, "cpu", torch.float32)
    assert torch.equal(three.normal((4, 5))[0], one.normal((4, 5))[0])


def blobs(labelled: int, unlabelled: int) -> tuple[FeatureSet, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = np.arange(labelled + unlabelled) % 3
    centres = rng.normal(size=(3, 6)) * 2
    streams = {name: (centres[truth] + rng.normal(size=(len(truth), 6))).astype(np.float32) for name in ("a", "b")}
    return compose(streams, [f"c{one}" if row < labelled else None for row, one in enumerate(truth)]), truth


@pytest.mark.parametrize(("method", "epochs"), [("flexmatch", 80), ("dash", 30)])
def test_they_learn_from_unlabelled_clips_each_fold_for_itself(method: str, epochs: int) -> None:
    """FlexMatch begins by believing everything, and needs longer to be right."""
    features, truth = blobs(24, 48)
    wanted: dict[str, Any] = {"epochs": epochs, "lr": 0.01, "batch_size": 8, "self_training": method}
    found = fit(features, folds=2, fusion_options={"hidden": 16}, trainer_options=wanted)
    told = found.model.summary["self_training"]
    assert [one["round"] for one in told["rounds"]] == [0, 1]
    assert (told["from"], told["pool"], told["stopped"], told["kept"]) == ("fold", 48, "trained", 1)
    assert not found.model.summary.get("contaminated")
    for own in told["labels"]:
        rows = [features.ids.index(name) for name in own]
        assert min(rows) >= 24
        assert np.mean([truth[row] == label for row, label in zip(rows, own.values(), strict=True)]) > 0.8
    nothing, _ = blobs(24, 0)
    bare = fit(nothing, folds=2, fusion_options={"hidden": 16}, trainer_options={**wanted, "epochs": 2})
    assert bare.model.summary["self_training"]["stopped"] == "there is no unlabelled clip"
