"""Scores of values and of distributions beside votes: by hand, by closed forms, and where they are undefined."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mer_core.errors import DataError
from mer_core.evaluation_values import evaluate_values, evaluate_votes, value_scores, vote_distances

RNG = np.random.default_rng(0)
TRUE = RNG.normal(2.0, 3.0, 400)
GUESS = 0.6 * TRUE + RNG.normal(0.0, 1.5, 400)
SPEAKERS = [f"s{number % 20}" for number in range(400)]


def test_four_clips_by_hand() -> None:
    """Means 2.5 and 2.75, variances 1.25 and 1.8125, covariance 1.375: 2 * 1.375 / (1.25 + 1.8125 + .0625)."""
    found = value_scores([1, 2, 3, 4], [1.5, 2, 2.5, 5])
    assert found["mae"] == pytest.approx(0.5)
    assert found["rmse"] == pytest.approx(math.sqrt(1.5 / 4))
    assert found["pearson"] == pytest.approx(1.375 / math.sqrt(1.25 * 1.8125))
    assert found["ccc"] == pytest.approx(0.88)


def test_closed_forms() -> None:
    found = value_scores(TRUE, GUESS)
    covariance = np.cov(TRUE, GUESS, bias=True)
    apart = (TRUE.mean() - GUESS.mean()) ** 2
    assert found["pearson"] == pytest.approx(np.corrcoef(TRUE, GUESS)[0, 1])
    assert found["ccc"] == pytest.approx(2 * covariance[0, 1] / (np.trace(covariance) + apart))
    assert found["mae"] == pytest.approx(np.abs(TRUE - GUESS).mean())
    shifted = value_scores(TRUE + 1e6, GUESS + 1e6)
    assert shifted["ccc"] == pytest.approx(found["ccc"], abs=1e-9)


def test_concordance_is_no_correlation() -> None:
    assert value_scores(TRUE, TRUE)["ccc"] == pytest.approx(1.0)
    moved = value_scores(TRUE, TRUE + TRUE.std())
    assert moved["pearson"] == pytest.approx(1.0)
    assert moved["ccc"] == pytest.approx(2 / 3)
    assert value_scores(TRUE, -TRUE + 2 * TRUE.mean())["ccc"] == pytest.approx(-1.0)


@pytest.mark.parametrize(
    ("true", "guess", "ccc", "why"),
    [
        (TRUE, np.full(400, 0.1), 0.0, "all predictions are the same"),
        (np.full(400, 0.3), GUESS, 0.0, "all true values are the same"),
        (np.full(400, 0.3), np.full(400, 0.1), math.nan, "all true values are the same"),
        (TRUE[:1], GUESS[:1], math.nan, "needs two clips"),
    ],
)
def test_what_cannot_correlate_says_why(true: np.ndarray, guess: np.ndarray, ccc: float, why: str) -> None:
    found = evaluate_values("valence", true, guess)
    assert found is not None
    assert why in found.reason
    assert math.isnan(found.scores["pearson"].value)
    assert math.isnan(found.scores["pearson"].low)
    assert found.scores["ccc"].value == pytest.approx(ccc, nan_ok=True)
    assert math.isfinite(found.scores["rmse"].value)


def test_groups_are_drawn_whole() -> None:
    clips, speakers = (evaluate_values("v", TRUE, GUESS, groups, n=300) for groups in (None, SPEAKERS))
    assert clips is not None
    assert speakers is not None
    assert (clips.unit, clips.n_units, speakers.unit, speakers.n_units) == ("clip", 400, "speaker", 20)
    for found in (clips, speakers):
        for name, interval in found.scores.items():
            assert interval.low < value_scores(TRUE, GUESS)[name] < interval.high
    alike = np.repeat(RNG.normal(size=(20, 2)), 20, axis=0)  # 20 clips of a speaker are one and the same
    wide, narrow = (
        evaluate_values("v", alike[:, 0], alike.sum(axis=1), groups, n=300)
        for groups in (np.repeat(range(20), 20).tolist(), None)
    )
    assert wide is not None
    assert narrow is not None
    assert _width(wide.scores["mae"]) > 3 * _width(narrow.scores["mae"])


def _width(interval: object) -> float:
    return float(interval.high - interval.low)  # type: ignore[attr-defined]


def test_unknown_values_and_answers_are_left_out() -> None:
    true, guess = TRUE.copy(), GUESS.copy()
    true[:10], guess[5:15] = np.nan, np.nan
    found = evaluate_values("v", true, guess, SPEAKERS, n=50)
    assert found is not None
    assert found.n == 385
    assert found.scores["mae"].value == pytest.approx(np.abs(TRUE - GUESS)[15:].mean())
    assert evaluate_values("v", np.full(3, np.nan), TRUE[:3]) is None


def test_distributions_by_hand() -> None:
    """One half against three quarters: JSD in bits of (.5, .5) and (.75, .25) is 0.0487949..."""
    found = vote_distances([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]], [[0.75, 0.25, 0.0], [0.0, 1.0, 0.0]])
    assert found["cross_entropy"][0] == pytest.approx(-0.5 * math.log(0.75) - 0.5 * math.log(0.25))
    assert found["cross_entropy"][1] == pytest.approx(-math.log(1e-12))
    assert found["total_variation"].tolist() == pytest.approx([0.25, 1.0])
    middle = (0.625, 0.375)
    expected = sum(
        0.5 * p * math.log2(p / m) for pair in ((0.5, 0.5), (0.75, 0.25)) for p, m in zip(pair, middle, strict=True)
    )
    assert found["jensen_shannon"].tolist() == pytest.approx([expected, 1.0])
    with pytest.raises(DataError, match="votes"):
        vote_distances([[1.0, 0.0]], [[1.0, 0.0, 0.0]])


def test_votes_have_a_floor_and_a_constant() -> None:
    votes = RNG.dirichlet(np.ones(3), 200)
    votes[3] = np.nan
    known = np.delete(votes, 3, axis=0)
    perfect = evaluate_votes(votes, votes, SPEAKERS[:200], n=50)
    constant = evaluate_votes(votes, np.tile(known.mean(axis=0), (200, 1)), SPEAKERS[:200], n=50)
    assert perfect is not None
    assert constant is not None
    assert perfect.n == 199
    assert perfect.scores["cross_entropy"].value == pytest.approx(perfect.entropy)
    assert perfect.scores["total_variation"].value == 0
    assert {k: one.value for k, one in constant.scores.items()} == pytest.approx(dict(perfect.constant))
    assert constant.scores["jensen_shannon"].low < constant.scores["jensen_shannon"].value
    assert evaluate_votes(np.full((2, 3), np.nan), np.ones((2, 3)) / 3) is None
