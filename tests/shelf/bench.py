"""How the tests put a plugin of the shelf on the bench, quickly."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from mer_core.testing import Report, checks, common
from mer_core.testing import bench as bench_module
from mer_core.testing.child import said, work
from shelf import faults

PROCESSES = ("spawned", "offline")
"""Checks whose faults show only in another process."""


def outcomes(report: Report) -> dict[str, str]:
    """Check -> outcome."""
    return {result.check: result.outcome for result in report.results}


def depending_on(check: str, kind: str) -> set[str]:
    """Checks that build on ``check``, directly or not."""
    found = {other.name for other in checks(kind) if check in other.needs}
    return found.union(*(depending_on(name, kind) for name in found))


def prepare(monkeypatch: pytest.MonkeyPatch, listed: dict[str, Any]) -> None:
    """Look only once at the module that lists the whole shelf; prepare what wants to be prepared."""
    real: Callable[[Any], Any] = common.loaded_by

    def loaded_by(modules: Any) -> Any:
        key = repr(modules)
        if key not in listed:
            listed[key] = real(modules)
        return listed[key]

    monkeypatch.setattr(common, "loaded_by", loaded_by)
    monkeypatch.setattr(faults.Unprepared, "prepared", True)


def stay_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start no fresh process, for faults that have nothing to do with processes."""
    monkeypatch.setattr(bench_module, "run_child", in_this_process)


def in_this_process(sent: bytes, environment: Mapping[str, str]) -> Any:
    """What a fresh process would reply."""
    try:
        return work(pickle.loads(pickle.loads(sent)[1])), ""
    except Exception as error:
        return None, said(error)
