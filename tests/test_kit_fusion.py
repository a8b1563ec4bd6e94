"""The checks of fusions: every broken fusion of the shelf is caught by its check alone."""

from __future__ import annotations

import pytest
import shelf_fusions
import shelf_good_fusions
from shelf_heavy import HeavyShelf
from shelf_plugin import Shelf

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


def test_options_that_swallow_misspelt_keys() -> None:
    assert report(shelf_fusions.Good, options="shelf_plugin:SloppyOptions").failed == ("options",)


def test_specs_listed_beside_numpy() -> None:
    spec = shelf_fusions.spec(shelf_fusions.Good)
    found = check_plugin(spec.name, plugins=[HeavyShelf([spec])])
    assert found.failed == ("light-import",), str(found)
