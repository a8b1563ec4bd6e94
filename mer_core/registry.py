"""Discover plugins, keep a catalogue of them, resolve a name to a class.

Discovery imports only the light modules behind the entry points of group ``mer.plugins``. A plugin
that cannot be read becomes a :class:`Problem` in the catalogue and an error only when asked for.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

import pluggy

from mer_core import hookspecs
from mer_core.errors import MerError, MissingPackageError, PluginError
from mer_core.spec import PluginSpec, check_spec

SpecT = TypeVar("SpecT", bound=PluginSpec)


@dataclass(frozen=True, slots=True)
class Entry:
    """One plugin in the catalogue. ``problem`` says why it cannot be used, if it cannot."""

    spec: PluginSpec
    distribution: str
    problem: str = ""

    @property
    def full_name(self) -> str:
        """``name@distribution``, which is never ambiguous."""
        return f"{self.spec.name}@{self.distribution}"

    def missing_packages(self) -> list[str]:
        """Import names the plugin requires that are not installed."""
        return [name for name in self.spec.requires if not _importable(name)]


@dataclass(frozen=True, slots=True)
class Problem:
    """An entry point that could not be read at all."""

    distribution: str
    entry_point: str
    reason: str


@dataclass(frozen=True, slots=True)
class Source:
    """A plugin module that was read: its object (with the hooks), and how long its import took (seconds)."""

    distribution: str
    entry_point: str
    plugin: object
    seconds: float


@dataclass(slots=True)
class Catalogue:
    """Everything that was discovered."""

    entries: list[Entry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)

    def of_kind(self, kind: type[SpecT]) -> list[Entry]:
        """Entries of one kind, by name."""
        return sorted((e for e in self.entries if isinstance(e.spec, kind)), key=lambda e: e.full_name)

    def find(self, kind: type[SpecT], name: str) -> SpecT:
        """The spec called ``name`` or ``name@distribution``.

        Raises:
            PluginError: unknown (with the close match), ambiguous or broken.
        """
        spec = self.entry(kind, name).spec
        assert isinstance(spec, kind)
        return spec

    def entry(self, kind: type[SpecT], name: str) -> Entry:
        """Like :meth:`find`, with where the plugin comes from."""
        found = [e for e in self.of_kind(kind) if name in (e.spec.name, e.full_name)]
        if not found:
            raise self.unknown(name, kind)
        if len(found) > 1:
            names = " or ".join(e.full_name for e in found)
            raise PluginError(f"two {kind.kind}s are called {name!r}.", f"Say which: {names}.")
        if found[0].problem:
            raise PluginError(f"{kind.kind} {name!r} cannot be used: {found[0].problem}", "See 'mer plugins list'.")
        return found[0]

    def load(self, kind: type[SpecT], name: str) -> type[Any]:
        """Import and return the class behind ``name``.

        Raises:
            MissingPackageError: with the plugin's install line.
            PluginError: if importing it fails.
        """
        entry = self.entry(kind, name)
        absent = entry.missing_packages()
        if absent:
            line = entry.spec.install or f"pip install {' '.join(absent)}"
            raise MissingPackageError(f"{name} needs {', '.join(absent)}, which is not installed.", f"Run: {line}")
        return _import_target(entry.spec.target, entry.full_name)

    def options_class(self, kind: type[SpecT], name: str) -> type[Any]:
        """The options class of a plugin, without importing the plugin's own heavy packages."""
        from mer_core.options import NoOptions

        spec = self.find(kind, name)
        return _import_target(spec.options, name) if spec.options else NoOptions

    def options(self, kind: type[SpecT], name: str, values: Mapping[str, Any]) -> Any:
        """Validated options of a plugin.

        Raises:
            OptionError: naming the option.
        """
        from mer_core.options import validate

        return validate(self.options_class(kind, name), values, name)

    def unknown(self, name: str, kind: type[PluginSpec] = PluginSpec) -> PluginError:
        """The error for a name that nothing of ``kind`` has: the reason or the close match."""
        names = sorted({e.spec.name for e in self.entries if isinstance(e.spec, kind)})
        close = difflib.get_close_matches(name, names, n=1)
        broken = [p for p in self.problems if name in (p.entry_point, p.distribution)]
        if broken:
            return PluginError(f"plugin {name!r} could not be read: {broken[0].reason}", "See 'mer plugins list'.")
        guess = f"Did you mean {close[0]!r}?" if close else f"There are: {', '.join(names) or 'none'}."
        return PluginError(f"there is no {kind.kind} called {name!r}.", guess)


def discover(extra: Iterable[object] = ()) -> Catalogue:
    """Read every installed plugin module, each in its own try.

    Args:
        extra: plugin objects (modules or instances with hook implementations) to register beside
            the installed ones, as ``mer_core:extra``; for tests and notebooks.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    catalogue = Catalogue()
    for point in sorted(entry_points(group=hookspecs.ENTRY_POINT_GROUP), key=_point_key):
        _add_entry_point(manager, catalogue, point)
    for number, plugin in enumerate(extra):
        _add(manager, catalogue, plugin, "extra", str(number), time.monotonic())
    return catalogue


def _point_key(point: EntryPoint) -> tuple[str, str]:
    return (point.dist.name if point.dist else "", point.name)


def _add_entry_point(manager: pluggy.PluginManager, catalogue: Catalogue, point: EntryPoint) -> None:
    distribution = point.dist.name if point.dist else "unknown"
    began = time.monotonic()
    try:
        plugin = point.load()
    except Exception as error:
        reason = f"importing {point.value} raised {type(error).__name__}: {error}"
        catalogue.problems.append(Problem(distribution, point.name, reason))
        return
    _add(manager, catalogue, plugin, distribution, point.name, began)


def _add(
    manager: pluggy.PluginManager,
    catalogue: Catalogue,
    plugin: object,
    distribution: str,
    name: str,
    began: float,
) -> None:
    registered = f"{distribution}:{name}"
    try:
        manager.register(plugin, registered)
        manager.check_pending()
        caller = manager.subset_hook_caller("mer_specs", [p for p in manager.get_plugins() if p is not plugin])
        specs = [spec for batch in caller() for spec in batch]
    except Exception as error:
        catalogue.problems.append(Problem(distribution, name, f"{type(error).__name__}: {error}"))
        if manager.get_plugin(registered) is not None:
            manager.unregister(name=registered)
        return
    catalogue.sources.append(Source(distribution, name, plugin, time.monotonic() - began))
    catalogue.entries.extend(_entry(spec, distribution) for spec in specs)


def _entry(spec: PluginSpec, distribution: str) -> Entry:
    try:
        check_spec(spec)
    except MerError as error:
        return Entry(spec, distribution, str(error))
    return Entry(spec, distribution)


def _importable(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _import_target(target: str, owner: str) -> type[Any]:
    module_name, _, attribute = target.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise PluginError(f"{owner}: importing {target} failed: {reason}.", "Repair or uninstall it.") from error
    if not isinstance(found, type):
        raise PluginError(f"{owner}: {target} is not a class.", "Name a class in the spec.")
    return found
