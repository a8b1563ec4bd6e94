"""The checks for derivers: each broken deriver of the shelf is caught by its check and no other."""

from __future__ import annotations

from typing import Any

import pytest
from shelf import derivers
from shelf.bench import PROCESSES, depending_on, outcomes, prepare, stay_in_this_process

from mer_core.testing import Report, check_plugin, checks

NAMES = {check.name for check in checks("deriver")}


@pytest.fixture(scope="module")
def listed() -> dict[str, Any]:
    return {}


@pytest.fixture(autouse=True)
def prepared(monkeypatch: pytest.MonkeyPatch, listed: dict[str, Any]) -> None:
    prepare(monkeypatch, listed)


def examine(name: str, **more: Any) -> Report:
    return check_plugin(name, kind="deriver", plugins=[derivers.SHELF, derivers.HEAVY], **more)


@pytest.mark.parametrize("good", [made.__name__.lower() for made in derivers.GOOD])
def test_a_good_deriver_passes_everything(good: str) -> None:
    report = examine(good)
    assert set(outcomes(report).values()) == {"passed"}, str(report)


@pytest.mark.parametrize(("name", "check"), sorted(derivers.BROKEN.items()))
def test_a_broken_deriver_is_caught_by_its_check_alone(name: str, check: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if check not in PROCESSES:
        stay_in_this_process(monkeypatch)
    report = examine(name)
    assert report.failed == (check,), str(report)
    blocked = {found for found, outcome in outcomes(report).items() if outcome == "blocked"}
    assert blocked <= depending_on(check, "deriver")


def test_every_check_has_a_plugin_that_only_it_catches() -> None:
    assert set(derivers.BROKEN.values()) | {"light-import"} == NAMES


@pytest.mark.parametrize(
    ("name", "check", "said"),
    [
        ("heavy", "light-import", "importing shelf.heavy, which lists the specs, also imports numpy"),
        ("wordy", "storable", "array 'words' is no array of numbers"),
        ("telling", "storable", "info is not JSON-able"),
        ("failing", "starts", "ndarray instead of Derived or Missing. Return Derived(arrays, info)"),
    ],
)
def test_a_finding_says_what_is_wrong_and_what_to_do(name: str, check: str, said: str) -> None:
    report = examine(name, only=(check,))
    assert report.failed == (check,)
    assert said in report.results[-1].reason
