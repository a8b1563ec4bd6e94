"""The checks of a listener: can its hooks be called, and does it bear every kind of run?

It hears of runs that never were, in a folder that goes afterwards. A tracker that is told of runs
elsewhere (a server, a chat) will show them: they are called ``made-up-...``.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import cast

from mer_core.announce import Announcer, ListenerProblem
from mer_core.catalogue import Catalogue
from mer_core.events import Event
from mer_core.spec import ListenerSpec
from mer_core.testing.common import light_import
from mer_core.testing.kit import Check, check, require
from mer_core.testing.subject import Subject

PATIENCE = 2.0
"""Seconds that threads which a listener starts are waited for."""

Run = Callable[[Path], list[Event]]


@check(cure="write `@hookimpl` above `def mer_fold_finished(event)`, say")
def hooks(subject: Subject) -> None:
    """Its hooks are marked, are hooks that mer has, and take 'event' or nothing."""
    spec = cast("ListenerSpec", subject.spec)
    home = (subject.entry.distribution, subject.entry.entry_point)
    problems = [p for p in subject.catalogue.problems if (p.distribution, p.entry_point) == home]
    wrong = [*spec.faults, *((problem.reason, problem.remedy) for problem in problems)]
    require(not wrong, " ".join(f"{reason} {remedy}" for reason, remedy in wrong))


@check(
    needs=("hooks",),
    cure="the message has the line, and what the event has; begin anew in `mer_run_started`",
)
def run(subject: Subject) -> None:
    """It hears two runs from beginning to end, one after the other, and raises nothing."""
    from mer_core.testing.made_up import good_run

    _hear(subject, good_run, good_run)


@check(needs=("run",), cure='`event.report["metrics"]["cv"]` and `["test"]` may be None')
def no_scores(subject: Subject) -> None:
    """It hears a run without folds, whose report has null for metrics.cv and metrics.test."""
    from mer_core.testing.made_up import run_without_scores

    _hear(subject, run_without_scores)


@check(needs=("run",), cure="`event.report` is then empty; there may have been no features and no folds")
def unfinished(subject: Subject) -> None:
    """It hears runs that fail or are interrupted, without features, without folds, with an empty report."""
    from mer_core.testing.made_up import failed_run, interrupted_run

    _hear(subject, failed_run, interrupted_run)


@check(needs=("run",), cure="copy what you want to change")
def events_unchanged(subject: Subject) -> None:
    """It writes into no event: other listeners get the same one."""
    from mer_core.testing.made_up import good_run

    with _folder() as folder:
        events = good_run(folder / "made-up-run")
        before = deepcopy(events)
        with _watched():
            _announce(subject, events)
    changed = [type(new).__name__ for old, new in zip(before, events, strict=True) if old != new]
    require(not changed, f"it changed {' and '.join(dict.fromkeys(changed))}: copy what you want to change.")


def _hear(subject: Subject, *runs: Run) -> None:
    """Announce ``runs``; fail if a hook raises, or a thread that it started."""
    with _folder() as folder, _watched() as strays:
        told = _announce(
            subject, (e for number, made in enumerate(runs, 1) for e in made(folder / f"made-up-run-{number}"))
        )
    require(not told, " ".join(f"{problem}." for problem in told))
    require(not strays, f"a thread of it raised {strays and strays[0]}: catch errors where they happen.")


def _announce(subject: Subject, events: Iterable[Event]) -> list[ListenerProblem]:
    """Tell the listener alone."""
    home = (subject.entry.distribution, subject.entry.entry_point)
    sources = [s for s in subject.catalogue.sources if (s.distribution, s.entry_point) == home]
    told: list[ListenerProblem] = []
    announcer = Announcer(Catalogue(sources=sources), told.append)
    for event in events:
        announcer.announce(event)
    return told


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mer-check-") as name:
        yield Path(name).resolve()


@contextmanager
def _watched() -> Iterator[list[str]]:
    """Collects what threads raise that were started meanwhile; waits for them a little."""
    found: list[str] = []
    before, hook = set(threading.enumerate()), threading.excepthook
    threading.excepthook = lambda args: found.append(f"{args.exc_type.__name__}: {args.exc_value}")
    try:
        yield found
        for thread in set(threading.enumerate()) - before:
            thread.join(PATIENCE)
    finally:
        threading.excepthook = hook


_LIGHT = replace(light_import, cure="import it inside the hooks")

CHECKS: tuple[Check, ...] = (_LIGHT, hooks, run, no_scores, unfinished, events_unchanged)
