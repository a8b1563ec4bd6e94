"""Competition of modalities: models of one modality beside the fusion, in the report and in the terminal."""

from __future__ import annotations

import dataclasses
import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import mer_core
from mer_core.cli.rivals import competition
from mer_core.errors import PluginError
from mer_core.evaluation import Interval, SubsetScore
from mer_core.report.html import render_html
from mer_core.report.model import RunReport
from mer_core.report.rivals import Alone, Rival, rivals, sentences
from mer_core.report.words import bounds, number
from mer_core.workflows import competition as work
from mer_core.workflows.competition import only
from mer_core.workflows.workspace import open_workspace

COUNT = 90


def features(folder: Path) -> Path:
    """Speech tells the class at once; text tells it too, and needs longer to be learnt. Six speakers."""
    rng = np.random.default_rng(0)
    labels = np.arange(COUNT) % 3
    speech = np.eye(3)[labels] * 6 + rng.normal(0, 0.3, (COUNT, 3))
    text = rng.normal(0, 1, (COUNT, 12))
    text[:, :3] += np.eye(3)[labels] * 1.5
    speaker = np.asarray([f"s{n % 6}" for n in rng.permutation(COUNT)])
    names = np.asarray(["angry", "happy", "sad"])[labels]
    np.savez(folder / "f.npz", speech=speech.astype("f4"), text=text.astype("f4"), labels=names, speaker=speaker)
    return folder / "f.npz"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> RunReport:
    folder = tmp_path_factory.mktemp("competition")
    options = {"epochs": 40, "modality_dropout": 0.0, "batch_size": 16, "lr": 3e-3}
    return mer_core.run(
        features=features(folder),
        streams=["speech", "text"],
        out=folder / "run",
        space=open_workspace(folder / "cache"),
        folds=3,
        competition=True,
        fusion_options={"hidden": 16, "dropout": 0.0},
        trainer_options=options,
    ).report


def test_a_run_reports_each_modality_alone(report: RunReport) -> None:
    speech, text = report.competition
    by_name = {frozenset(one.modalities): one for one in report.subsets}
    assert (speech.modality, text.modality) == ("speech", "text")
    assert text.masked.value == speech.without.value == by_name[frozenset({"text"})].waf
    assert text.added.value == by_name[frozenset({"speech"})].gain.value
    everything = by_name[frozenset({"speech", "text"})].waf
    for one in report.competition:
        assert one.shortfall.value == pytest.approx(one.alone.value - one.masked.value)
        assert one.gain.value == pytest.approx(everything - one.alone.value)
        assert one.shortfall.low <= one.shortfall.value <= one.shortfall.high
    assert speech.alone.value > 0.95
    assert text.under_used, text


def test_it_is_said_in_words_html_and_terminal(report: RunReport) -> None:
    assert any(line.startswith("Text is under-used: trained on it alone") for line in report.findings())
    page = render_html(report)
    assert "Each modality alone, and in the fusion (WAF)" in page
    for one in report.competition:
        for found in (one.alone, one.masked, one.without):
            assert found is not None
            assert f'<td class="n">{number(found.value)}, {bounds(found)}</td>' in page
    console = Console(file=StringIO(), width=140)
    console.print(competition(report.competition))
    assert "trained alone" in console.file.getvalue()
    document = report.document()["competition"]
    assert [one["modality"] for one in document] == ["speech", "text"]
    assert RunReport.model_validate(json.loads(json.dumps(report.document()))).competition == report.competition


def test_without_asking_there_are_only_the_subsets(report: RunReport) -> None:
    plain = report.model_copy(
        update={"competition": tuple(one.model_copy(update={"alone": None}) for one in report.competition)}
    )
    assert "Each modality alone" not in render_html(plain)


def subset(*names: str, waf: float, gain: float) -> SubsetScore:
    return SubsetScore(modalities=names, n=9, waf=Interval(waf, waf - 0.1, waf + 0.1), gain=Interval(gain, -0.1, 0.3))


SUBSETS = (
    subset("speech", "text", "video", waf=0.6, gain=0.0),
    subset("speech", "text", waf=0.5, gain=0.1),
    subset("speech", "video", waf=0.55, gain=0.05),
    subset("text", "video", waf=0.3, gain=0.3),
    subset("speech", waf=0.45, gain=0.15),
    subset("text", waf=0.25, gain=0.35),
    subset("video", waf=0.2, gain=0.4),
)


def test_lines_are_made_of_subsets_that_are_scored_already() -> None:
    found = rivals(("speech", "text", "image", "video"), SUBSETS)
    assert [one.modality for one in found] == ["speech", "text", "video"]
    assert [one.masked.value for one in found] == [0.45, 0.25, 0.2]
    assert [one.without.value for one in found] == [0.3, 0.55, 0.5]
    assert [one.added.value for one in found] == [0.3, 0.05, 0.1]
    assert all(one.alone is None and not one.under_used for one in found)
    assert list(sentences(found)) == []
    assert rivals(("speech",), SUBSETS[4:5]) == rivals(("speech",), ()) == ()


def test_only_what_is_beyond_chance_is_said() -> None:
    better = Alone(
        modality="text",
        waf=Interval(0.7, 0.6, 0.8),
        shortfall=Interval(0.45, 0.2, 0.6),
        gain=Interval(-0.1, -0.2, -0.01),
    )
    unsure = Alone(
        modality="video", waf=Interval(0.3, 0.2, 0.4), shortfall=Interval(0.1, -0.1, 0.3), gain=Interval(0.3, 0.1, 0.5)
    )
    failed = Alone(modality="speech", reason="it raised")
    found = rivals(("speech", "text", "video"), SUBSETS, (better, unsure, failed))
    assert [one.under_used for one in found] == [False, True, False]
    first, second = sentences(found)
    assert first.startswith(
        "Text is under-used: trained on it alone, a model reaches WAF 0.700; the fusion, given text"
    )
    assert "difference +0.450, 0.200 to 0.600" in first
    assert second.startswith("The fusion loses to a model of text alone: WAF 0.700")
    assert Rival(modality="x").under_used is False


def test_a_modality_that_cannot_be_trained_alone_costs_the_run_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*args: object) -> None:
        raise PluginError("the fusion wants two streams.")

    monkeypatch.setattr(work, "train_rows", failing)
    found = mer_core.run(
        features=features(tmp_path),
        streams=["speech", "text"],
        out=tmp_path / "run",
        space=open_workspace(tmp_path / "cache"),
        folds=3,
        competition=True,
        trainer_options={"epochs": 1},
        fusion_options={"hidden": 4},
    ).report
    assert "No model was trained on text alone: the fusion wants two streams." in found.warnings
    assert [one.alone for one in found.competition] == [None, None]


def test_one_modality_of_the_features_is_kept_with_its_folds() -> None:
    found = mer_core.compose({"speech:a": np.ones((4, 2)), "text": np.ones((4, 3))}, ["x", "y"] * 2)
    inner = {0: {"text": found.table["text"]}}
    text = only(dataclasses.replace(found, fold_tables=inner), "text")
    assert (list(text.streams), list(text.fold_tables[0])) == (["text"], ["text"])
    assert only(dataclasses.replace(found, fold_tables=inner), "speech").fold_tables == {0: {}}
