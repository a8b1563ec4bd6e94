"""Listeners: one that is right, and others broken in exactly one way."""

from __future__ import annotations

import threading
from typing import Any

from mer_core.hookspecs import hookimpl


class Good:
    """Hears everything, and keeps what it needs itself."""

    def __init__(self) -> None:
        self.scores: list[float] = []

    @hookimpl
    def mer_run_started(self) -> None:
        self.scores = []

    @hookimpl
    def mer_features_ready(self, event: Any) -> None:
        assert set(event.dims) == set(event.present) == set(event.extracted) == set(event.reused)

    @hookimpl
    def mer_fold_finished(self, event: Any) -> None:
        self.scores.append(event.scores["waf"])

    @hookimpl
    def mer_run_finished(self, event: Any) -> None:
        assert (event.folder / "config.toml").is_file()
        assert (event.folder / "report.html").is_file() == (event.status == "finished")


class Unmarked(Good):
    """One of its hooks lacks the decorator."""

    def mer_run_finished(self, event: Any) -> None: ...


class Misspelt(Good):
    """It waits for an event that never comes."""

    @hookimpl
    def mer_run_ended(self, event: Any) -> None: ...


class Greedy(Good):
    """Asks for what there is not."""

    @hookimpl
    def mer_fold_finished(self, fold: int, score: float) -> None: ...


class Raising(Good):
    """Takes an event for another one."""

    @hookimpl
    def mer_fold_finished(self, event: Any) -> None:
        print(event.nothing)


class Once(Good):
    """Bears one run."""

    @hookimpl
    def mer_run_started(self) -> None:
        assert not self.scores, "a run before this one"


class Threaded(Good):
    """Raises where nobody sees it."""

    @hookimpl
    def mer_run_finished(self, event: Any) -> None:
        threading.Thread(target=lambda: 1 / 0).start()


class Scored(Good):
    """Believes that every run has folds."""

    @hookimpl
    def mer_run_finished(self, event: Any) -> None:
        if event.report:
            self.scores.append(event.report["metrics"]["cv"]["waf"]["value"])


class Finished(Good):
    """Believes that every run has a report."""

    @hookimpl
    def mer_run_finished(self, event: Any) -> None:
        self.scores.append(len(event.report["classes"]))


class Writing(Good):
    """Takes the configuration apart."""

    @hookimpl
    def mer_run_started(self, event: Any) -> None:
        event.config.pop("streams")


BROKEN = {
    Unmarked: "hooks",
    Misspelt: "hooks",
    Greedy: "hooks",
    Raising: "run",
    Once: "run",
    Threaded: "run",
    Scored: "no-scores",
    Finished: "unfinished",
    Writing: "events-unchanged",
}
"""Listener -> the check that catches it."""
