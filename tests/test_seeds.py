"""Several seeds: the same folds, scores averaged and never counted as samples, all members saved."""

from __future__ import annotations

import numpy as np
import pytest

from mer_core.confusions import scores
from mer_core.evaluation import bootstrap, evaluate_predictions, evaluate_subsets, paired_difference, weighted_f1


def guesses(n: int = 120, seeds: int = 3, right: float = 0.7) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = rng.integers(4, size=n)
    return y, np.stack([np.where(rng.random(n) < right, y, rng.integers(4, size=n)) for _ in range(seeds)])


GROUPS = [f"s{i % 12}" for i in range(120)]


def test_the_score_is_the_mean_of_the_seeds_scores() -> None:
    y, each = guesses()
    found = evaluate_predictions(y, each, "abcd", GROUPS, folds=[i % 3 for i in range(120)])
    alone = [evaluate_predictions(y, one, "abcd", GROUPS, folds=[i % 3 for i in range(120)]) for one in each]
    assert found.scores.waf == pytest.approx(np.mean([one.scores.waf for one in alone]))
    assert found.scores.recall == pytest.approx(np.mean([one.scores.recall for one in alone], axis=0))
    assert found.scores.confusion == pytest.approx(np.mean([one.scores.confusion for one in alone], axis=0))
    assert (found.scores.n, found.n_units) == (120, 12)
    assert found.folds[1].waf == pytest.approx(np.mean([one.folds[1].waf for one in alone]))
    assert found.intervals["uar"].value == pytest.approx(np.mean([one.intervals["uar"].value for one in alone]))


def test_seeds_are_no_samples() -> None:
    """Seeds that say the same give the interval of one."""
    y, each = guesses()
    same, one = bootstrap(y, np.stack([each[0]] * 3), 4, GROUPS), bootstrap(y, each[0], 4, GROUPS)
    for name, found in same.items():
        assert (found.value, found.low, found.high) == pytest.approx((one[name].value, one[name].low, one[name].high))


def test_a_resample_is_the_same_for_all_seeds() -> None:
    """By hand: draw speakers, score each seed on the draw, average, take percentiles."""
    y, each = guesses()
    found = bootstrap(y, each, 4, GROUPS, n=400, seed=5)["waf"]
    rng, drawn = np.random.default_rng(1), []
    rows = [np.flatnonzero([group == f"s{k}" for group in GROUPS]) for k in range(12)]
    for _ in range(400):
        picked = np.concatenate([rows[k] for k in rng.integers(12, size=12)])
        drawn.append(np.mean([weighted_f1(y[picked], one[picked], 4) for one in each]))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=0.015)


def test_differences_and_subsets_are_averaged_too() -> None:
    y, each = guesses()
    other = np.roll(each, 1, axis=1)
    found = paired_difference(y, each, other[:2], GROUPS, n_classes=4)
    wafs = [[weighted_f1(y, one, 4) for one in part] for part in (each, other[:2])]
    assert found.value == pytest.approx(np.mean(wafs[0]) - np.mean(wafs[1]))
    scored = evaluate_subsets(y, {("a", "b"): each, ("a",): other}, 4, GROUPS)
    assert scored[1].waf.value == pytest.approx(scores(y, other, 4).waf)
    assert scored[0].gain.value == 0
