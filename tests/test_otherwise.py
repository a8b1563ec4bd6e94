"""Models and the weights they were trained with: other weights are refused, and the report says which they were."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shelf_plugin import Shelf

from mer_core import Workspace, open_workspace, predict, run
from mer_core.content import content_digest
from mer_core.errors import DataError
from mer_core.plugin import (
    Derived,
    DerivedInput,
    DeriverSpec,
    ExtractorSpec,
    Features,
    NoOptions,
    Options,
    Sample,
    TextInput,
)

HERE = "test_otherwise"
CLIPS = "id,text,label,speaker\na,so,happy,w\nb,no,sad,x\nc,hm,happy,y\nd,ah,sad,z\n"
TEXT = {"text": TextInput()}


class ScaleOptions(Options):
    """Options of the extractor below."""

    weights: Path
    """A file with one number."""
    batch: int = 1
    """Changes nothing."""

    def fingerprint(self) -> Mapping[str, Any]:
        return {"weights": content_digest(self.weights), "batch": None, "tables": self.weights.stat().st_size}


class Scale:
    """Multiplies by what its weights say."""

    dim = 2

    def __init__(self, options: ScaleOptions, device: str) -> None:
        self.factor = float(options.weights.read_text())

    def extract(self, batch: Sequence[Sample]) -> list[Features]:
        lengths = [len(sample.text().content) for sample in batch]
        return [Features(np.array([n, n * self.factor], np.float32)) for n in lengths]


class MarkOptions(Options):
    """Options of the deriver below."""

    sign: str = "!"
    """What it looks for."""


class Marks:
    """Counts signs."""

    def __init__(self, options: MarkOptions, device: str) -> None:
        self.sign = options.sign

    def derive(self, batch: Sequence[Sample]) -> list[Derived]:
        return [Derived({"n": np.array([s.text().content.count(self.sign)])}) for s in batch]


class Reader:
    """Tells what was counted."""

    dim = 1

    def __init__(self, options: NoOptions, device: str) -> None: ...

    def extract(self, batch: Sequence[Sample]) -> list[Features]:
        return [Features(sample.derived("marks").arrays["n"].astype(np.float32)) for sample in batch]


SPECS = [
    ExtractorSpec(
        name="scale",
        modality="text",
        target=f"{HERE}:Scale",
        options=f"{HERE}:ScaleOptions",
        inputs=TEXT,
        level="clip",
        weights_licence="MIT",
    ),
    ExtractorSpec(
        name="reader", modality="text", target=f"{HERE}:Reader", inputs={"marks": DerivedInput("marks")}, level="clip"
    ),
    DeriverSpec(name="marker", produces="marks", target=f"{HERE}:Marks", options=f"{HERE}:MarkOptions", inputs=TEXT),
]


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    (tmp_path / "clips.csv").write_text(CLIPS, encoding="utf-8")
    (tmp_path / "w.txt").write_text("2")
    (tmp_path / "other.txt").write_text("3")
    return open_workspace(tmp_path / "cache", plugins=[Shelf(SPECS)])


def trained(space: Workspace, folder: Path, extractors: str, options: Sequence[str] = ()) -> Any:
    return run(
        folder / "clips.csv",
        out=folder / "run",
        space=space,
        modalities=["text"],
        extractors={"text": extractors},
        options=options,
        folds=2,
        device="cpu",
        trainer_options={"epochs": 1},
    ).report


@pytest.fixture
def scaled(space: Workspace, tmp_path: Path) -> Any:
    return trained(space, tmp_path, "scale", [f"scale.weights={tmp_path / 'w.txt'}"])


def asked(space: Workspace, folder: Path, *options: str) -> tuple[str, ...]:
    return predict(folder / "run" / "model", folder / "clips.csv", options=options, device="cpu", space=space).warnings


def test_the_report_says_which_weights_were_used(scaled: Any) -> None:
    assert scaled.provenance.weights == {
        "text:scale.weights": hashlib.sha256(b"2").hexdigest(),
        "text:scale.tables": "1",
    }
    from mer_core.report.html import render_html

    page = render_html(scaled)
    assert "No pretrained weights were used." not in page
    assert "Licence, text:scale" in page
    assert hashlib.sha256(b"2").hexdigest() in page


def test_other_weights_under_the_same_name_are_refused(scaled: Any, space: Workspace, tmp_path: Path) -> None:
    assert asked(space, tmp_path) == ()
    (tmp_path / "w.txt").write_text("3")
    with pytest.raises(DataError) as caught:
        asked(space, tmp_path)
    assert caught.value.message == "scale.weights (w.txt) is not the file that this model was trained with."
    assert caught.value.hint == "Give that file with -o scale.weights=..., or train again."


def test_weights_that_are_given_now_are_told(scaled: Any, space: Workspace, tmp_path: Path) -> None:
    for owner in ("scale", "text:scale", "scale@extra"):
        (told,) = asked(space, tmp_path, f"{owner}.weights={tmp_path / 'other.txt'}")
        assert told.endswith("made otherwise: text:scale has other options (weights).")
    (tmp_path / "moved.txt").write_text("2")
    assert asked(space, tmp_path, f"scale.weights={tmp_path / 'moved.txt'}") == ()


def test_what_is_no_option_is_refused_by_its_name(scaled: Any, space: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "run" / "model" / "pipeline.json"
    document = json.loads(file.read_text(encoding="utf-8"))
    document["about"]["text:scale"]["options"]["tables"] = 7
    document["fingerprints"]["text:scale"] = "other"
    file.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(DataError, match="scale: 'tables' is not what it was when this model was trained"):
        asked(space, tmp_path)


def test_a_model_without_these_facts_is_only_told(scaled: Any, space: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "run" / "model" / "pipeline.json"
    document = json.loads(file.read_text(encoding="utf-8"))
    del document["about"]
    file.write_text(json.dumps(document), encoding="utf-8")
    assert asked(space, tmp_path) == ()
    (tmp_path / "w.txt").write_text("3")
    (told,) = asked(space, tmp_path)
    assert told.startswith("Another version of the decoder")


def test_another_deriver_or_decoder_is_only_told(
    space: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(space, tmp_path, "reader")
    (told,) = asked(space, tmp_path, "marker.sign=?")
    assert told.endswith("made otherwise: text:reader has other marks.")
    monkeypatch.setattr("mer_core.workflows.jobs.DECODER_VERSION", "99")
    (told,) = asked(space, tmp_path)
    assert told.endswith("made otherwise: text:reader has other marks and another decoder.")
