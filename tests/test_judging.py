"""What ``mer evaluate`` refuses and remarks on: labels without a class, splits, files; and both kinds of answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mer_core import evaluate
from mer_core.cli.app import run_app
from mer_core.errors import DataError
from mer_core.types import Prediction

SHARES = {"neutral": ("0.9", "0.1"), "angry": ("0.1", "0.9")}


def predictions(folder: Path, rows: list[tuple[str, str]], kinds: str = "") -> Path:
    """``rows`` of id and prediction; of ``kinds``, each row's first letter of ``seen``."""
    names = {"o": "out-of-fold", "n": "new", "t": "trained on"}
    lines = ["id,seen,prediction,p_neutral,p_angry"]
    for row, (id, label) in enumerate(rows):
        lines.append(",".join((id, names[kinds[row]] if kinds else "", label, *SHARES[label])))
    file = folder / "predictions.csv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def manifest(folder: Path, *labels: str) -> Path:
    """Clips a, b, c ... with ``label`` or ``label,split``."""
    rows = [f"{chr(97 + row)},{label if ',' in label else label + ','}" for row, label in enumerate(labels)]
    file = folder / "labels.csv"
    file.write_text("\n".join(["id,label,split", *rows]) + "\n", encoding="utf-8")
    return file


TWO = [("a", "neutral"), ("b", "angry")]
FOUR = [("a", "neutral"), ("b", "angry"), ("c", "neutral"), ("d", "neutral")]


def test_labels_that_are_no_class_at_all_are_refused_with_the_flags_that_map_them(tmp_path: Path) -> None:
    file = predictions(tmp_path, TWO)
    with pytest.raises(DataError, match=r"no label of the data \(joyous, grumpy\) is a class of .* \(neutral, angry\)"):
        evaluate(file, manifest(tmp_path, "joyous", "grumpy"))
    with pytest.raises(DataError, match="--label 愤怒=angry --label 生气=angry; or name their column: --column label="):
        evaluate(file, manifest(tmp_path, "愤怒", "生气"))  # two spellings of one word, which stay apart
    alike = evaluate(file, manifest(tmp_path, "中性", "愤怒"))
    assert (alike.evaluation.scores.waf, alike.notes) == (1.0, ())


def test_a_table_without_probabilities_is_refused_only_if_no_label_is_ever_predicted(tmp_path: Path) -> None:
    file = tmp_path / "own.csv"
    file.write_text("id,prediction\na,neutral\nb,neutral\n", encoding="utf-8")
    found = evaluate(file, manifest(tmp_path, "neutral", "angry"))
    assert (found.evaluation.scores.accuracy, found.notes) == (0.5, ())
    with pytest.raises(DataError, match="no label of the data"):
        evaluate(file, manifest(tmp_path, "1", "2"))


def test_some_labels_that_are_no_class_count_as_wrong_and_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(predictions(tmp_path, FOUR)), "-d", str(manifest(tmp_path, "neutral", "愤怒", "生气", "joyous"))]
    said = "3 of 4 labels are no class of these predictions (愤怒, 生气, joyous): they count as wrong."
    flags = ["--label", "愤怒=angry", "--label", "生气=angry"]
    assert run_app(["evaluate", *arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["notes"] == [f"{said} Map them: {' '.join(flags)} --label joyous=CLASS"]
    assert document["accuracy"]["value"] == 0.25
    assert "sections" not in document
    assert run_app(["evaluate", *arguments]) == 0
    assert said in " ".join(capsys.readouterr().err.split())
    assert run_app(["evaluate", *arguments, *flags, "--label", "joyous=neutral"]) == 0
    assert "no class" not in capsys.readouterr().err


def test_answers_of_folds_and_of_the_saved_model_are_scored_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = manifest(tmp_path, "neutral,train", "neutral,train", "neutral,test", "angry,train")
    file = predictions(tmp_path, FOUR, "oont")
    found = evaluate(file, data)
    assert {
        kind: (one.evaluation.scores.n, one.evaluation.scores.accuracy) for kind, one in found.sections.items()
    } == {
        "out-of-fold": (2, 0.5),
        "new": (1, 1.0),
    }
    assert (found.evaluation.scores.n, found.trained_on) == (3, ("d",))
    assert run_app(["evaluate", str(file), "-d", str(data)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("WAF out-of-fold 0.667 (2), new 1.000 (1)\n")
    assert "0.800" not in out  # both pooled
    assert evaluate(file, data, split="test").sections == {}
    assert (
        evaluate([Prediction(id="a", label="neutral", probabilities={"neutral": 1.0}, present={})], data).sections == {}
    )


def test_a_split_that_no_clip_has_is_told_with_those_there_are(tmp_path: Path) -> None:
    data = manifest(tmp_path, "neutral,train", "angry,train", "neutral,test", "angry,train")
    file = predictions(tmp_path, FOUR[:3], "oon")
    with pytest.raises(DataError, match=r"is of the split 'val'.*: train \(2\), test \(1\)\. The val clips that took"):
        evaluate(file, data, split="val")
    with pytest.raises(DataError, match=r"is of the split 'dev'.*: train \(2\), test \(1\)\.$"):
        evaluate(file, data, split="dev")
    other = predictions(tmp_path, [("x", "angry")])
    with pytest.raises(DataError, match="Are the ids the same"):
        evaluate(other, data, split="test")


def test_the_file_of_predictions_is_looked_at_first(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no file nope\.csv"):
        evaluate("nope.csv", "bad.csv")
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00id")
    with pytest.raises(DataError, match="is no CSV file in UTF-8"):
        evaluate(tmp_path / "x.csv", "bad.csv")
    with pytest.raises(DataError, match=r"is a folder\. Did you mean .*predictions\.csv\?"):
        evaluate(predictions(tmp_path, TWO).parent, "bad.csv")
    with pytest.raises(DataError, match=r"bad\.csv"):
        evaluate(predictions(tmp_path, TWO), "bad.csv")
