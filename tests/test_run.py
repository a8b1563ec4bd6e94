"""The main job, end to end, on a small sample: what a person types and what is left behind."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from mer_core import open_workspace, predict
from mer_core.cli.app import run_app
from mer_core.errors import OptionError, UsageError

OPTIONS = ["-o", "sample.clips=48", "--epochs", "60"]


@pytest.fixture(scope="session")
def run_folder(sample_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run over all four modalities."""
    folder = tmp_path_factory.mktemp("runs") / "all"
    assert run_app(["run", *OPTIONS, "--cache", str(sample_cache), "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="session")
def report(run_folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((run_folder / "report.json").read_text(encoding="utf-8"))
    return found


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = run_app(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_report_has_the_promised_keys(report: dict) -> None:
    cv = report["metrics"]["cv"]
    for metric in ("waf", "uar", "accuracy", "macro_f1"):
        assert cv[metric]["low"] <= cv[metric]["value"] <= cv[metric]["high"]
    assert cv["selection"] == "last"
    assert cv["optimistic"] is False
    assert cv["unit"] == "speaker"
    assert report["metrics"]["test"]["waf"]["value"] > 0
    assert report["n_clips"] == 48
    assert report["classes"] == ["neutral", "angry", "happy", "sad", "worried", "surprise"]
    assert report["modalities"] == ["speech", "text", "image", "video"]
    assert len(report["subsets"]) == 15
    assert {"modalities", "waf"} <= set(report["subsets"][0])
    assert report["data"]["synthetic"] is True
    assert (report["seed"], report["failures"]) == (0, [])


def test_missing_modalities_are_counted_not_failed(report: dict) -> None:
    counted = {row["modality"]: row for row in report["presence"]}
    assert set(counted) == {"speech", "text", "image", "video"}
    assert all(row["present"] + row["missing"] == 48 for row in counted.values())
    assert sum(row["missing"] for row in counted.values()) > 0


def test_every_promised_file_is_there(run_folder: Path) -> None:
    names = {"config.toml", "folds.json", "report.json", "report.html", "predictions.csv", "model", "log.jsonl"}
    assert names <= {path.name for path in run_folder.iterdir()}
    assert "<html" in (run_folder / "report.html").read_text(encoding="utf-8")
    events = [json.loads(line)["event"] for line in (run_folder / "log.jsonl").read_text().splitlines()]
    assert events[0] == "started"
    assert events[-1] == "finished"


def test_predictions_cover_every_clip_and_folds_keep_speakers_together(run_folder: Path) -> None:
    with (run_folder / "predictions.csv").open(encoding="utf-8") as stream:
        rows = {row["id"]: row for row in csv.DictReader(stream)}
    assert len(rows) == 48
    shares = [sum(float(v) for k, v in row.items() if k.startswith("p_")) for row in rows.values()]
    assert shares == pytest.approx([1.0] * 48, abs=1e-4)
    folds = json.loads((run_folder / "folds.json").read_text())["folds"]
    validated = [name for fold in folds for name in fold["val"]]
    assert len(validated) == len(set(validated))
    assert {rows[name]["fold"] for name in folds[0]["val"]} == {"1"}
    assert not any(row["fold"] for row in rows.values() if row["split"] in ("test", "unlabelled"))


def test_second_run_extracts_nothing_and_gives_the_same_score(
    run_folder: Path, report: dict, sample_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(run_folder / "config.toml")
    code, out, _ = call(
        capsys, "run", "--config", config, "--cache", str(sample_cache), "--out", str(tmp_path / "again"), "--json"
    )
    again = json.loads(out)
    assert code == 0
    assert [stream["extracted"] for stream in again["streams"]] == [0, 0, 0, 0]
    assert again["metrics"] == report["metrics"]
    assert again["subsets"] == report["subsets"]
    assert (tmp_path / "again" / "predictions.csv").read_bytes() == (run_folder / "predictions.csv").read_bytes()


def test_plan_says_what_would_be_done_and_does_nothing(
    sample_cache: Path, run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    extra = ["-o", "acoustic.n_mels=20", "--modalities", "speech,text", "--cache", str(sample_cache)]
    code, out, _ = call(capsys, "run", *OPTIONS, *extra, "--plan", "--json")
    streams = json.loads(out)["streams"]
    assert code == 0
    assert streams["speech:acoustic"]["reuse"] == 0
    assert streams["speech:acoustic"]["extract"] > 40
    assert streams["text:ngram"]["extract"] == 0
    assert not (tmp_path / "runs").exists()


def test_train_refuses_what_is_not_extracted(
    sample_cache: Path, run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = [*OPTIONS, "--cache", str(sample_cache), "--out", str(tmp_path / "r")]
    code, _, err = call(capsys, "train", *common, "-o", "acoustic.n_mels=21", "-m", "speech")
    assert code == 2
    assert "speech:acoustic" in err
    assert "mer extract" in err
    assert call(capsys, "train", *common, "-m", "speech,text")[0] == 0


def test_predict_a_new_file_uses_what_it_has(
    run_folder: Path, sample_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = sorted(sample_cache.glob("datasets/*/sample-48-*/**/*.mp4"))[0]
    clip = tmp_path / "新 clip.mp4"
    shutil.copy(source, clip)
    code, out, _ = call(
        capsys, "predict", str(clip), "--model", str(run_folder / "model"), "--cache", str(sample_cache), "--json"
    )
    answer = json.loads(out)["predictions"][0]
    assert code == 0
    assert answer["id"] == "新 clip"
    assert "text" not in answer["present"]
    assert sum(answer["probabilities"].values()) == pytest.approx(1.0)
    assert answer["label"] == max(answer["probabilities"], key=answer["probabilities"].get)


def test_command_library_and_run_predict_the_same(
    run_folder: Path, sample_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = next(sample_cache.glob("datasets/*/sample-48-*/manifest.csv"))
    model = run_folder / "model"
    found = predict(model, manifest, device="cpu", space=open_workspace(sample_cache)).predictions
    code, out, _ = call(capsys, "predict", str(manifest), "--model", str(model), "--cache", str(sample_cache), "--json")
    answers = {answer["id"]: answer["probabilities"] for answer in json.loads(out)["predictions"]}
    assert code == 0
    assert answers == {one.id: dict(one.probabilities) for one in found}
    with (run_folder / "predictions.csv").open(encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["split"] in ("test", "unlabelled")]
    assert len(rows) > 5
    for row in rows:
        saved = {name: float(row[f"p_{name}"]) for name in answers[row["id"]]}
        assert saved == pytest.approx(answers[row["id"]], abs=1e-5)


def test_options_given_at_prediction_replace_those_of_the_run_and_it_says_so(
    run_folder: Path, sample_cache: Path
) -> None:
    clip, model = sorted(sample_cache.glob("datasets/*/sample-48-*/**/*.mp4"))[0], run_folder / "model"
    space = open_workspace(sample_cache)
    plain = predict(model, clip, space=space)
    other = predict(model, clip, options=["acoustic.fmin=80"], space=space)
    assert [note for note in plain.warnings if "synthetic" not in note] == []
    assert "other options" in other.warnings[0]
    assert plain.predictions[0].probabilities != other.predictions[0].probabilities
    with pytest.raises(UsageError, match=r"'ngrams' takes no part in this model.*acoustic"):
        predict(model, clip, options={"ngrams": {"dim": 6}}, space=space)
    with pytest.raises(OptionError, match="did you mean 'fmin'"):
        predict(model, clip, options={"acoustic": {"f_min": 80}}, space=space)


def test_predict_windows_cover_the_clip(
    run_folder: Path, sample_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = sorted(sample_cache.glob("datasets/*/sample-48-*/**/*.mp4"))[0]
    arguments = ["--model", str(run_folder / "model"), "--cache", str(sample_cache), "--window", "1", "--hop", "0.5"]
    code, out, _ = call(capsys, "predict", str(source), *arguments, "--out", str(tmp_path / "w.csv"), "--json")
    spans = [(p["start"], p["end"]) for p in json.loads(out)["predictions"]]
    assert code == 0
    assert spans[0] == (0.0, 1.0)
    assert spans[1][0] == 0.5
    assert all(b - a <= 1.0 for a, b in spans)
    with (tmp_path / "w.csv").open(encoding="utf-8") as stream:
        assert len(list(csv.DictReader(stream))) == len(spans)


def test_predict_several_files_at_once_and_says_that_the_model_learnt_synthetic_clips(
    run_folder: Path, sample_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(path) for path in sorted(sample_cache.glob("datasets/*/sample-48-*/**/*.mp4"))[:3]]
    arguments = ["--model", str(run_folder / "model"), "--cache", str(sample_cache)]
    code, out, err = call(capsys, "predict", *files, *arguments)
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[1:]] == [Path(file).stem for file in files]
    assert " ".join(err.split()).count("learnt synthetic data") == 1


def test_windows_say_that_texts_are_left_out(run_folder: Path, sample_cache: Path, tmp_path: Path) -> None:
    clip, space = sorted(sample_cache.glob("datasets/*/sample-48-*/**/*.mp4"))[0], open_workspace(sample_cache)
    (tmp_path / "a.csv").write_text(f"id,video,text\na,{clip},so happy\nb,{clip},\n", encoding="utf-8")
    found = predict(run_folder / "model", tmp_path / "a.csv", window=1.0, space=space)
    assert [note for note in found.warnings if "1 text left out" in note]
    assert not [
        note for note in predict(run_folder / "model", clip, window=1.0, space=space).warnings if "text" in note
    ]


def test_evaluate_without_a_split_gives_both_values_of_the_report(
    run_folder: Path, report: dict, sample_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = next(sample_cache.glob("datasets/*/sample-48-*/manifest.csv"))
    arguments = ["--data", str(manifest), "--cache", str(sample_cache)]
    code, out, _ = call(capsys, "evaluate", str(run_folder / "predictions.csv"), *arguments, "--json")
    sections = json.loads(out)["sections"]
    assert code == 0
    for kind, name in (("out-of-fold", "cv"), ("new", "test")):
        assert sections[kind]["waf"] == pytest.approx(report["metrics"][name]["waf"])
        assert sections[kind]["n"] == report["metrics"][name]["n"]


def test_evaluate_gives_the_value_of_the_report(
    run_folder: Path, report: dict, sample_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = next(sample_cache.glob("datasets/*/sample-48-*/manifest.csv"))
    arguments = ["--data", str(manifest), "--split", "test", "--cache", str(sample_cache), "--json"]
    code, out, _ = call(capsys, "evaluate", str(run_folder / "predictions.csv"), *arguments)
    assert code == 0
    assert json.loads(out)["waf"]["value"] == pytest.approx(report["metrics"]["test"]["waf"]["value"])


def test_protocol_mer2024_marks_its_score_as_optimistic(
    run_folder: Path, sample_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = call(
        capsys, "run", *OPTIONS[:2], "--protocol", "mer2024", "--epochs", "3", "-m", "speech,text",
        "--cache", str(sample_cache), "--out", str(tmp_path / "paper"),
    )  # fmt: skip
    report = json.loads((tmp_path / "paper" / "report.json").read_text(encoding="utf-8"))
    assert code == 0
    assert report["metrics"]["cv"]["selection"] == "val"
    assert report["metrics"]["cv"]["optimistic"] is True
    assert "optimistic" in out
    assert "optimistic" in (tmp_path / "paper" / "report.html").read_text(encoding="utf-8")


def test_predictions_of_clips_trained_on_are_marked_and_never_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [("a", "so happy", "happy"), ("b", "so sad", "sad"), ("c", "so angry", "angry"), ("d", "who knows", "")]
    manifest = tmp_path / "few.csv"
    manifest.write_text("id,text,label\n" + "".join(f"{i},{t},{e}\n" for i, t, e in rows), encoding="utf-8")
    out = tmp_path / "few"
    assert call(capsys, "run", "--data", str(manifest), "-m", "text", "--epochs", "2", "--out", str(out))[0] == 0
    with (out / "predictions.csv").open(encoding="utf-8") as stream:
        assert [row["seen"] for row in csv.DictReader(stream)] == ["trained on"] * 3 + ["new"]
    code, _, err = call(capsys, "evaluate", str(out / "predictions.csv"), "--data", str(manifest))
    assert code == 2
    assert "trained on" in " ".join(err.split())
