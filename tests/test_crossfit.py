"""Supervised extractors in runs: nobody is scored on features that knew his label, unless the report says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from learners import Learners, Memory, write_texts

from mer_core import open_workspace, predict, run
from mer_core.errors import PluginError, UsageError
from mer_core.workflows.run import RunResult
from mer_core.workflows.workspace import Workspace

CLASSES = ("angry", "happy", "sad")
SMALL: dict[str, Any] = {
    "trainer_options": {"epochs": 60, "lr": 0.005},
    "extractors": {"text": "memory"},
    "modalities": ["text"],
}


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    return open_workspace(tmp_path / "cache", plugins=[Learners()])


@pytest.fixture(scope="module")
def permuted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty clips whose texts say nothing of their labels, and twelve of a test split."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(CLASSES, 24)).tolist()
    return write_texts(tmp_path_factory.mktemp("permuted") / "data", labels, [""] * 60 + ["test"] * 12)


def go(space: Workspace, data: Path, out: Path, **settings: Any) -> RunResult:
    Memory.fitted.clear()
    return run(data, out=out, space=space, **{**SMALL, **settings})


class Folds(NamedTuple):
    """A run with a fit for each fold: where it is, in which workspace, and the texts that each fit has seen."""

    result: RunResult
    out: Path
    space: Workspace
    fitted: list[tuple[str, ...]]


@pytest.fixture(scope="module")
def folds(permuted: Path, tmp_path_factory: pytest.TempPathFactory) -> Folds:
    """Only to be read; whoever fits something else does so in a workspace of his own."""
    top = tmp_path_factory.mktemp("folds")
    space = open_workspace(top / "cache", plugins=[Learners()])
    result = go(space, permuted, top / "run")
    return Folds(result, top / "run", space, list(Memory.fitted))


def waf(result: RunResult) -> float:
    assert result.report.metrics.cv is not None
    return float(result.report.metrics.cv.waf.value or 0)


def test_1_7_cross_fitted_permuted_labels_are_at_chance(folds: Folds) -> None:
    result = folds.result
    assert len(folds.fitted) == 5
    assert waf(result) < 0.5
    section = result.report.metrics.cv
    assert section is not None
    assert (section.contaminated, section.mark) == (0, "")
    assert (result.report.streams[0].fits, result.report.streams[0].fitted) == (5, "fold")


def test_1_7_no_fit_sees_its_folds_validation_part_nor_the_test_split(folds: Folds) -> None:
    result = folds.result
    texts = {clip.id: clip.text for clip in result.extraction.table.clips}
    ids = result.training.data.ids
    for fold, seen in zip(result.training.plan.folds, folds.fitted, strict=True):
        assert {texts[ids[row]] for row in fold.train} == set(seen)
        assert not {texts[ids[row]] for row in fold.val} & set(seen)
    tested = {clip.text for clip in result.extraction.table.clips if clip.split == "test"}
    assert not tested & set().union(*folds.fitted)


def test_1_7_a_single_fit_is_far_above_chance_and_marked(tmp_path: Path, space: Workspace, permuted: Path) -> None:
    result = go(space, permuted, tmp_path / "run", crossfit="single")
    assert len(Memory.fitted) == 1
    assert waf(result) > 0.9
    section, test = result.report.metrics.cv, result.report.metrics.test
    assert section is not None
    assert section.contaminated == 60
    assert test is not None
    assert test.contaminated == 0
    assert any("contaminated" in line for line in result.report.findings())
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "<strong>Contaminated:</strong>" in page
    document = json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))
    assert document["metrics"]["cv"]["contaminated"] == 60


def test_1_7_nested_fits_give_training_clips_features_that_did_not_know_them(
    tmp_path: Path, space: Workspace, permuted: Path, folds: Folds
) -> None:
    result = go(space, permuted, tmp_path / "run", crossfit="nested")
    assert len(Memory.fitted) == 5 * (1 + 4)
    data = result.training.data
    for number, fold in enumerate(data.folds):
        values = data.features("text:memory", number).values
        assert np.abs(values[fold.train]).max() < 1, "no remembered label among the features that are learnt from"
        assert np.abs(values[fold.val]).max() < 1
    assert waf(result) < 0.55
    section = result.report.metrics.cv
    assert section is not None
    assert section.contaminated == 0
    assert not any("could not be nested" in line for line in result.report.findings())
    in_sample = folds.result.training.data
    assert all(
        np.abs(in_sample.features("text:memory", number).values[fold.train]).max() > 2
        for number, fold in enumerate(in_sample.folds)
    )


def test_folds_that_are_too_small_to_be_nested_are_told(tmp_path: Path, space: Workspace) -> None:
    data = write_texts(tmp_path / "data", [*CLASSES] * 2, [""] * 6)
    result = go(space, data, tmp_path / "run", crossfit="nested", folds=2)
    assert len(Memory.fitted) == 2
    assert any("text:memory could not be nested in 2 of 2 folds" in line for line in result.report.findings())


def test_fits_are_found_again(tmp_path: Path, permuted: Path, folds: Folds) -> None:
    second = go(folds.space, permuted, tmp_path / "two")
    assert Memory.fitted == []
    assert folds.result.report.metrics == second.report.metrics
    go(folds.space, permuted, tmp_path / "three", seed=1, trainer_options={"epochs": 1})
    assert len(Memory.fitted) == 5, "another seed is another fit"


def test_1_7_a_model_predicts_with_the_fits_of_its_folds(tmp_path: Path, permuted: Path, folds: Folds) -> None:
    result, model = folds.result, folds.out / "model"
    assert len(list((model / "fitted").iterdir())) == 5
    fresh = open_workspace(tmp_path / "elsewhere", plugins=[Learners()])
    found = predict(model, permuted, space=fresh)
    everybody = {row.prediction.id: row for row in result.rows}
    tested = [one for one in found.predictions if everybody[one.id].prediction.id in _tested(result)]
    assert len(tested) == 12
    for one in tested:
        expected = everybody[one.id].prediction.probabilities
        assert one.probabilities == pytest.approx(expected, abs=1e-6)
    facts = json.loads((model / "fitted" / "0-0" / "state.json").read_text(encoding="utf-8"))
    assert (facts["keys"], facts["classes"]) == ([], list(CLASSES))


def _tested(result: RunResult) -> set[str]:
    return {clip.id for clip in result.extraction.table.clips if clip.split == "test"}


def test_refitting_leaves_one_model_and_says_so(tmp_path: Path, permuted: Path, folds: Folds) -> None:
    refitted = go(folds.space, permuted, tmp_path / "refit", deploy="refit")
    assert [len(seen) for seen in Memory.fitted] == [60]
    assert waf(refitted) == waf(folds.result), "the score is that of the folds"
    assert refitted.report.model.deployed == "refit"
    (told,) = (line for line in refitted.report.findings() if "fitted to all labelled clips afterwards" in line)
    assert told.endswith("The test split was scored with the saved model.")
    found = predict(tmp_path / "refit" / "model", permuted, space=folds.space)
    learnt = {clip.id: clip.label for clip in refitted.extraction.table.clips if clip.split != "test"}
    right = [one.label == learnt[one.id] for one in found.predictions if one.id in learnt]
    assert np.mean(right) > 0.95, "it knows all that it was fitted to"


def test_beside_other_streams(tmp_path: Path, space: Workspace, permuted: Path) -> None:
    result = go(space, permuted, tmp_path / "run", extractors={"text": "memory,letters"})
    assert [stream.name for stream in result.report.streams] == ["text:letters", "text:memory"]
    assert [stream.fits for stream in result.report.streams] == [0, 5]
    assert waf(result) < 0.5


def test_what_cannot_be_fitted_is_refused(tmp_path: Path, space: Workspace, permuted: Path) -> None:
    from mer_core import extract

    with pytest.raises(PluginError, match="learns from labels, and nothing was fitted"):
        extract(permuted, space=space, modalities=["text"], extractors={"text": "memory"})
    with pytest.raises(UsageError, match="letters does not learn from labels"):
        go(space, permuted, tmp_path / "a", extractors={"text": "letters"}, fitted={"letters": tmp_path})
    with pytest.raises(UsageError, match="no extractor 'memry'"):
        go(space, permuted, tmp_path / "b", fitted={"memry": tmp_path})
