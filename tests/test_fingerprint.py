"""What an options class says of its weights files decides whether stored features still count."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import field_validator

from mer_core.configure import make_config
from mer_core.errors import OptionError
from mer_core.options import NoOptions, Options, validate
from mer_core.plugin import DeriverSpec, ExtractorSpec, FramesInput, PluginSpec, TextInput, hookimpl
from mer_core.registry import Catalogue, discover
from mer_core.workflows.jobs import build_jobs


class WeightsOptions(Options):
    """Options of a plugin with a weights file."""

    model: Path
    """The file."""
    threads: int = 1
    """Changes no result."""
    size: int = 8
    """Changes the results."""

    def fingerprint(self) -> Mapping[str, Any]:
        """The file's content instead of its path; the number of threads does not matter."""
        return {"model": hashlib.sha256(self.model.read_bytes()).hexdigest(), "threads": None}


class PickyOptions(Options):
    """Options whose validators speak for themselves."""

    model: str = "x.onnx"
    sides: int = 4

    @field_validator("model")
    @classmethod
    def _there(cls, value: str) -> str:
        if value == "No/Such.onnx":
            raise OptionError(f"there is no file {value}.", "Give one.")
        return value

    @field_validator("sides")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise ValueError(f"{value} sides, but Model.onnx wants an even number")
        return value


class Weighty:
    """An extractor, or deriver, that is never asked to work."""

    dim = 1

    def __init__(self, options: WeightsOptions, device: str) -> None:
        self.options = options


def catalogue() -> Catalogue:
    here = {"target": f"{__name__}:Weighty", "options": f"{__name__}:WeightsOptions"}
    text = ExtractorSpec(name="weighty", modality="text", inputs={"text": TextInput()}, **here)
    crops = ExtractorSpec(
        name="crops", modality="image", inputs={"frames": FramesInput(faces=True, size=8)}, target=here["target"]
    )
    finder = DeriverSpec(name="finder", produces="faces", inputs={"frames": FramesInput(fps=1)}, **here)

    class Plugin:
        @hookimpl
        def mer_specs(self) -> list[PluginSpec]:
            return [text, crops, finder]

    return discover([Plugin()])


def jobs(owner: str, **options: Any) -> Any:
    """Jobs and derivers of a run whose extractor ``weighty``, or whose deriver ``finder``, has ``options``."""
    plugins = catalogue()
    chosen: dict[str, Any] = {"extractors": {"text": owner}, "modalities": ["text"]}
    if owner == "finder":
        chosen = {"extractors": {"image": "crops"}, "modalities": ["image"], "faces": owner}
    return build_jobs(make_config(plugins, data="clips.csv", options={owner: options}, **chosen), plugins)


def fingerprint(**options: Any) -> str:
    ((job,), _) = jobs("weighty", **options)
    return str(job.fingerprint)


def test_other_content_under_the_same_name_is_another_model(tmp_path: Path) -> None:
    file = tmp_path / "model.bin"
    file.write_bytes(b"one")
    before = fingerprint(model=str(file))
    assert fingerprint(model=str(file)) == before
    file.write_bytes(b"two")
    assert fingerprint(model=str(file)) != before


def test_the_same_content_elsewhere_is_the_same_model(tmp_path: Path) -> None:
    for name in ("a.bin", "b.bin"):
        (tmp_path / name).write_bytes(b"one")
    one, other = (fingerprint(model=str(tmp_path / name)) for name in ("a.bin", "b.bin"))
    assert one == other
    assert fingerprint(model=str(tmp_path / "a.bin"), threads=4) == one
    assert fingerprint(model=str(tmp_path / "a.bin"), size=9) != one


def test_options_that_say_nothing_keep_their_values(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"one")
    ((job,), _) = jobs("weighty", model=str(tmp_path / "model.bin"))
    assert job.about["options"] == {"model": hashlib.sha256(b"one").hexdigest(), "threads": None, "size": 8}
    assert NoOptions().fingerprint() == {}


def test_a_derivers_weights_count_for_the_streams_that_read_it(tmp_path: Path) -> None:
    file = tmp_path / "finder.bin"
    found = []
    for content in (b"one", b"two"):
        file.write_bytes(content)
        (job,), derivers = jobs("finder", model=str(file))
        found.append((job.fingerprint, derivers["faces"].fingerprint))
    assert found[0][0] != found[1][0]
    assert found[0][1] != found[1][1]


def test_weights_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"weighty@extra: .*gone\.bin cannot be read: No such file"):
        fingerprint(model=str(tmp_path / "gone.bin"))


def test_validators_keep_their_own_words() -> None:
    with pytest.raises(OptionError, match=r"there is no file No/Such.onnx\. Give one\."):
        validate(PickyOptions, {"model": "No/Such.onnx"}, "picky")
    with pytest.raises(OptionError, match=r"picky: option sides: 3 sides, but Model\.onnx wants an even number"):
        validate(PickyOptions, {"sides": 3}, "picky")
