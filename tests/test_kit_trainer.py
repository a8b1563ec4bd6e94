"""The checks of trainers: every broken trainer of the shelf is caught by its check alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import shelf_trainers
from shelf_heavy import HeavyShelf
from shelf_plugin import Shelf

from mer_core.testing import Report, check_plugin, checks
from mer_core.testing.kit import CheckFailed
from mer_core.testing.tables import feature_set
from mer_core.testing.trainer_bench import TrainerBench

BROKEN = shelf_trainers.broken()
MINE = tuple(check.name for check in checks("trainer") if check.name != "light-import")
"""The shelf's listing module is the same for all: it is looked at once."""


def report(cls: type, only: tuple[str, ...] = MINE, **changes: object) -> Report:
    spec = shelf_trainers.spec(cls, **changes)
    return check_plugin(spec.name, plugins=[Shelf([spec])], only=only)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_trainer_is_caught_by_its_check_alone(name: str) -> None:
    cls, check = BROKEN[name]
    found = report(cls)
    assert found.failed == (check,), str(found)


def test_the_shelf_has_something_for_every_check() -> None:
    assert {check for _, check in BROKEN.values()} == set(MINE) - {"options"}


def test_the_good_twin_passes_everything() -> None:
    found = report(shelf_trainers.Good, only=())
    assert [result.check for result in found.results if result.outcome != "passed"] == ["values"], str(found)
    assert found.ok, str(found)


def test_options_that_swallow_misspelt_keys() -> None:
    assert report(shelf_trainers.Good, options="shelf_plugin:SloppyOptions").failed == ("options",)


def test_specs_listed_beside_numpy() -> None:
    spec = shelf_trainers.spec(shelf_trainers.Good)
    found = check_plugin(spec.name, plugins=[HeavyShelf([spec])])
    assert found.failed == ("light-import",), str(found)


class Forgetful:
    """Trains, and returns nothing."""

    def __init__(self, *_: object) -> None: ...

    def fit(self, *_: object) -> None: ...


def test_a_trainer_that_returns_nothing_is_told_so() -> None:
    subject = SimpleNamespace(plugin_class=Forgetful, options=None, device="cpu")
    with pytest.raises(CheckFailed, match="returned NoneType, which is no model: it lacks predict, logits, save"):
        TrainerBench(cast("Any", subject)).fit(feature_set(12, folds=2))
