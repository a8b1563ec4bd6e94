"""Tells plugins what a run does. A listener that raises is reported once and harms nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from traceback import walk_tb

import pluggy

from mer_core.events import Event, FeaturesReady, FoldFinished, RunFinished, RunStarted
from mer_core.hooks import module_of, read_hooks
from mer_core.registry import Catalogue, Source, listener_name
from mer_core.spec import ListenerSpec

HOOKS: Mapping[type[Event], str] = {
    RunStarted: "mer_run_started",
    FeaturesReady: "mer_features_ready",
    FoldFinished: "mer_fold_finished",
    RunFinished: "mer_run_finished",
}


@dataclass(frozen=True, slots=True)
class ListenerProblem:
    """A listener that raised: which plugin, in which hook, what, and in which line of its own code."""

    plugin: str
    hook: str
    error: str
    where: str = ""

    def __str__(self) -> str:
        return f"{self.plugin}: {self.hook} raised {self.error}" + (f" ({self.where})" if self.where else "")


@dataclass(frozen=True, slots=True)
class Deaf:
    """A plugin that cannot be told, of anything or by one of its hooks, and why."""

    plugin: str
    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.plugin} ({self.reason.rstrip('.')})"


def deaf_plugins(catalogue: Catalogue) -> list[Deaf]:
    """Plugins that were not read, any of which may be a listener, and listeners with faulty hooks; one reason each."""
    read = {(source.distribution, source.entry_point): read_hooks(source.plugin) for source in catalogue.sources}
    found: dict[str, Deaf] = {}
    for problem in catalogue.problems:
        hooks = read.get((problem.distribution, problem.entry_point))
        if hooks is None or any(repr(name) in problem.reason for name in hooks.unknown):
            found.setdefault(problem.full_name, Deaf(problem.full_name, problem.reason, problem.remedy))
    for entry in catalogue.of_kind(ListenerSpec):
        for reason, remedy in entry.spec.faults[:1] if isinstance(entry.spec, ListenerSpec) else ():
            found.setdefault(entry.full_name, Deaf(entry.full_name, reason, remedy))
    return list(found.values())


@dataclass(frozen=True, slots=True)
class _Listener:
    name: str
    source: Source
    manager: pluggy.PluginManager


@dataclass(slots=True)
class Announcer:
    """Calls the event hooks of every plugin module in ``catalogue``, each in its own try.

    Args:
        catalogue: its sources are the plugin modules or objects that may listen.
        on_problem: told once per plugin and hook that raised.
    """

    catalogue: Catalogue
    on_problem: Callable[[ListenerProblem], None]
    _listeners: list[_Listener] = field(default_factory=list)
    _told: set[tuple[int, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        for source in self.catalogue.sources:
            hooks = read_hooks(source.plugin)  # one manager per plugin, so that a call reaches it alone
            if hooks.listens:
                name = f"{listener_name(source)}@{source.distribution}"
                self._listeners.append(_Listener(name, source, hooks.manager))

    def announce(self, event: Event) -> None:
        """Call the hook of ``event``, plugin by plugin in the catalogue's order. Ctrl-C passes."""
        hook = HOOKS[type(event)]
        for number, listener in enumerate(self._listeners):
            try:
                getattr(listener.manager.hook, hook)(event=event)
            except (Exception, SystemExit) as error:
                if (number, hook) not in self._told:
                    self._told.add((number, hook))
                    where = _place(error, module_of(listener.source.plugin))
                    self.on_problem(ListenerProblem(listener.name, hook, _said(error), where))


def _said(error: BaseException) -> str:
    """The exception in one line; for something that an event does not have, what it has."""
    said = f"{type(error).__name__}: {error}"
    event = error.obj if isinstance(error, AttributeError) else None
    return f"{said}; it has {', '.join(f.name for f in fields(event))}" if isinstance(event, Event) else said


def _place(error: BaseException, module: str) -> str:
    """``listener.py, line 12``: the innermost line of ``module``'s package that the error passed, else empty."""
    found = ""
    for frame, line in walk_tb(error.__traceback__):
        if str(frame.f_globals.get("__name__", "")).partition(".")[0] == module.partition(".")[0]:
            found = f"{Path(frame.f_code.co_filename).name}, line {line}"
    return found
