"""The checks for extractors: each broken extractor of the shelf is caught by its check and no other."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, ClassVar

import numpy as np
import pytest
from pydantic import DirectoryPath, Field, FilePath
from shelf import Shelf, extractors
from shelf.bench import PROCESSES, depending_on, outcomes, prepare, stay_in_this_process

from mer_core.feature_set import Level
from mer_core.plugin import (
    Derived,
    DerivedInput,
    ExtractorSpec,
    Features,
    FramesInput,
    Missing,
    Options,
    content_digest,
)
from mer_core.registry import discover
from mer_core.testing import Report, check_plugin, checks, common
from mer_core.testing.extractor import right_shape
from mer_core.testing.inputs import Maker, Scene

NAMES = {check.name for check in checks("extractor")}


@pytest.fixture(scope="module")
def listed() -> dict[str, Any]:
    return {}


@pytest.fixture(autouse=True)
def prepared(monkeypatch: pytest.MonkeyPatch, listed: dict[str, Any]) -> None:
    prepare(monkeypatch, listed)


def examine(name: str, **more: Any) -> Report:
    return check_plugin(name, kind="extractor", plugins=[extractors.SHELF, extractors.HEAVY], **more)


@pytest.mark.parametrize("good", [made.__name__.lower() for made in extractors.GOOD])
def test_a_good_extractor_passes_everything(good: str) -> None:
    report = examine(good)
    assert report.ok, str(report)
    assert set(outcomes(report).values()) <= {"passed", "skipped"}


@pytest.mark.parametrize("name", [made.__name__.lower() for made in extractors.POSITIONED])
def test_positions_and_normalisation_per_clip_are_no_padding(name: str) -> None:
    assert examine(name, only=("padding",)).ok


def test_together_the_good_ones_pass_every_check_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    stay_in_this_process(monkeypatch)
    reports = [outcomes(examine(name)) for name in ("streaming", "learning")]
    passed = {check for found in reports for check, outcome in found.items() if outcome == "passed"}
    assert passed == NAMES


@pytest.mark.parametrize(("name", "check"), sorted(extractors.BROKEN.items()))
def test_a_broken_extractor_is_caught_by_its_check_alone(
    name: str, check: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if check not in PROCESSES:
        stay_in_this_process(monkeypatch)
    report = examine(name)
    assert report.failed == (check,), str(report)
    blocked = {found for found, outcome in outcomes(report).items() if outcome == "blocked"}
    assert blocked <= depending_on(check, "extractor")


def test_every_check_has_a_plugin_that_only_it_catches() -> None:
    assert set(extractors.BROKEN.values()) | {"light-import"} == NAMES


@pytest.mark.parametrize(
    ("shape", "timed", "level", "said"),
    [
        ((7,), False, "frame", 'write level="clip" in the spec'),
        ((3, 7), False, "frame", "Give the time of each frame"),
        ((3, 8), True, "frame", "Correct dim"),
        ((1, 7), False, "clip", "Return Features(vector)"),
        ((3, 7), True, "clip", 'leave level="clip" out'),
        ((8,), False, "clip", "Correct dim"),
    ],
)
def test_what_to_do_about_features_of_another_shape(
    shape: tuple[int, ...], timed: bool, level: Level, said: str
) -> None:
    features = Features(np.zeros(shape, np.float32), np.arange(float(shape[0])) if timed else None)
    assert said in right_shape(features, level)


def reason(name: str, check: str) -> str:
    """What ``check`` says about ``name``."""
    found = {result.check: result.reason for result in examine(name, only=(check,)).results}
    return found[check]


@pytest.mark.parametrize(
    ("name", "check", "said"),
    [
        (
            "heavy",
            "light-import",
            "importing shelf.heavy, which lists the specs, also imports numpy: every mer command",
        ),
        ("undescribedsound", "options", "no description of gain: write a docstring below each field"),
        ("forgivingsound", "options", "ForgivingOptions accepts the unknown option 'no_such_option'"),
        (
            "stalesound",
            "options",
            "the option weights is a path, but not in fingerprint(): other content under the same path would reuse old "
            'features. Define fingerprint() with `return {"weights": content_digest(self.weights)}`',
        ),
        ("obscuresound", "options", "fingerprint() returned what JSON cannot hold (Object of type set"),
        (
            "absent",
            "starts",
            "extract answered Missing('no speech') to a clip of 3 s (ordinary, seed 0), where Features",
        ),
        ("unstartablesound", "starts", "raised FileNotFoundError: weights.bin (shelf/faults.py, line "),
        ("untyped", "starts", "extract answered ndarray: return Features(values, times), not the array."),
        ("tensors", "starts", "Features.values are a torch.Tensor, not a numpy array: return values.float().cpu()"),
        ("tensortimes", "starts", "Features.times are a torch.Tensor, not a numpy array: return times.cpu().numpy()"),
        ("yielding", "starts", "extract returned a list_iterator, not a list: return [answer, ...]"),
        ("wide", "dimension", "returned 3 columns, but dim is 4. Correct dim"),
        ("late", "dimension", "dim is None before the first clip"),
        (
            "dimensionless",
            "dimension",
            "dim is None before the first clip: give the class an attribute or property dim",
        ),
        ("milliseconds", "times", "times run from 25 to 2975, but the clip from 0 to 3 s"),
        ("minutes", "times", "but the clip has something to see and hear until 3 s"),
        ("windowed", "short", "a clip of 1 sample (0.2 ms): 10 frames, but a clip of 3 s has 60. Cut off"),
        ("forgettingsound", "order", "returned 4 answers for 5 clips"),
        ("reversingsound", "order", "answer 0 of a batch is that of clip 4"),
        ("unguarded", "batch-invariance", "a clip of 1 sample beside one of 2 s: features [3], but alone Failure"),
        (
            "overlapping",
            "batch-invariance",
            "Only the ends of clips differ: windows or convolutions look past them",
        ),
        ("overlapping", "batch-invariance", ", most at the last frame, 1.98 s ("),
        ("leaking", "batch-invariance", "Leave the padding of a batch out of every mean"),
        ("noisysound", "determinism", "Is the model in eval()? Dropout is random. The same instance, asked again"),
        ("padded", "padding", "from 9.9 s to 10.2 s of a steady clip the mean features move"),
        (
            "fixed",
            "padding",
            "from 9.9 s to 5.25 s they move 94% of the way that half silence moves them, in its direction; padding to "
            "a fixed length moves them 94%. Usual cause",
        ),
        ("paddedpositions", "padding", "announce it: --expect padding='absolute positions'"),
        ("paddedpictures", "padding", "from 16 frames to 17 frames of a steady clip"),
        ("demandingsound", "short", "ValueError: kernel size can't be greater than input size (shelf/faults.py, line"),
        ("overwritingsound", "inputs-unchanged", "extract changed audio.samples of the sample"),
        ("logarithmic", "finite", "cells are NaN or infinite. Guard logarithms"),
        ("repeating", "stream", "extract_stream answered clip-1 more than once"),
        ("dropping", "stream", "extract_stream answered 4 of 5 clips (not clip-0)"),
        ("listing", "restore", "noise of the state is no numpy array of numbers"),
    ],
)
def test_a_finding_says_what_is_wrong_and_what_to_do(name: str, check: str, said: str) -> None:
    assert said in reason(name, check)


def test_options_that_need_a_framework_are_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tensorflow.py").write_text("")
    (tmp_path / "framed.py").write_text(
        "import tensorflow\nfrom mer_core.plugin import Options\nclass FramedOptions(Options):\n    pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    spec = ExtractorSpec(
        name="framed", target="shelf.extractors:Sound", options="framed:FramedOptions", modality="test"
    )
    monkeypatch.setitem(sys.modules, "tensorflow", ModuleType("tensorflow"))  # gone again after the test
    report = check_plugin("framed", plugins=[Shelf(spec)], only=("light-import",))
    assert report.failed == ("light-import",)
    assert "importing framed, which has the options class, also imports tensorflow" in report.results[0].reason


class FiledOptions(Options):
    left_out: ClassVar[tuple[str, ...]] = ()
    weights: FilePath
    """Weights."""
    notes: Annotated[DirectoryPath | None, Field(strict=False)] = None
    """A folder that changes nothing."""
    layers: tuple[Path, ...] = ()
    """More weights."""

    def fingerprint(self) -> Mapping[str, Any]:
        return {"weights": content_digest(self.weights), **dict.fromkeys(self.left_out)}


class CarefulOptions(FiledOptions):
    """All paths are in its fingerprint."""

    left_out: ClassVar[tuple[str, ...]] = ("notes", "layers")


@pytest.mark.parametrize(
    ("cls", "more", "said"),
    [
        (FiledOptions, {"layers": [__file__]}, "the option layers is a path"),
        (FiledOptions, {}, ""),
        (FiledOptions, {"notes": "."}, "the option notes is a path"),
        (CarefulOptions, {"notes": ".", "layers": [__file__]}, ""),
    ],
)
def test_what_paths_hold_is_part_of_the_fingerprint(cls: type[Options], more: dict[str, Any], said: str) -> None:
    spec = ExtractorSpec(
        name="filed", target="shelf.extractors:Sound", options=f"{__name__}:{cls.__name__}", modality="test"
    )
    report = check_plugin("filed", plugins=[Shelf(spec)], only=("options",), options={"weights": __file__, **more})
    assert report.ok is not bool(said), str(report)
    assert said in report.results[0].reason


def test_what_a_plugin_raises_is_told_with_its_line_and_the_usual_cure() -> None:
    told = reason("unstartablesound", "starts")
    assert told.startswith("UnstartableSound(options, 'cpu') raised FileNotFoundError: weights.bin (shelf/faults.py")
    assert ", in __init__). Usual cure: take `(options, device)` and be ready" in told
    told = reason("demandingsound", "short")
    assert " on a clip of 1 frame (ordinary, seed 2). Usual cure: pad to the model's window, or return" in told


def test_a_star_import_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "starred.py").write_text(
        "from mer_core.plugin import *\n\n@hookimpl\ndef mer_specs():\n"
        "    return [ExtractorSpec(name='starred', target='a:B', modality='test')]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(common, "loaded_by", lambda modules: [["torch", "numpy"]])
    report = check_plugin("starred", plugins=[import_module("starred")], only=("light-import",))
    monkeypatch.delitem(sys.modules, "starred")
    assert report.results[0].reason == (
        "importing starred, which lists the specs, also imports torch, numpy: every mer command pays for that. The "
        "'from mer_core.plugin import *' in starred takes all names there are, those that load torch too: import by "
        "name what is used, e.g. 'from mer_core.plugin import FusionSpec, hookimpl'."
    )


def maker(**more: Any) -> Maker:
    return Maker(discover(), {"faces": DerivedInput("faces"), "talk": DerivedInput("talk", optional=True)}, **more)


def test_a_derived_input_comes_from_an_installed_deriver_or_a_stand_in() -> None:
    found = maker().sample(Scene(seconds=1.0)).inputs
    assert found["faces"].arrays["points"].shape[1:] == (2, 2)
    assert isinstance(found["talk"], Missing)
    stand_in = Derived({})
    assert maker(derived={"faces": stand_in}).sample(Scene(seconds=1.0)).derived("faces") == stand_in


@pytest.mark.parametrize(
    ("wanted", "shape"),
    [
        (FramesInput(fps=5), (15, 120, 160, 3)),
        (FramesInput(), (75, 120, 160, 3)),
        (FramesInput(fps=60, max_side=80), (75, 60, 80, 3)),
        (FramesInput(count=8), (8, 120, 160, 3)),
        (FramesInput(fps=2, faces=True, size=64), (6, 64, 64, 3)),
        (FramesInput(count=4, faces=True), (4, 128, 128, 3)),
    ],
)
def test_frames_are_made_as_declared(wanted: FramesInput, shape: tuple[int, ...]) -> None:
    frames = Maker(discover(), {"frames": wanted}).sample(Scene()).frames()
    assert frames.images.shape == shape
    assert len(frames.times) == shape[0]
    assert 0 <= frames.times[0] <= frames.times[-1] < 3
    assert (frames.images[0] != frames.images[-1]).any()
