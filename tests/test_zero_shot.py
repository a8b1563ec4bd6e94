"""The row without training: an extractor that knows words scores the classes by itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from learners import Letters
from numpy.typing import NDArray

from mer_core import open_workspace, run
from mer_core.feature_set import StreamData, StreamInfo
from mer_core.plugin import ExtractorSpec, Features, FloatArray, PluginError, PluginSpec, Sample, TextInput, hookimpl
from mer_core.workflows.zero_shot import nearest

CLASSES = ("angry", "happy", "sad")
SETTINGS: dict[str, Any] = {"modalities": ["text"], "trainer_options": {"epochs": 2}}


class Worded(Letters):
    """Counts letters, and knows which letter each class begins with."""

    asked: ClassVar[list[tuple[str, ...]]] = []
    fails = False
    dim = 3

    def extract(self, batch: Sequence[Sample]) -> list[Features]:
        texts = [sample.text().content for sample in batch]
        return [Features(np.asarray([text.count(letter) for letter in "ahs"], np.float32)) for text in texts]

    def class_embeddings(self, classes: Sequence[str]) -> FloatArray:
        if Worded.fails:
            raise PluginError("it has no words.", "Give it some.")
        Worded.asked.append(tuple(classes))
        return np.asarray([[9.0 * (name[0] == letter) for letter in "ahs"] for name in classes], np.float32)


class Plugins:
    @hookimpl
    def mer_specs(self) -> list[PluginSpec]:
        made = {"modality": "text", "inputs": {"text": TextInput()}, "level": "clip"}
        return [ExtractorSpec(name="worded", target=f"{__name__}:Worded", **made)]


def write(folder: Path) -> Path:
    """Thirty clips, every fifth with the text of another class; one has no text."""
    lines = ["id,text,label"]
    for number in range(30):
        label = CLASSES[number % 3]
        letter = CLASSES[(number + (number % 5 == 0)) % 3][0]
        lines.append(f"c{number},{letter * 4} {number},{label}")
    lines.append("c30,,angry")
    folder.mkdir()
    (folder / "clips.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "clips.csv"


@pytest.mark.usefixtures("own_cache")
def test_the_report_has_a_row_without_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    from mer_core.cli.summary import print_summary

    Worded.asked.clear()
    space, data = open_workspace(tmp_path / "cache", plugins=[Plugins()]), write(tmp_path / "data")
    settings = {**SETTINGS, "extractors": {"text": "worded"}}
    report = run(data, out=tmp_path / "run", space=space, **settings).report
    (row,) = report.baselines
    assert (row.name, row.stream, row.n) == ("zero-shot", "text:worded", 30)
    assert row.waf.value == pytest.approx(0.8)
    assert row.waf.low is not None
    assert row.waf.low < 0.8
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "<h3>Without training</h3>" in page
    print_summary(report, tmp_path / "run", Console(width=120))
    assert "Without training, zero-shot text:worded: WAF 0.800" in capsys.readouterr().out
    run(data, out=tmp_path / "again", space=space, **settings)
    assert Worded.asked == [CLASSES], "class vectors are kept"


def test_what_cannot_do_it_is_told_and_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Worded, "fails", True)
    space, data = open_workspace(tmp_path / "cache", plugins=[Plugins()]), write(tmp_path / "data")
    report = run(data, out=tmp_path / "run", space=space, extractors={"text": "worded"}, **SETTINGS).report
    assert report.baselines == ()
    assert any("No zero-shot score of text:worded: it has no words" in line for line in report.findings())


def test_extractors_without_words_have_no_row(tmp_path: Path) -> None:
    data = write(tmp_path / "data")
    report = run(data, out=tmp_path / "run", space=open_workspace(tmp_path / "cache"), **SETTINGS).report
    assert report.baselines == ()
    assert "Without training" not in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_nearest_looks_at_angles_and_at_the_mean_alone() -> None:
    means: NDArray[np.float32] = np.asarray([[1, 0], [0.1, 0.2], [-5, 1]], np.float32)
    deviations = np.full((3, 2), 100, np.float32)
    stream = StreamData(StreamInfo("a", "image", 4), np.hstack([means, deviations]), np.ones(3, np.bool_))
    vectors = np.asarray([[100, 0], [0, 1e-3]], np.float32)
    assert nearest(stream, np.arange(3), vectors).tolist() == [0, 1, 1]
