"""Runs whose fusion, trainer, model or data set breaks, and runs that a plugin fails with every clip of."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from pydantic import field_validator
from shelf_plugin import Shelf

from mer_core import Workspace, compose, extract, fit, open_workspace, run
from mer_core.configure import make_config
from mer_core.errors import PluginError, UsageError
from mer_core.plugin import (
    DatasetSpec,
    Derived,
    DerivedInput,
    DeriverSpec,
    ExtractorSpec,
    Features,
    FusionSpec,
    NoOptions,
    Options,
    Sample,
    StreamInfo,
    TextInput,
    TrainerSpec,
)
from mer_core.workflows.plan import plan_run
from mer_plugins.fusion.concat import Concat
from mer_plugins.fusion.options import ConcatOptions
from mer_plugins.trainers.cv import CrossValidation
from mer_plugins.trainers.model import FusionModel

HERE = "test_plugin_errors"
CLIPS = "id,text,label,speaker\na,so,happy,w\nb,no,sad,x\nc,hm,happy,y\nd,ah,sad,z\n"


class Width(Options):
    """Options of the fusion below."""

    width: int = 64
    """Of its attention."""


class Token:
    """A fusion that refuses widths that its heads do not divide, as torch's attention does."""

    def __init__(self, options: Width) -> None:
        self.options = options

    def build(self, streams: Mapping[str, StreamInfo], targets: object) -> torch.nn.Module:
        return torch.nn.MultiheadAttention(self.options.width, 4)


class Picky(Options):
    """Options whose own code breaks."""

    parts: int = 2
    """Of the hidden state."""

    @field_validator("parts")
    @classmethod
    def _share(cls, value: int) -> int:
        return 1 // value and value


class Nothing:
    """A fusion whose build returns nothing."""

    def __init__(self, options: NoOptions) -> None: ...

    def build(self, streams: object, targets: object) -> None: ...


class Fixed(Concat):
    """A fusion for streams of eight columns, as those below have them."""

    def __init__(self, options: NoOptions) -> None:
        super().__init__(ConcatOptions())

    def build(self, streams: Mapping[str, StreamInfo], targets: Any) -> Any:
        wrong = [info.dim for info in streams.values() if info.dim != 8]
        if wrong:
            raise ValueError(f"pretrained for 8 columns, not {wrong[0]}")
        return super().build(streams, targets)


class Unable:
    """A trainer that cannot start."""

    def __init__(self, options: NoOptions, device: str) -> None:
        raise ValueError("no licence")


class Plain(CrossValidation):
    """The trainer cv, without its options."""

    def __init__(self, options: NoOptions, device: str) -> None:
        from mer_plugins.trainers.options import CvOptions

        super().__init__(CvOptions(epochs=1), device)


class Narrow(FusionModel):
    """A model that forgets a class."""

    def predict(self, *args: Any, **more: Any) -> Any:
        return super().predict(*args, **more)[:, 1:]


class Forgetful(Plain):
    """A trainer whose models forget a class, or break, by the seed."""

    def fit(self, fusion: Any, data: Any, seed: int, progress: Any = None) -> Any:
        if seed == 1:
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
        found = super().fit(fusion, data, seed, progress)
        found.__class__ = Narrow
        return None if seed == 2 else found


class Broken:
    """A data set that cannot be made."""

    def __init__(self, options: NoOptions) -> None: ...

    def prepare(self, folder: Path, progress: object = None) -> Path:
        return Path(str({}["url"]))


class Letters:
    """An extractor of eight columns that counts how often it was made, and used."""

    made: ClassVar[list[str]] = []
    dim = 8

    def __init__(self, options: NoOptions, device: str) -> None:
        self.made.append("made")

    def extract(self, batch: Sequence[Sample]) -> list[Features]:
        self.made.append("used")
        return [Features(np.resize([float(len(s.text().content)), 1.0], 8).astype(np.float32)) for s in batch]


class Wide(Letters):
    """Returns fewer columns than it says."""

    dim = 9


class Marks:
    """Makes the artefact ``marks``."""

    def __init__(self, options: NoOptions, device: str) -> None: ...

    def derive(self, batch: Sequence[Sample]) -> list[Derived]:
        return [Derived({"n": np.asarray([len(s.text().content)])}) for s in batch]


TEXT = {"text": TextInput()}
SPECS = [
    FusionSpec(name="token", target=f"{HERE}:Token", options=f"{HERE}:Width"),
    FusionSpec(name="nothing", target=f"{HERE}:Nothing"),
    FusionSpec(name="fixed", target=f"{HERE}:Fixed"),
    FusionSpec(name="picky", target=f"{HERE}:Nothing", options=f"{HERE}:Picky"),
    FusionSpec(name="nowhere", target=f"{HERE}:Nope"),
    TrainerSpec(name="unable", target=f"{HERE}:Unable"),
    TrainerSpec(name="plain", target=f"{HERE}:Plain"),
    TrainerSpec(name="forgetful", target=f"{HERE}:Forgetful"),
    DatasetSpec(name="broken", target=f"{HERE}:Broken"),
    ExtractorSpec(name="letters", modality="text", target=f"{HERE}:Letters", inputs=TEXT, level="clip"),
    ExtractorSpec(name="wide", modality="text", target=f"{HERE}:Wide", inputs=TEXT, level="clip"),
    ExtractorSpec(
        name="reader",
        modality="text",
        target=f"{HERE}:Letters",
        inputs={**TEXT, "marks": DerivedInput("marks")},
        level="clip",
    ),
    DeriverSpec(name="marker", produces="marks", target=f"{HERE}:Marks", inputs=TEXT),
]


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setattr(Letters, "made", [])
    (tmp_path / "clips.csv").write_text(CLIPS, encoding="utf-8")
    return open_workspace(tmp_path / "cache", plugins=[Shelf(SPECS)])


def start(space: Workspace, folder: Path, extractor: str = "letters", **settings: Any) -> Any:
    settings = {"folds": 2, "device": "cpu", **settings}
    return run(
        folder / "clips.csv",
        modalities=["text"],
        extractors={"text": extractor},
        out=folder / "run",
        space=space,
        **settings,
    )


def plan(space: Workspace, folder: Path, extractor: str = "letters", **settings: Any) -> dict[str, Any]:
    found = make_config(
        space.catalogue,
        data=folder / "clips.csv",
        modalities=["text"],
        extractors={"text": extractor},
        device="cpu",
        **settings,
    )
    return plan_run(found, space)


def log_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()]


BAD_STARTS = [
    (
        {"fusion": "token", "options": {"token": {"width": 65}}},
        "fusion token@extra raised AssertionError in build: e",
    ),
    ({"fusion": "nothing"}, "fusion nothing@extra: build returned NoneType"),
    ({"fusion": "nowhere"}, "nowhere@extra: "),
    ({"trainer": "unable"}, "trainer unable@extra raised ValueError in __init__: no licence (test_plugin_errors.py, l"),
]


@pytest.mark.parametrize(("settings", "said"), BAD_STARTS)
def test_a_fusion_or_trainer_that_cannot_start_is_told_before_the_first_clip(
    space: Workspace, tmp_path: Path, settings: dict[str, Any], said: str
) -> None:
    for attempt in (start, plan):
        with pytest.raises(PluginError) as caught:
            attempt(space, tmp_path, **settings)
        assert caught.value.message.startswith(said)
        assert "used" not in Letters.made


def test_the_traceback_is_in_the_log_and_the_error_says_so(space: Workspace, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"check_plugin\('token', plugins=\[\.\.\.\]\)") as caught:
        start(space, tmp_path, fusion="token", options={"token": {"width": 65}})
    assert caught.value.hint.endswith(f"The traceback is in {tmp_path / 'run' / 'log.jsonl'}.")
    (line,) = [one for one in log_of(tmp_path) if "traceback" in one]
    assert line["event"] == "preflight failed"
    assert "in build\n" in line["traceback"]
    assert line["traceback"].count("Traceback") == 1


def test_a_fusion_for_streams_of_one_width_is_tried_with_the_true_ones(space: Workspace, tmp_path: Path) -> None:
    assert plan(space, tmp_path, fusion="fixed")["training"]["fusion"]["name"].startswith("fixed")
    assert Letters.made == ["made"]
    with pytest.raises(PluginError, match="pretrained for 8 columns, not 9"):
        plan(space, tmp_path, "wide", fusion="fixed")


def test_the_extractors_of_a_good_fusion_are_not_made_twice(space: Workspace, tmp_path: Path) -> None:
    state = torch.get_rng_state()
    plan(space, tmp_path)
    assert Letters.made == []
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("seed", "said"),
    [
        (0, "trainer forgetful@extra: its model's predict returned [2, 1], not [2, 2]."),
        (1, "trainer forgetful@extra raised RuntimeError in fit: mat1 and mat2 shapes cannot be multiplied ("),
        (2, "trainer forgetful@extra returned NoneType, which is no model: it lacks predict, logits, save."),
    ],
)
def test_a_trainer_or_model_that_breaks_is_named(space: Workspace, tmp_path: Path, seed: int, said: str) -> None:
    with pytest.raises(PluginError) as caught:
        start(space, tmp_path, trainer="forgetful", seed=seed)
    assert caught.value.message.startswith(said)
    streams = {"speech": np.random.default_rng(0).normal(size=(4, 3))}
    features = compose(streams, ["a", "b", "a", "b"], groups=list("wxyz"))
    with pytest.raises(PluginError) as again:
        fit(features, trainer="forgetful", seed=seed, folds=2, device="cpu", space=space)
    assert again.value.message == caught.value.message


def test_a_data_set_that_cannot_be_prepared_is_named(space: Workspace) -> None:
    with pytest.raises(PluginError, match=r"^data set broken@extra raised KeyError in prepare: 'url' \(test_plugin_e"):
        run("broken", modalities=["text"], space=space)


def test_a_model_keeps_what_is_its_own(space: Workspace, tmp_path: Path) -> None:
    features = compose({"speech": np.eye(4)}, ["a", "b", "a", "b"], groups=list("wxyz"))
    model = fit(features, trainer="plain", folds=2, device="cpu", space=space).model
    assert len(model.members) == 2  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        _ = model.nothing  # type: ignore[attr-defined]


def test_the_plugin_is_told_where_all_clips_failed(space: Workspace, tmp_path: Path) -> None:
    with pytest.raises(PluginError) as caught:
        start(space, tmp_path, "wide")
    assert caught.value.message == "wide failed on all 4 clips that have text: returned 8 columns, but dim is 9."
    assert caught.value.hint.startswith("Check it with mer_core.testing.check_plugin('wide'")


def test_a_stream_whose_clips_all_failed_is_not_called_missing(space: Workspace, tmp_path: Path) -> None:
    found = extract(tmp_path / "clips.csv", modalities=["text"], extractors={"text": "letters,wide"}, space=space)
    (told,) = found.warnings
    assert told.startswith("No clip has text:wide (all 4 clips given to wide failed); the stream is left out. Check")


def test_a_modality_that_failed_is_not_called_missing() -> None:
    from test_report import report

    from mer_core.report.facts import Presence

    def said(reasons: dict[str, int]) -> str:
        one = Presence(modality="text", present=0, missing=sum(reasons.values()), reasons=reasons)
        found = report().model_copy(update={"presence": (one,)}).findings()
        return next(line for line in found if line.startswith("Text ") and "clips" in line)

    assert said({"failed: extract": 120}) == "Text failed in 120 of 120 clips."
    assert said({"empty text": 5, "failed: extract": 115}) == "Text is missing in 5 and failed in 115 of 120 clips."
    assert said({"empty text": 120}) == "Text is missing in 120 of 120 clips."


def test_the_plan_names_the_derivers(space: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from mer_core.cli.output import stdout_console
    from mer_core.cli.summary import print_plan

    found = plan(space, tmp_path, "reader")
    assert {name: part["derive"] for name, part in found["derivers"].items()} == {"marks": 4}
    print_plan(found, stdout_console())
    assert re.search(r"Deriver +marker(@extra)?: make marks of 4 clips, reuse 0", capsys.readouterr().out)


def test_a_misspelt_artefact_is_told_with_the_right_one(space: Workspace, tmp_path: Path) -> None:
    twice = [*SPECS, DeriverSpec(name="marker-2", produces="marks", target=f"{HERE}:Marks", inputs=TEXT)]
    for specs in (SPECS, twice):
        space = open_workspace(tmp_path / "cache", plugins=[Shelf(specs)])
        with pytest.raises(UsageError) as caught:
            plan(space, tmp_path, "reader", derivers={"mark": "marker"})
        assert str(caught.value) == (
            "--deriver names 'mark', which no stream of this run reads. Did you mean --deriver marks=marker?"
        )


def test_a_protocol_that_the_trainer_cannot_keep_is_told(space: Workspace, tmp_path: Path) -> None:
    gap = "Protocol mer2024 is only partly kept: trainer plain"
    found = start(space, tmp_path, trainer="plain", protocol="mer2024")
    (told,) = [line for line in found.report.findings() if line.startswith(gap)]
    assert re.search(r"has no option 'epochs', 'batch_size', 'lr', 'schedule', … \(\d+ more\)\.$", told)
    assert "fusion" not in told
    planned = plan(space, tmp_path, fusion="fixed", protocol="mer2024")["warnings"]
    assert len(planned) == 1
    assert "fusion fixed" in planned[0]
    assert "'hidden', 'dropout' and 'absent'" in planned[0]
    assert plan(space, tmp_path, protocol="mer2024")["warnings"] == []


def test_options_that_break_are_the_plugins_fault(space: Workspace, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"^fusion picky@extra raised ZeroDivisionError in its options: "):
        plan(space, tmp_path, fusion="picky", options={"picky": {"parts": 0}})
