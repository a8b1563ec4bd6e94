"""What a trainer would refuse is refused before the first clip is extracted, and in a plan."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from shelf_plugin import Shelf
from test_plugin_errors import SPECS, Letters, log_of, plan, start
from test_trainer import make_data, train

from mer_core import Workspace, compose, fit, open_workspace
from mer_core.errors import DataError, MerError, OptionError, PluginError, UsageError
from mer_core.options import validate
from mer_core.plugin import CheckingTrainer, FusionOutput, FusionSpec, NoOptions, StreamInfo, TargetSpec, TrainerSpec
from mer_plugins.fusion.concat import Concat
from mer_plugins.trainers.cv import CrossValidation
from mer_plugins.trainers.options import CvOptions

HERE, CONCAT = "test_early_refusals", "mer_plugins.fusion.options:ConcatOptions"
CLIPS = "id,text,label,speaker\na,so,happy,w\nb,no,sad,x\nc,hm,happy,y\nd,ah,sad,z\n"


class Nameless:
    """A fusion that does not say which of its weights encode which stream."""

    def __init__(self, options: NoOptions) -> None: ...

    def build(self, streams: Mapping[str, StreamInfo], targets: TargetSpec) -> torch.nn.Module:
        return torch.nn.Linear(2, 2)


class Short(Concat):
    """A fusion whose answers lack a column, or the rows, in one place."""

    def build(self, streams: Mapping[str, StreamInfo], targets: TargetSpec) -> Any:
        module = super().build(streams, targets)
        module.register_forward_hook(lambda _module, _given, out: out._replace(**self.cut(out)))
        return module

    def cut(self, out: FusionOutput) -> dict[str, torch.Tensor]:
        return {"logits": out.logits[:, :-1]}


class Valueless(Short):
    """No values."""

    def cut(self, out: FusionOutput) -> dict[str, torch.Tensor]:
        return {"values": out.values[:, :0]}


class Flat(Short):
    """One row for all clips."""

    def cut(self, out: FusionOutput) -> dict[str, torch.Tensor]:
        return {"logits": out.logits.mean(0)}


class Careful(CrossValidation):
    """A trainer that is asked beforehand."""

    def check_fit(self, module: torch.nn.Module, streams: Mapping[str, StreamInfo], targets: TargetSpec) -> None:
        Letters.made.append(f"{type(module).__name__} {[*streams.values()]} {targets.classes}")
        if self.options.lr > 1:
            raise OptionError("lr is above 1.", "Lower it.")
        if self.options.epochs == 3:
            raise KeyError("three")


MORE = [
    FusionSpec(name="nameless", target=f"{HERE}:Nameless"),
    *(
        FusionSpec(name=cls.__name__.lower(), target=f"{HERE}:{cls.__name__}", options=CONCAT)
        for cls in (Short, Valueless, Flat)
    ),
    TrainerSpec(name="careful", target=f"{HERE}:Careful", options="mer_plugins.trainers.options:CvOptions"),
]


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setattr(Letters, "made", [])
    (tmp_path / "clips.csv").write_text(CLIPS, encoding="utf-8")
    return open_workspace(tmp_path / "cache", plugins=[Shelf([*SPECS, *MORE])])


def cv(**options: Any) -> dict[str, Any]:
    return {"trainer_options": options}


REFUSED = [
    (cv(class_weights={"hapyy": 2}), OptionError, r"no class 'hapyy'\. Did you mean 'happy'\? Classes are happy, sad"),
    (
        cv(self_training="per-class-threshold", pseudo_thresholds={"sad": 0.9}),
        OptionError,
        "pseudo_thresholds: no bound for 'happy'",
    ),
    (
        cv(self_training="per-class-threshold", pseudo_thresholds={"glad": 0.9}),
        OptionError,
        "pseudo_thresholds: no class 'glad'",
    ),
    (cv(modality_dropout={"txet": 0.3}), OptionError, r"no modality 'txet'\. Did you mean 'text'"),
    (cv(modality_dropout={"vidoe": 0.3}), OptionError, r"there is no 'vidoe' in this run\. It has text\."),
    (cv(modality_dropout={"text": 0.3, "video": 0.1}), OptionError, r"there is no 'video' in this run\."),
    (
        cv(modality_dropout={"speech:a": 0.3}, modality_dropout_by="stream"),
        OptionError,
        r"there is no 'speech:a' in this run\. It has text, text:letters\.",
    ),
    (
        cv(gradient_modulation="ogm") | {"fusion": "nameless"},
        PluginError,
        "fusion nameless@extra does not say which of its weights",
    ),
    (cv(self_training="class-balanced") | {"audit_labels": "nowhere"}, UsageError, "nothing in 'nowhere'"),
]


@pytest.mark.parametrize(("settings", "kind", "said"), REFUSED)
def test_what_training_would_refuse_is_refused_before_the_first_clip(
    space: Workspace, tmp_path: Path, settings: dict[str, Any], kind: type[MerError], said: str
) -> None:
    for attempt in (start, plan):
        with pytest.raises(kind, match=said):
            attempt(space, tmp_path, **settings)
        assert Letters.made == []


def test_rates_of_the_runs_own_modalities_and_streams_pass(space: Workspace, tmp_path: Path) -> None:
    for rates in ({"text": 0.3}, {"text": 0.1, "text:letters": 0.3}):
        options = cv(modality_dropout=rates, modality_dropout_by="stream", class_weights={"happy": 2})
        assert plan(space, tmp_path, **options)["training"]["trainer"]["options"]["modality_dropout"] == rates


ROUNDLESS = "is about rounds of labels"
COMBINED = [
    ({"self_training": "flexmatch", "pseudo_from": "ensemble"}, ROUNDLESS),
    ({"self_training": "dash", "pseudo_relabel": True}, ROUNDLESS),
    ({"self_training": "dash", "pseudo_patience": 2, "select": "inner"}, ROUNDLESS),
    ({"self_training": "class-balanced", "pseudo_patience": 2}, "look at an inner part"),
    ({"self_training": "per-class-threshold", "pseudo_final": "best"}, "look at an inner part"),
    ({"patience": 2}, "cv.patience waits"),
]


@pytest.mark.parametrize(("given", "said"), COMBINED)
def test_options_that_do_not_go_together_are_refused_when_they_are_made(
    space: Workspace, tmp_path: Path, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(OptionError, match=said):
        validate(CvOptions, given, "cv")
    with pytest.raises(OptionError, match=said):
        plan(space, tmp_path, **cv(**given))
    data = compose({"text": [[1.0], [2.0]] * 4}, labels=["happy", "sad"] * 4)
    with pytest.raises(OptionError, match=said):
        fit(data, trainer_options=given, folds=2, space=space)


def test_combinations_that_mean_something_pass() -> None:
    for given in (
        {"patience": 2, "select": "inner"},
        {"self_training": "class-balanced", "pseudo_from": "ensemble", "pseudo_relabel": True},
        {"self_training": "class-balanced", "pseudo_patience": 2, "select": "inner"},
        {"self_training": "off", "pseudo_from": "ensemble"},
        {"self_training": "flexmatch"},
    ):
        assert validate(CvOptions, given, "cv").model_dump(include=set(given)) == given


def test_values_alone_have_no_classes_to_calibrate(space: Workspace, tmp_path: Path) -> None:
    rows = ["id,text,speaker,joy", *(f"c{n},{'a' * n},{n % 4},{n / 8}" for n in range(1, 9))]
    (tmp_path / "clips.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    with pytest.raises(OptionError, match=r"cv\.calibrate needs classes"):
        plan(space, tmp_path, values="joy", **cv(calibrate=True))


def test_a_trainer_with_a_check_is_asked_once_with_what_the_run_has(space: Workspace, tmp_path: Path) -> None:
    assert isinstance(CrossValidation(CvOptions()), CheckingTrainer)
    with pytest.raises(OptionError, match=r"lr is above 1\. Lower it\."):
        plan(space, tmp_path, trainer="careful", **cv(lr=2.0))
    (asked,) = Letters.made
    assert "name='text:letters', modality='text'" in asked
    assert asked.endswith("('happy', 'sad')")
    with pytest.raises(PluginError, match=r"trainer careful@extra raised KeyError in check_fit: 'three'"):
        start(space, tmp_path, trainer="careful", **cv(epochs=3))
    assert [one["event"] for one in log_of(tmp_path) if "traceback" in one] == ["preflight failed"]


def test_a_library_fit_without_a_stream_keeps_its_rate_as_a_note() -> None:
    notes = train(make_data(), modality_dropout={"video": 0.2, "text": 0.1}, epochs=1).summary["notes"]
    assert notes == ["Modality dropout was given a rate for video, which these streams lack."]


def test_folds_are_counted_from_one_and_the_cure_is_one_that_helps() -> None:
    with pytest.raises(DataError, match=r"training of fold 1 diverged") as caught:
        train(make_data(), lr=1e30)
    assert caught.value.hint == "Lower the learning rate: -o cv.lr=1e+29."
    with pytest.raises(DataError, match="diverged") as caught:
        train(make_data(), lr=1e30, standardise=False)
    assert caught.value.hint.endswith(", or leave out standardise=false.")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("short", r"answers logits of shape \[8, 2\], not \[8, 3\]\. .* for each of targets\.classes"),
        ("valueless", r"answers values of shape \[8, 0\], not \[8, 1\]\. .* for each of targets\.values"),
        ("flat", r"answers logits of shape \[3\], not \[8, 3\]\."),
    ],
)
@pytest.mark.parametrize("stacked", [None, False])
def test_a_fusion_of_another_shape_is_blamed_by_name(
    space: Workspace, name: str, said: str, stacked: bool | None
) -> None:
    streams, labels = {"text": [[float(n), 1.0] for n in range(16)]}, ["a", "b", "c", "a"] * 4
    data = compose(streams, labels=labels, values={"joy": [n / 16 for n in range(16)]})
    options = {"stacked": stacked, "epochs": 1}
    with pytest.raises(PluginError, match=rf"^fusion {name}@extra {said}"):
        fit(data, fusion=name, trainer_options=options, folds=2, space=space)
