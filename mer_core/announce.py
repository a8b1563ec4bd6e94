"""Tells plugins what a run does. A listener that raises is reported once and harms nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pluggy

from mer_core import hookspecs
from mer_core.events import Event, FeaturesReady, FoldFinished, RunFinished, RunStarted
from mer_core.registry import Catalogue, Source

HOOKS: Mapping[type[Event], str] = {
    RunStarted: "mer_run_started",
    FeaturesReady: "mer_features_ready",
    FoldFinished: "mer_fold_finished",
    RunFinished: "mer_run_finished",
}


@dataclass(frozen=True, slots=True)
class ListenerProblem:
    """A listener that raised: which plugin, in which hook, and what."""

    plugin: str
    hook: str
    error: str

    def __str__(self) -> str:
        return f"{self.plugin} raised {self.error} in {self.hook}"


@dataclass(slots=True)
class Announcer:
    """Calls the event hooks of every plugin module in ``catalogue``, each in its own try.

    Args:
        catalogue: its sources are the plugin modules or objects that may listen.
        on_problem: told once per plugin and hook that raised.
    """

    catalogue: Catalogue
    on_problem: Callable[[ListenerProblem], None]
    _listeners: dict[str, pluggy.PluginManager] = field(default_factory=dict)
    _told: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        for source in self.catalogue.sources:
            self._register(source)

    def announce(self, event: Event) -> None:
        """Call the hook of ``event``, plugin by plugin in the catalogue's order. Ctrl-C passes."""
        hook = HOOKS[type(event)]
        for name, manager in self._listeners.items():
            try:
                getattr(manager.hook, hook)(event=event)
            except (Exception, SystemExit) as error:
                self._report(name, hook, error)

    def _register(self, source: Source) -> None:
        """One manager per plugin, so that a call reaches that plugin alone."""
        name = f"{source.distribution}:{source.entry_point}"
        manager = pluggy.PluginManager(hookspecs.PROJECT)
        manager.add_hookspecs(hookspecs)
        manager.register(source.plugin, name)
        self._listeners[name] = manager

    def _report(self, plugin: str, hook: str, error: BaseException) -> None:
        if (plugin, hook) in self._told:
            return
        self._told.add((plugin, hook))
        self.on_problem(ListenerProblem(plugin, hook, f"{type(error).__name__}: {error}"))
