"""Runs with plugins that say or name things as mer's own do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mer_core import open_workspace, run
from mer_core.config import DataChoice
from mer_core.plugin import DatasetSpec, NoOptions, PluginSpec, TrainerSpec, hookimpl
from mer_core.workflows.data import find_source
from mer_plugins.trainers.cv import CrossValidation


class Silent(CrossValidation):
    """The trainer cv, but its models say nothing about themselves."""

    def fit(self, *args: Any, **more: Any) -> Any:
        model = super().fit(*args, **more)
        model.summary = {}
        return model


class Verse:
    """A data set of one manifest."""

    def __init__(self, options: NoOptions) -> None: ...

    def prepare(self, folder: Path, progress: object = None) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "clips.csv").write_text("id,text,label\na,ab,happy\n", encoding="utf-8")
        return folder / "clips.csv"


class Plugins:
    """Both, and options for the first."""

    @hookimpl
    def mer_specs(self) -> list[PluginSpec]:
        options = "mer_plugins.trainers.options:CvOptions"
        return [
            TrainerSpec(name="silent", target=f"{__name__}:Silent", options=options),
            DatasetSpec(name="verse", target=f"{__name__}:Verse"),
        ]


def test_a_run_needs_no_summary_of_the_trainer(tmp_path: Path, sample_cache: Path) -> None:
    space = open_workspace(sample_cache, plugins=[Plugins()])
    small = {"sample": {"clips": 48}, "silent": {"epochs": 1}}
    result = run("sample", modalities=["text"], trainer="silent", options=small, out=tmp_path / "r", space=space)
    assert result.report.metrics.cv is not None
    assert (result.report.metrics.cv.selection, result.report.metrics.cv.optimistic) == ("unstated", False)
    assert result.report.model.selection == "unstated"
    assert "unstated: see the trainer" in (tmp_path / "r" / "report.html").read_text(encoding="utf-8")


def test_the_name_of_a_data_set_is_not_a_folder_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = open_workspace(tmp_path / "cache", plugins=[Plugins()])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "verse").mkdir()
    assert find_source(DataChoice(source="verse"), space).name == "clips.csv"
    assert find_source(DataChoice(source="./verse"), space) == Path("verse")
