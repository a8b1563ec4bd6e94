"""The checks for listeners: each broken listener of the shelf is caught by its check and no other."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from shelf import heavy, listeners
from shelf.bench import outcomes, prepare

from mer_core.report.model import RunReport
from mer_core.testing import Report, check_plugin, checks
from mer_core.testing.made_up import failed_run, good_run, interrupted_run, run_without_scores

NAMES = [check.name for check in checks("listener")]


@pytest.fixture(scope="module")
def listed() -> dict[str, Any]:
    return {}


@pytest.fixture(autouse=True)
def prepared(monkeypatch: pytest.MonkeyPatch, listed: dict[str, Any]) -> None:
    prepare(monkeypatch, listed)


def examine(listener: type[Any], **more: Any) -> Report:
    return check_plugin(listener.__name__, plugins=[listener()], **more)


def test_a_good_listener_passes_everything() -> None:
    report = examine(listeners.Good)
    assert report.plugin == "Good@extra"
    assert outcomes(report) == dict.fromkeys(NAMES, "passed"), str(report)


@pytest.mark.parametrize(
    ("listener", "check"), listeners.BROKEN.items(), ids=lambda value: getattr(value, "__name__", value)
)
def test_a_broken_listener_is_caught_by_its_check_alone(listener: type[Any], check: str) -> None:
    hook = threading.excepthook
    report = examine(listener)
    assert report.failed == (check,), str(report)
    assert threading.excepthook is hook


def test_every_check_has_a_listener_that_only_it_catches() -> None:
    assert {*listeners.BROKEN.values(), "light-import"} == {*NAMES}
    assert examine(heavy.HeavyListener, only=("light-import",)).failed == ("light-import",)


@pytest.mark.parametrize(
    ("listener", "check", "said"),
    [
        (listeners.Unmarked, "hooks", "mer_run_finished is not marked as a hook. Write @hookimpl"),
        (listeners.Misspelt, "hooks", "no hook called 'mer_run_ended'. Did you mean 'mer_run_finished'?"),
        (listeners.Greedy, "hooks", "mer_fold_finished(fold, score): this hook has one argument, 'event', which may"),
        (listeners.Raising, "run", "has no attribute 'nothing'; it has folder, fold, folds, clips, scores (listeners."),
        (listeners.Threaded, "run", "a thread of it raised ZeroDivisionError: division by zero"),
        (listeners.Finished, "unfinished", "mer_run_finished raised KeyError: 'classes' (listeners.py, line "),
        (listeners.Writing, "events-unchanged", "it changed RunStarted: copy"),
    ],
)
def test_a_finding_says_what_is_wrong_and_what_to_do(listener: type[Any], check: str, said: str) -> None:
    report = examine(listener, only=(check,))
    assert said in next(result.reason for result in report.results if result.check == check)


def test_made_up_runs_are_like_real_ones(tmp_path: Path) -> None:
    for made in (good_run, run_without_scores, failed_run, interrupted_run):
        events = made(tmp_path / made.__name__)
        assert {event.folder for event in events} == {tmp_path / made.__name__}
    assert RunReport.load(tmp_path / "good_run").metrics.cv
    assert RunReport.load(tmp_path / "run_without_scores").metrics.cv is None
