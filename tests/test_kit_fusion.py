"""The checks of fusions: every broken fusion of the shelf is caught by its check alone."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import shelf_fusions
import shelf_good_fusions
import torch
from shelf_heavy import HeavyShelf
from shelf_plugin import Shelf
from torch import Tensor, nn

from mer_core.plugin import StreamInfo, TargetSpec, clear_hidden, clear_input
from mer_core.testing import Report, check_plugin, checks

BROKEN = shelf_fusions.broken()
MINE = tuple(check.name for check in checks("fusion") if check.name != "light-import")
"""The shelf's listing module is the same for all: it is looked at once."""


def report(cls: type, only: tuple[str, ...] = MINE, **changes: object) -> Report:
    spec = shelf_fusions.spec(cls, **changes)
    return check_plugin(spec.name, plugins=[Shelf([spec])], only=only)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_fusion_is_caught_by_its_check_alone(name: str) -> None:
    cls, check = BROKEN[name]
    found = report(cls)
    assert found.failed == (check,), str(found)


def test_the_shelf_has_something_for_every_check() -> None:
    assert {check for _, check in BROKEN.values()} == set(MINE) - {"options"}


@pytest.mark.parametrize("levels", [("clip", "frame"), ("clip",), ("frame",)])
def test_the_good_twin_passes_everything(levels: tuple[str, ...]) -> None:
    found = report(shelf_fusions.Good, only=(), levels=levels)
    skipped = [result.check for result in found.results if result.outcome != "passed"]
    assert skipped == ([] if "frame" in levels else ["frames"]), str(found)


@pytest.mark.parametrize("name", ["LearnsTokens", "Summarises", "GoesThroughStreams", "AddsLoss"])
def test_other_good_fusions_pass_everything(name: str) -> None:
    cls = getattr(shelf_good_fusions, name)
    target = f"shelf_good_fusions:{name}"
    found = report(cls, target=target, stackable=cls is not shelf_good_fusions.GoesThroughStreams)
    assert found.ok, str(found)


def test_what_is_not_declared_is_not_asked_for() -> None:
    found = report(shelf_fusions.Branches, stackable=False)
    assert found.ok, str(found)
    assert next(r for r in found.results if r.check == "stacked").outcome == "skipped"


class NewClassEachTime(shelf_fusions.Good):
    """Its modules cannot be stacked: each is of a class of its own."""

    def build(self, streams: Mapping[str, StreamInfo], targets: TargetSpec) -> nn.Module:
        class Inner(shelf_fusions.Module):
            pass

        return Inner(streams, len(targets.classes), len(targets.values))


class NeedsEvenStreams(shelf_fusions.Good):
    """Builds nothing over three streams."""

    def build(self, streams: Mapping[str, StreamInfo], targets: TargetSpec) -> nn.Module:
        return nn.ModuleDict({"my.key": nn.Identity()})


class ByModality(shelf_fusions.Module):
    """Streams are encoded by their modality."""

    def make_encoders(self, streams: Mapping[str, StreamInfo]) -> nn.Module:
        return nn.ModuleDict({info.modality: nn.Linear(info.dim, shelf_fusions.HIDDEN) for info in streams.values()})

    def encode(self, number: int, x: Tensor, present: Tensor) -> Tensor:
        assert isinstance(self.encoders, nn.ModuleDict)
        encoder = self.encoders[self.modalities[number]]
        return self.pool(clear_hidden(torch.tanh(encoder(clear_input(x, present))), present, "mask"), present)


class OneEncoderPerModality(shelf_fusions.Good):
    """Two streams of one modality share an encoder, which fits one of them."""

    module = ByModality


def reason(cls: type, check: str) -> str:
    found = report(cls, only=(check,), target=f"{__name__}:{cls.__name__}")
    assert found.failed == (check,), str(found)
    return found.results[0].reason


def test_a_class_that_is_made_anew_in_build_is_named_as_the_cause() -> None:
    told = reason(NewClassEachTime, "stacked")
    assert told.startswith("build returns another class each time (NewClassEachTime.build.<locals>.Inner)")
    assert told.endswith("define the module class at the top of its module, not inside a function.")


def test_exceptions_come_with_their_place_and_the_usual_cure() -> None:
    told = reason(NeedsEvenStreams, "starts")
    assert told.startswith("KeyError: ")
    assert "(test_kit_fusion.py, line " in told
    assert ", in build). Usual cure: take `(options)`; create every layer inside `build`, under keys" in told
    told = reason(OneEncoderPerModality, "gradients")
    assert "shapes cannot be multiplied" in told
    assert ", in encode). Usual cure: look for `detach`, `argmax`, a dict by modality in which one stream" in told


def test_options_that_swallow_misspelt_keys() -> None:
    assert report(shelf_fusions.Good, options="shelf_plugin:SloppyOptions").failed == ("options",)


def test_specs_listed_beside_numpy() -> None:
    spec = shelf_fusions.spec(shelf_fusions.Good)
    found = check_plugin(spec.name, plugins=[HeavyShelf([spec])])
    assert found.failed == ("light-import",), str(found)
