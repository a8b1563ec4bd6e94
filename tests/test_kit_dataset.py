"""The checks of data sets: every broken data set of the shelf is caught by its check alone."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
import shelf_datasets
from shelf_heavy import HeavyShelf
from shelf_plugin import Shelf

from mer_core.testing import Report, check_plugin, checks

BROKEN = shelf_datasets.broken()
MINE = tuple(check.name for check in checks("dataset") if check.name != "light-import")
"""The shelf's listing module is the same for all: it is looked at once."""


def report(cls: type, only: tuple[str, ...] = MINE, **changes: object) -> Report:
    spec = shelf_datasets.spec(cls, **changes)
    return check_plugin(spec.name, plugins=[Shelf([spec])], only=only)


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the kit, and a data set that goes its own way, put their files."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_dataset_is_caught_by_its_check_alone(name: str) -> None:
    cls, check = BROKEN[name]
    found = report(cls)
    assert found.failed == (check,), str(found)


def test_the_shelf_has_something_for_every_check() -> None:
    assert {check for _, check in BROKEN.values()} == set(MINE) - {"options"}


def test_the_good_twin_passes_everything() -> None:
    found = report(shelf_datasets.Good, only=())
    assert {result.outcome for result in found.results} == {"passed"}, str(found)


def test_options_that_swallow_misspelt_keys() -> None:
    assert report(shelf_datasets.Good, options="shelf_plugin:SloppyOptions").failed == ("options",)


def test_specs_listed_beside_numpy() -> None:
    spec = shelf_datasets.spec(shelf_datasets.Good)
    found = check_plugin(spec.name, plugins=[HeavyShelf([spec])])
    assert found.failed == ("light-import",), str(found)


def test_what_was_prepared_is_cleared_away(own_temporary_folder: Path) -> None:
    assert report(shelf_datasets.Good).ok
    gc.collect()
    assert list(own_temporary_folder.iterdir()) == []
