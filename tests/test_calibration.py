"""Probabilities that mean what they say: how they are measured, and temperatures that never see the scored part."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mer_core.calibration import calibration, ece
from mer_core.errors import DataError
from mer_core.evaluation import evaluate_predictions
from mer_core.feature_set import FeatureSet, Fold
from mer_core.report import RunReport, render_html
from mer_core.report.build import section
from mer_core.report.facts import Data, ModelFacts
from mer_core.report.sections import Metrics
from mer_core.testing.tables import feature_set, relabelled
from mer_core.workflows.scoring import out_of_fold
from mer_plugins.fusion.concat import Concat
from mer_plugins.fusion.options import ConcatOptions
from mer_plugins.trainers.cv import CrossValidation, CvOptions
from mer_plugins.trainers.model import FusionModel, load_model
from mer_plugins.trainers.temperature import COLDEST, HOTTEST, fit_temperature


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
    found = [calibration(shares(logits), y) for logits, y in (draws(300, seed=seed) for seed in range(12))]
    assert np.mean([one.ece for one in found]) == pytest.approx(np.mean([one.by_chance for one in found]), rel=0.2)
    assert sum(one.low <= 0 <= one.high for one in found) >= 10


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


@pytest.mark.parametrize("factor", [0.25, 1.0, 3.0, 7.0])
def test_logits_scaled_by_a_known_factor_give_it_back(factor: float) -> None:
    """Golden: with 40,000 labels drawn from softmax(z), logits factor * z have the temperature ``factor``."""
    logits, y = draws(40_000, sharper=factor)
    assert fit_temperature(logits, y) == pytest.approx(factor, rel=0.02)


def test_a_temperature_is_where_the_loss_is_least() -> None:
    logits, y = draws(200, sharper=2.2, seed=3)
    found = fit_temperature(logits, y)

    def loss(temperature: float) -> float:
        return float(-np.log(shares(logits / temperature)[np.arange(200), y]).mean())

    assert loss(found) <= min(loss(temperature) for temperature in np.geomspace(0.1, 10, 400)) + 1e-9
    assert loss(found) == pytest.approx(calibration(shares(logits / found), y).nll)


@pytest.mark.parametrize(("right", "bound"), [(True, COLDEST), (False, HOTTEST)])
def test_temperatures_have_bounds(right: bool, bound: float) -> None:
    logits = np.eye(3)[[0, 1, 2]]
    assert fit_temperature(logits, np.array([0, 1, 2] if right else [1, 2, 0])) == pytest.approx(bound)
    assert fit_temperature(np.ones((3, 3)), np.array([0, 1, 2])) == 1.0


def overconfident(count: int = 240, signal: float = 0.8) -> FeatureSet:
    """Clips of 24 speakers that can hardly be told apart, of which a model learns every one by heart."""
    made = feature_set(count, signal=signal, folds=3)
    return replace(made, groups=tuple(f"s{i % 24}" for i in range(count)))


def trained(data: FeatureSet, **options: Any) -> FusionModel:
    sizes = {"epochs": 45, "lr": 1e-2, "batch_size": 256, "inner_fraction": 0.3}
    chosen = {**sizes, "weight_decay": 0.0, "modality_dropout": 0.0, **options}
    trainer = CrossValidation(CvOptions(**chosen))
    return trainer.fit(Concat(ConcatOptions(hidden=32, dropout=0.0)), data, seed=0)


@pytest.fixture(scope="module")
def pair() -> tuple[FeatureSet, FusionModel, FusionModel]:
    data = overconfident()
    return data, trained(data), trained(data, calibrate=True)


def test_an_overconfident_model_is_cooled_down(pair: tuple[FeatureSet, FusionModel, FusionModel]) -> None:
    data, plain, cooled = pair
    assert len(cooled.summary["temperatures"]) == 3
    assert all(1.5 < one.temperature < HOTTEST for one in cooled.members)
    assert [one.temperature for one in plain.members] == [1.0] * 3
    before, after = out_of_fold(plain, data), out_of_fold(cooled, data)
    assert before.labels.tolist() == after.labels.tolist()
    old, new = (calibration(one.probabilities, data.labels) for one in (before, after))
    assert new.nll < 0.8 * old.nll
    assert new.ece < 0.5 * old.ece


def test_a_temperature_at_its_limit_is_said(pair: tuple[FeatureSet, FusionModel, FusionModel]) -> None:
    early = trained(pair[0], calibrate=True, epochs=3, lr=1e-3)
    at_end = sum(one.temperature in (pytest.approx(COLDEST), pytest.approx(HOTTEST)) for one in early.members)
    assert at_end
    assert f"{at_end} of 3 temperatures are at a limit (0.1 or 10)" in early.summary["notes"][-1]
    assert not any("at a limit" in note for note in pair[2].summary["notes"])


def test_members_keep_all_their_clips_and_are_averaged_with_their_temperatures(
    pair: tuple[FeatureSet, FusionModel, FusionModel], tmp_path: Path
) -> None:
    data, plain, cooled = pair
    for k, member in enumerate(cooled.members):
        assert cooled.logits(data.table, k) == pytest.approx(plain.logits(data.table, k) / member.temperature)
    mean = np.mean([cooled.logits(data.table, k) for k in range(3)], axis=0)
    assert cooled.logits(data.table) == pytest.approx(mean)
    assert cooled.summary["train_clips"] == plain.summary["train_clips"]
    assert all(30 <= clips < 80 for clips in cooled.summary["calibration_clips"])
    cooled.save(tmp_path)
    again = load_model(tmp_path, Concat(ConcatOptions(hidden=32, dropout=0.0)), "cpu")
    assert [one.temperature for one in again.members] == [one.temperature for one in cooled.members]
    facts = json.loads((tmp_path / "members.json").read_text())
    del facts["temperatures"]  # as models were saved before
    (tmp_path / "members.json").write_text(json.dumps(facts))
    older = load_model(tmp_path, Concat(ConcatOptions(hidden=32, dropout=0.0)), "cpu")
    assert [one.temperature for one in older.members] == [1.0] * 3


@pytest.mark.parametrize("select", ["last", "inner"])
def test_no_temperature_knows_a_scored_label(select: str) -> None:
    """Other labels in one fold's scored part: that fold's temperature stays what it was, to the bit."""
    data = overconfident(120)
    held = data.folds[0].val
    one, other = (trained(d, select=select, calibrate=True, epochs=20) for d in (data, relabelled(data, held)))
    assert one.members[0].temperature == other.members[0].temperature
    assert one.members[1].temperature != other.members[1].temperature


def test_with_an_inner_part_there_is_one_training() -> None:
    data, seen = overconfident(120), []
    options = CvOptions(epochs=4, select="inner", calibrate=True)
    model = CrossValidation(options).fit(Concat(ConcatOptions()), data, 0, lambda *told: seen.append(told))
    assert len(seen) == 4
    assert model.summary["calibration_clips"] == model.summary["selection_clips"]
    CrossValidation(options.model_copy(update={"select": "last"})).fit(
        Concat(ConcatOptions()), data, 0, lambda *told: seen.append(told)
    )
    assert len(seen) == 12
    assert seen[-1][3].startswith("calibration, ")


def test_too_few_clips_leave_temperatures_alone_and_it_is_said() -> None:
    model = trained(feature_set(9, folds=3), calibrate=True, epochs=2)
    assert [one.temperature for one in model.members] == [1.0] * 3
    assert "held" in model.summary["notes"][-1] or "hold" in model.summary["notes"][-1]


def test_without_folds_the_one_member_has_a_temperature_too() -> None:
    model = trained(replace(overconfident(120), folds=()), calibrate=True, epochs=30)
    assert [one.temperature > 1 for one in model.members] == [True]


def test_pseudo_labels_and_temperatures_go_together() -> None:
    data = overconfident(120)
    labels = data.labels.copy()
    labels[90:] = -1
    rows = np.arange(90)
    data = replace(data, labels=labels, folds=tuple(Fold(rows[rows % 3 != k], rows[rows % 3 == k]) for k in range(3)))
    model = trained(data, calibrate=True, epochs=6, self_training="class-balanced", pseudo_rounds=1)
    assert len(model.summary["temperatures"]) == 3
    assert model.summary["self_training"]["rounds"]
    assert all(one.temperature != 1.0 for one in model.members)
