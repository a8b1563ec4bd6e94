"""Values and votes through fits, runs, reports, predictions and the command line."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from mer_core import FeatureSet, Fit, compose, fit, load_fit, predict, run
from mer_core.catalogue import Entry
from mer_core.cli.app import run_app
from mer_core.config import read_config
from mer_core.errors import PluginError
from mer_core.evaluation_values import ValueEvaluation, evaluate_values
from mer_core.feature_set import TargetSpec
from mer_core.protocols import Model
from mer_core.report.model import RunReport
from mer_core.report.values import MOST_POINTS, value_findings, value_score
from mer_core.workflows.guarded import GuardedModel
from mer_core.workflows.value_scoring import value_model

N, TEST = 60, 48
RNG = np.random.default_rng(0)
LABELS = np.arange(N) % 3
VALENCE = RNG.normal(size=N)
AUDIO = np.eye(3)[LABELS] * 2 + RNG.normal(size=(N, 3))
VIDEO = np.stack([VALENCE, RNG.normal(size=N)], axis=1)
VOTES = np.stack([RNG.multinomial(5, 0.1 + 0.7 * row) for row in np.eye(3)[LABELS]])
SPEAKERS = [f"s{number // 6}" for number in range(N)]
SPLITS = ["train"] * TEST + ["test"] * (N - TEST)
QUICK: dict[str, Any] = {"fusion_options": {"hidden": 8}, "trainer_options": {"epochs": 15, "lr": 0.02}, "folds": 3}


def clips(**changes: Any) -> FeatureSet:
    base = {"votes": VOTES, "values": {"valence": VALENCE}, "groups": SPEAKERS, "splits": SPLITS}
    return compose({"speech": AUDIO, "video": VIDEO}, **{**base, **changes})


@pytest.fixture(scope="module")
def fitted() -> Fit:
    return fit(clips(), **QUICK)


def test_a_fit_learns_and_scores_both(fitted: Fit) -> None:
    (valence,) = fitted.targets.values
    votes = fitted.targets.votes
    assert (valence.name, valence.n, valence.unit, valence.n_units) == ("valence", TEST, "speaker", 8)
    assert valence.scores["pearson"].value > 0.6
    assert votes is not None
    assert votes.entropy < votes.scores["cross_entropy"].value
    assert fitted.evaluation is not None
    assert np.isnan(fitted.held_out_values[TEST:]).all()
    held = np.corrcoef(fitted.held_out_values[:TEST, 0], VALENCE[:TEST])[0, 1]
    assert held == pytest.approx(valence.scores["pearson"].value)


def test_a_saved_fit_predicts_the_same_and_scores_new_clips(fitted: Fit, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    again = load_fit(tmp_path)
    assert again.model.targets == TargetSpec(("0", "1", "2"), ("valence",), True)
    np.testing.assert_allclose(again.predict_values(clips()), fitted.predict_values(clips()))
    scored = again.evaluate_targets(clips())
    assert scored.values[0].n == N - TEST
    assert scored.votes is not None
    assert scored.votes.n == N - TEST
    reordered = clips(classes=["2", "0", "1"], votes=VOTES[:, [2, 0, 1]])
    other = again.evaluate_targets(reordered).votes
    assert other is not None
    assert other.scores["total_variation"].value == pytest.approx(scored.votes.scores["total_variation"].value)


@pytest.mark.parametrize("hidden", ["test", "unlabelled"])
def test_what_is_hidden_changes_nothing(hidden: str) -> None:
    short = {**QUICK, "trainer_options": {"epochs": 2}}
    splits = [*["train"] * TEST, *[hidden] * (N - TEST)]
    votes, valence = VOTES.copy(), VALENCE.copy()
    votes[TEST:], valence[TEST:] = [0, 0, 9], 1e3
    one, other = clips(splits=splits), clips(splits=splits, votes=votes, values={"valence": valence})
    first, second = fit(one, **short), fit(other, **short)
    np.testing.assert_array_equal(first.predict_values(one), second.predict_values(one))
    np.testing.assert_array_equal(first.predict(one), second.predict(one))


def test_a_fit_of_values_alone(fitted: Fit) -> None:
    found = fit(clips(votes=None, values={"valence": VALENCE, "size": AUDIO[:, 0]}), **QUICK)
    assert (found.classes, found.evaluation, found.subsets) == ((), None, ())
    assert [one.name for one in found.targets.values] == ["valence", "size"]
    assert found.targets.values[0].scores["pearson"].value > 0.5
    assert found.predict(clips()).shape == (N, 0)
    assert found.labels(clips())[:2] == [None, None]
    assert found.plan.group


def table(folder: Path, **more: Any) -> Path:
    base = {
        "audio": AUDIO,
        "video": VIDEO,
        "valence": VALENCE,
        "speaker": np.array(SPEAKERS),
        "split": np.array(SPLITS),
    }
    np.savez(folder / "f.npz", **{**base, **more})
    return folder / "f.npz"


def test_from_the_command_line_to_a_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = table(tmp_path, av_votes=VOTES, label_names=np.array(["HAP", "sad", "ang"]))
    out = tmp_path / "out"
    flags = ["--labels", "av_votes", "--votes", "labels", "--values", "valence", "--group", "speaker", "--folds", "3"]
    begin = ["train", "--features", str(file), "--streams", "audio,video", "--epochs", "5", "-o", "attention.hidden=8"]
    assert run_app([*begin, *flags, "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert "valence, cross-validation" in told
    assert "Predicted distributions beside the votes, test split" in told
    assert "with valence" in told
    report = RunReport.load(out)
    assert {key: [one.name for one in found] for key, found in report.metrics.values.items()} == {
        "cv": ["valence"],
        "test": ["valence"],
    }
    assert report.metrics.votes["cv"].n == report.data.n_votes == TEST
    assert report.metrics.cv is not None
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Cross-validation, 3 folds: values" in page
    assert "predicted against true values" in page
    saved = read_config(out / "config.toml")["data"]
    assert (saved["values"], saved["votes"]) == (["valence"], ["labels"])
    pipeline = json.loads((out / "model" / "pipeline.json").read_text())
    assert (pipeline["values"], pipeline["votes"]) == (["valence"], True)
    with (out / "predictions.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert float(rows[3]["valence_true"]) == pytest.approx(VALENCE[3], rel=1e-4)
    assert all(row["valence"] for row in rows)
    asked = ["--data", str(file), "--column", "label=av_votes", "--votes", "labels", "--values", "valence", "--json"]
    capsys.readouterr()
    assert run_app(["evaluate", str(out / "predictions.csv"), *asked, "--split", "test"]) == 0
    scored = json.loads(capsys.readouterr().out)
    test = report.metrics.values["test"][0]
    assert scored["values"][0]["ccc"]["value"] == pytest.approx(test.ccc.value, rel=1e-3)
    assert scored["votes"]["total_variation"]["value"] == pytest.approx(
        report.metrics.votes["test"].total_variation.value, rel=1e-3
    )
    assert report.metrics.test is not None
    assert scored["waf"]["value"] == pytest.approx(report.metrics.test.waf.value)


def test_a_run_of_values_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = table(tmp_path)
    result = run(
        features=file, streams="audio,video", values="mood=valence", group="speaker", out=tmp_path / "o", **QUICK
    )
    metrics = result.report.metrics
    assert (metrics.cv, metrics.cv_reason) == (None, "There are continuous values to predict, and no classes.")
    assert [one.name for one in metrics.values["cv"]] == ["mood"]
    assert result.report.data.n_unlabelled == 0
    page = (tmp_path / "o" / "report.html").read_text(encoding="utf-8")
    assert "No score" not in page
    assert "0 classes" not in page
    assert "Emotion recognition from" in page
    assert {row.seen for row in result.rows} == {"out-of-fold", "new"}
    found = predict(tmp_path / "o" / "model", features=file)
    assert (found.classes, found.values) == ((), ("mood",))
    assert (found.predictions[0].label, dict(found.predictions[0].probabilities)) == (None, {})
    assert set(found.predictions[0].values) == {"mood"}
    assert run_app(["predict", "--model", str(tmp_path / "o" / "model"), "--features", str(file)]) == 0
    assert "mood" in capsys.readouterr().out.splitlines()[0]
    predictions = str(tmp_path / "o" / "predictions.csv")
    assert run_app(["evaluate", predictions, "--data", str(file), "--values", "mood=valence", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["n"], document["waf"]["value"], document["values"][0]["n"]) == (0, None, N)


def test_a_manifest_of_votes_beside_features(tmp_path: Path) -> None:
    file = table(tmp_path, ids=np.array([f"c{row}" for row in range(N)]))
    lines = ["name,valence,vote_HAP,vote_sad,vote_ang,speaker"]
    lines += [f"c{r},{VALENCE[r]:.4f},{','.join(map(str, VOTES[r]))},{SPEAKERS[r]}" for r in range(N)]
    (tmp_path / "m.csv").write_text("\n".join(lines), encoding="utf-8")
    quick = {**QUICK, "trainer_options": {"epochs": 1}, "columns": {"id": "name"}, "out": tmp_path / "o"}
    result = run(str(tmp_path / "m.csv"), features=file, streams="audio", values="valence", votes="vote_*", **quick)
    assert result.report.classes == ("angry", "happy", "sad")
    assert result.report.metrics.votes["cv"].n == N
    assert any("it is the majority of the votes" in note for note in result.report.data.notes)


class Toy:
    targets = TargetSpec(("a", "b"), ("valence",))

    def predict_values(self, features: Any, fold: int | None = None) -> np.ndarray:
        return np.zeros((1, 2))


def test_models_that_predict_no_values_are_named() -> None:
    entry = cast("Entry", trainer_entry())
    strange = GuardedModel(cast("Model", Toy()), entry)
    with pytest.raises(PluginError, match="predict_values returned"):
        strange.predict_values({})
    mute = GuardedModel(cast("Model", type("Mute", (), {"targets": Toy.targets})()), entry)
    with pytest.raises(PluginError, match="cannot predict valence"):
        mute.predict_values({})
    with pytest.raises(PluginError, match="cannot predict valence"):
        value_model(cast("Model", type("Bare", (), {"targets": Toy.targets})()))


def trainer_entry() -> object:
    from mer_core.spec import TrainerSpec
    from mer_core.workflows.workspace import open_workspace

    return open_workspace().catalogue.entry(TrainerSpec, "cv")


def value(true: np.ndarray, guess: np.ndarray) -> ValueEvaluation:
    found = evaluate_values("valence", true, guess, [f"s{n % 5}" for n in range(len(true))], n=200)
    assert found is not None
    return found


def test_findings_of_values() -> None:
    true = np.random.default_rng(1).normal(size=2000)
    noise, good, flat = np.roll(true, 7), true + 0.1, np.zeros(2000)
    said = [
        " ".join(value_findings({"cv": (value_score(value(true, guess)),)})) for guess in (noise, good, flat, -true)
    ]
    assert "includes 0" in said[0]
    assert "with only 5 speakers" in said[1]
    assert "includes 0" not in said[1]
    assert "there is no correlation, since all predictions are the same" in said[2]
    assert "go against" in said[3]
    part = value_score(value(true, flat))
    assert json.loads(part.model_dump_json())["pearson"] == {"value": None, "low": None, "high": None}
    assert len(part.points) <= MOST_POINTS
    few = replace(value(true, good), n=3, truth=true[:3], predicted=good[:3])
    assert len(value_score(few).points) == 3
