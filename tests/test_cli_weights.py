"""``mer weights``: what there is, where it is, whether it loads as promised. No network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from mer_core.cli.app import run_app
from mer_core.errors import MissingWeightsError, UsageError
from mer_core.plugin import ExtractorSpec, Features, Options, PluginSpec, Sample, TextInput, Weights, hookimpl
from mer_core.registry import discover
from mer_core.weights import locate
from mer_core.workflows.weights import find_weights, list_weights, verify_weights, wanted_weights

TINY = Weights(name="tiny-scale", repo="lab/tiny-scale", bytes=8, licence="MIT", dim=2)
WRONG = Weights(name="tiny-wide", repo="lab/tiny-wide", dim=3)


class ScaleOptions(Options):
    """Options of Scale."""

    model: str = "tiny-scale"
    """Weights."""


class Scale:
    """Text features from a file with two numbers."""

    def __init__(self, options: ScaleOptions, device: str) -> None:
        folder = locate(options.model, (TINY, WRONG)).path
        self.values = np.asarray(json.loads((folder / "config.json").read_text()), np.float32)

    @property
    def dim(self) -> int:
        return len(self.values)

    def extract(self, batch: Sequence[Sample]) -> list[Features]:
        return [Features(self.values * len(sample.text().content)) for sample in batch]


class Plugins:
    """One extractor with two sorts of weights."""

    @hookimpl
    def mer_specs(self) -> list[PluginSpec]:
        return [
            ExtractorSpec(
                name="scale",
                modality="text",
                target=f"{__name__}:Scale",
                options=f"{__name__}:ScaleOptions",
                inputs={"text": TextInput()},
                level="clip",
                weights=(TINY, WRONG),
            )
        ]


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("tiny-scale", "tiny-wide"):
        (tmp_path / "w" / name).mkdir(parents=True)
        (tmp_path / "w" / name / "config.json").write_text("[1.0, 2.0]")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("MER_WEIGHTS", str(tmp_path / "w"))
    return tmp_path / "w"


def test_all_weights_are_listed_with_who_loads_them(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {one.weights.name: one for one in list_weights(discover([Plugins()]))}
    assert found["tiny-scale"].plugins == ("scale@extra",)
    assert found["tiny-scale"].place == prepared / "tiny-scale"
    monkeypatch.delenv("MER_WEIGHTS")
    assert {one.place for one in list_weights(discover([Plugins()])) if "tiny" in one.weights.name} == {None}


def test_a_name_or_a_hub_id_is_meant(prepared: Path) -> None:
    catalogue = discover([Plugins()])
    assert find_weights(catalogue, "tiny-scale") is TINY
    assert find_weights(catalogue, "someone/else").repo == "someone/else"
    with pytest.raises(UsageError, match="tiny-scale"):
        find_weights(catalogue, "tiny-scales")


def test_verifying_loads_them_and_compares(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mer_core.workflows.weights._smoke", lambda *given: [])
    catalogue = discover([Plugins()])
    (good,) = verify_weights(catalogue, "tiny-scale")
    assert (good.plugin, good.dim, good.wrong) == ("scale@extra", 2, ())
    (bad,) = verify_weights(catalogue, "tiny-wide")
    assert bad.wrong == ("dim is 2, and 3 was promised",)
    monkeypatch.delenv("MER_WEIGHTS")
    with pytest.raises(MissingWeightsError, match="mer weights fetch tiny-scale"):
        verify_weights(catalogue, "tiny-scale")


def test_the_command_prints_a_path_or_the_command_that_fetches(
    prepared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (prepared / "own--encoder").mkdir()
    assert run_app(["weights", "path", "own/encoder", "--weights-dir", str(prepared)]) == 0
    assert capsys.readouterr().out.strip() == str(prepared / "own--encoder")
    assert run_app(["weights", "path", "own/other"]) == 3
    assert "mer weights fetch own/other" in capsys.readouterr().err
    assert run_app(["weights", "list", "--json", "--weights-dir", str(prepared)]) == 0
    assert isinstance(json.loads(capsys.readouterr().out), list)
    assert run_app(["weights", "path", "own/encoder", "--weights-dir", str(prepared / "gone")]) == 2


def test_a_preset_stands_for_all_its_weights() -> None:
    found = [one.name for one in wanted_weights(discover(), "standard-zh")]
    assert found == ["chinese-hubert-large", "clip-vit-large-patch14", "chinese-roberta-wwm-ext-large"]
    assert wanted_weights(discover(), "lite") == []
    assert [one.name for one in wanted_weights(discover([Plugins()]), "tiny-scale")] == ["tiny-scale"]
