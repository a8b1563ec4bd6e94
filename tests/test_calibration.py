"""Probabilities that mean what they say: how they are measured, and temperatures that never see the scored part."""

from __future__ import annotations

import re

import numpy as np
import pytest

from mer_core.calibration import calibration, ece
from mer_core.errors import DataError
from mer_core.evaluation import evaluate_predictions
from mer_core.report import RunReport, render_html
from mer_core.report.build import section
from mer_core.report.model import Data, Metrics, ModelFacts


def test_expected_calibration_error_by_hand() -> None:
    """Four answers in three bins: (.65 of .6 and .7: one right of two), (.95: right), (.55: wrong)."""
    p = [[0.62, 0.38], [0.68, 0.32], [0.05, 0.95], [0.55, 0.45]]
    y = [0, 1, 1, 1]
    assert ece(p, y) == pytest.approx((2 * abs(0.65 - 0.5) + abs(0.95 - 1) + abs(0.55 - 0)) / 4)
    found = calibration(p, y)
    assert found.ece == pytest.approx(ece(p, y))
    assert [(round(one.low, 1), one.n) for one in found.bins if one.n] == [(0.5, 1), (0.6, 2), (0.9, 1)]
    assert found.bins[6].confidence == pytest.approx(0.65)
    assert found.bins[6].accuracy == 0.5
    assert np.isnan(found.bins[0].accuracy)
    assert found.brier == pytest.approx(np.mean([2 * 0.38**2, 2 * 0.68**2, 2 * 0.05**2, 2 * 0.55**2]))
    assert found.nll == pytest.approx(-np.mean(np.log([0.62, 0.32, 0.95, 0.45])))
    assert found.gap == pytest.approx(0.7 - 0.5)
    assert (found.confidence, found.accuracy, found.n) == (pytest.approx(0.7), 0.5, 4)


def test_a_probability_on_an_edge_belongs_to_the_bin_below() -> None:
    found = calibration([[0.3, 0.7], [1.0, 0.0]], [1, 0])
    assert (found.bins[6].n, found.bins[7].n, found.bins[9].n) == (1, 0, 1)


def draws(n: int, sharper: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits [n, 4] that are ``sharper`` times what they should be, and labels drawn from what they should be."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 4)) * 1.5
    y = (np.log(shares(logits)) + rng.gumbel(size=(n, 4))).argmax(axis=1)
    return logits * sharper, y


def shares(logits: np.ndarray) -> np.ndarray:
    exact = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exact / exact.sum(axis=1, keepdims=True)


def test_a_calibrated_model_has_the_error_that_chance_gives() -> None:
    found = [calibration(shares(logits), y) for logits, y in (draws(300, seed=seed) for seed in range(20))]
    assert np.mean([one.ece for one in found]) == pytest.approx(np.mean([one.by_chance for one in found]), rel=0.15)
    assert sum(one.low <= 0 <= one.high for one in found) >= 17


def test_an_overconfident_model_is_found_out() -> None:
    logits, y = draws(600, sharper=3.0)
    found = calibration(shares(logits), y, [f"s{i % 20}" for i in range(600)])
    assert found.ece > 3 * found.by_chance
    assert 0.1 < found.low < found.gap < found.high
    assert found.gap == pytest.approx(found.confidence - found.accuracy)


def test_seeds_are_averaged() -> None:
    parts = [draws(200, sharper=s) for s in (1.0, 3.0)]
    y = parts[0][1]
    both, alone = [shares(logits) for logits, _ in parts], []
    for one in both:
        alone.append(calibration(one, y))
    found = calibration(np.stack(both), y)
    for name in ("ece", "brier", "nll", "gap"):
        assert getattr(found, name) == pytest.approx(np.mean([getattr(one, name) for one in alone]))
    assert sum(one.n for one in found.bins) == pytest.approx(200)


@pytest.mark.parametrize(("p", "y"), [([[0.5, 0.5]], [2]), ([[0.5, 0.5]], [0, 1]), ([[3.0, -2.0]], [0]), ([], [])])
def test_what_are_no_probabilities_is_refused(p: list[list[float]], y: list[int]) -> None:
    with pytest.raises(DataError):
        calibration(p, y)


def report_of(sharper: float, calibrate: bool | None) -> RunReport:
    """A run's report with the probabilities of 400 clips by 20 speakers."""
    logits, y = draws(400, sharper=sharper)
    found = evaluate_predictions(
        y, logits.argmax(axis=1), "abcd", [f"s{i % 20}" for i in range(400)], probabilities=shares(logits)
    )
    options = {} if calibrate is None else {"calibrate": calibrate}
    return RunReport(
        name="r",
        seed=0,
        n_clips=400,
        classes=tuple("abcd"),
        modalities=("text",),
        metrics=Metrics(cv=section(found)),
        data=Data(source="x", n_labelled=400),
        model=ModelFacts(fusion="f", trainer="t", options=options, temperatures=(1.5, 2.0)),
    )


@pytest.mark.parametrize(
    ("sharper", "calibrate", "said"),
    [(3.0, False, "overconfident: .*--calibrate"), (3.0, True, "overconfident: .*have temperatures"),
     (0.4, None, "underconfident: "), (1.0, False, "")],
)  # fmt: skip
def test_a_report_says_when_probabilities_mislead(sharper: float, calibrate: bool | None, said: str) -> None:
    report = report_of(sharper, calibrate)
    lines = [line for line in report.findings() if "confident" in line]
    assert len(lines) == bool(said)
    assert all(re.search(said, line) for line in lines)
    page = render_html(report)
    assert "Do the probabilities mean what they say?" in page
    assert page.count("</circle>") > 4
    assert "1.50, 2.00" in page
    told = report.document()["metrics"]["cv"]["calibration"]
    assert set(told) == {"ece", "by_chance", "brier", "nll", "confidence", "accuracy", "gap", "bins"}
    assert RunReport.model_validate(report.document()) == report
