"""The catalogue of plugins: what was discovered, from whom, and how a name becomes a class."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any, TypeVar

from mer_core.blame import blame
from mer_core.errors import MissingPackageError, PluginError
from mer_core.faults import explain, missing_package
from mer_core.names import EXTRA, OWN, bare, same
from mer_core.spec import PluginSpec

SpecT = TypeVar("SpecT", bound=PluginSpec)

SLOW_SECONDS = 0.5
"""A plugin module that takes longer to import is told so in ``mer plugins list``."""

MOST_NAMES = 8
"""So many names of a module are listed where it lacks the one that a spec names."""


JUST_ADDED = "If you have just added it to a pyproject.toml, run 'pip install -e' again."
"""For authors: an entry point is only seen after an install."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One plugin in the catalogue. ``problem`` says why it cannot be used, if it cannot."""

    spec: PluginSpec
    distribution: str
    problem: str = ""
    remedy: str = ""
    entry_point: str = ""

    @property
    def full_name(self) -> str:
        """``name@distribution``, which is never ambiguous."""
        return f"{self.spec.name}@{self.distribution}"

    @property
    def own(self) -> bool:
        """Whether mer itself brings it."""
        return same(self.distribution, OWN)

    @property
    def saved_name(self) -> str:
        """What configurations and models call it, whatever is installed later: bare if mer's own, else full."""
        return self.spec.name if self.own else self.full_name

    def answers_to(self, name: str) -> bool:
        """Whether ``name`` is its bare or its full name."""
        plugin, at, distribution = name.partition("@")
        return plugin == self.spec.name and (not at or same(distribution, self.distribution))

    def missing_packages(self) -> list[str]:
        """Import names the plugin requires that are not installed."""
        return [name for name in self.spec.requires if not _importable(name)]

    def install_line(self) -> str:
        """The command that installs what is missing."""
        return self.spec.install or f"pip install {' '.join(self.missing_packages())}"


@dataclass(frozen=True, slots=True)
class Problem:
    """An entry point, or something that it offers, that could not be read.

    ``target`` is the module that the entry point names, ``where`` the ``file:line`` that raised.
    """

    distribution: str
    entry_point: str
    reason: str
    remedy: str = ""
    target: str = ""
    where: str = ""

    @property
    def full_name(self) -> str:
        """``entry-point@distribution``."""
        return f"{self.entry_point}@{self.distribution}"

    def answers_to(self, name: str) -> bool:
        """Whether ``name`` may mean it: the entry point's name, the distribution's, or both with an @."""
        return any(same(name, own) for own in (self.entry_point, self.distribution, self.full_name))


@dataclass(frozen=True, slots=True)
class Source:
    """A plugin module that was read: its object (with the hooks), and how long its import took (seconds)."""

    distribution: str
    entry_point: str
    plugin: object
    seconds: float
    target: str = ""

    @property
    def slow(self) -> str:
        """What to tell if the import took too long, else empty."""
        if self.seconds <= SLOW_SECONDS:
            return ""
        return f"slow: importing {self.target} took {self.seconds:.1f} s; import heavy packages inside the class"


@dataclass(slots=True)
class Catalogue:
    """Everything that was discovered."""

    entries: list[Entry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)

    def of_kind(self, kind: type[SpecT]) -> list[Entry]:
        """Entries of one kind, by name."""
        return sorted((e for e in self.entries if isinstance(e.spec, kind)), key=lambda e: e.full_name)

    def meant(self, kind: type[SpecT], name: str) -> list[Entry]:
        """What ``name`` or ``name@distribution`` may mean; a bare name that mer's own plugin has means that one."""
        found = [entry for entry in self.of_kind(kind) if entry.answers_to(name)]
        if not found and name.endswith(f"@{EXTRA}"):  # used before it was installed
            return [entry for entry in self.of_kind(kind) if entry.answers_to(bare(name)) and not entry.own]
        return [entry for entry in found if entry.own] or found

    def same(self, kind: type[SpecT], one: str, other: str) -> bool:
        """Whether two names may mean one plugin."""
        meant = {entry.full_name for entry in self.meant(kind, one)}
        return one == other or any(entry.full_name in meant for entry in self.meant(kind, other))

    def settled(self, kind: type[SpecT], name: str, home: str = "") -> str:
        """``name`` as it is saved, if it means one plugin; one of the distribution ``home`` goes first."""
        meant = [entry for entry in self.of_kind(kind) if entry.answers_to(name)]
        found = [entry for entry in meant if home and same(entry.distribution, home)] or self.meant(kind, name)
        return found[0].saved_name if len(found) == 1 else name

    def shortest(self, entry: Entry) -> str:
        """The bare name of an entry where that is enough to mean it, else the full one."""
        means = self.meant(type(entry.spec), entry.spec.name)
        return entry.spec.name if means == [entry] else entry.full_name

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
        found = self.meant(kind, name)
        if not found:
            raise self.unknown(name, kind)
        if len(found) > 1:
            names = " or ".join(e.full_name for e in found)
            raise PluginError(f"{len(found)} {kind.kind}s are called {name!r}.", f"Say which: {names}.")
        if found[0].problem:
            raise PluginError(f"{kind.kind} {name!r} cannot be used: {found[0].problem}", found[0].remedy)
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
            what = f"{name} needs {', '.join(absent)}, which is not installed."
            raise MissingPackageError(what, f"Run: {entry.install_line()}")
        return _import_target(entry.spec.target, entry)

    def options_class(self, kind: type[SpecT], name: str) -> type[Any]:
        """The options class of a plugin, without importing the plugin's own heavy packages.

        Raises:
            PluginError: it cannot be imported, or is no options class.
        """
        from mer_core.options import NoOptions, Options

        entry = self.entry(kind, name)
        if not entry.spec.options:
            return NoOptions
        found = _import_target(entry.spec.options, entry, "options")
        if not issubclass(found, Options):
            what = f"{entry.full_name}: {entry.spec.options} is no options class."
            raise PluginError(what, "Derive it from mer_core.plugin.Options.")
        return found

    def options(self, kind: type[SpecT], name: str, values: Mapping[str, Any]) -> Any:
        """Validated options of a plugin.

        Raises:
            OptionError: naming the option.
            PluginError: the options class broke.
        """
        from mer_core.options import validate

        options_class = self.options_class(kind, name)
        with blame(self.entry(kind, name), "its options"):
            return validate(options_class, values, name)

    def unknown(self, name: str, kind: type[PluginSpec] = PluginSpec) -> PluginError:
        """The error for a name that nothing of ``kind`` has: what broke, what else has it, or the close match."""
        home = name.partition("@")[2]
        broken = [p for p in self.problems if p.answers_to(name) or same(home, p.distribution)]
        if broken:
            return PluginError(f"plugin {name!r} could not be read: {broken[0].reason}", broken[0].remedy)
        others = sorted({e.spec.kind for e in self.entries if e.answers_to(name)})
        if others:
            what = f"{name!r} is a plugin of kind {' and '.join(others)}, not {kind.kind}."
            return PluginError(what, self._guess(name, kind))
        guess = self._guess(name, kind)
        slip = guess.startswith("Did") and all(entry.own for entry in self.entries)
        what = f"there is no {kind.kind} called {name!r}."
        return PluginError(what, guess if slip else f"{guess} {JUST_ADDED}")

    def _guess(self, name: str, kind: type[PluginSpec]) -> str:
        entries = [e for e in self.entries if isinstance(e.spec, kind)]
        names = sorted({e.full_name if "@" in name else e.spec.name for e in entries})
        home, close = name.partition("@")[2], difflib.get_close_matches(name, names, n=1)
        absent = home not in ("", EXTRA) and not any(same(home, e.distribution) for e in self.entries)
        if close:
            return f"Did you mean {close[0]!r}?" + (f" Else install {home}, which may bring it." if absent else "")
        if absent:
            return f"Install {home}, which may bring it."
        unread = "; 'mer plugins list' says which plugins could not be read" if self.problems else ""
        return f"There are: {', '.join(names) or 'none'}{unread}."


def _importable(name: str) -> bool:
    """Whether a module could be imported, found out without importing anything, its parents included."""
    top, *parts = name.split(".")
    try:
        found = importlib.util.find_spec(top)
        for part in parts:
            top = f"{top}.{part}"
            found = found and PathFinder.find_spec(top, found.submodule_search_locations)
    except (ImportError, ValueError):
        return False
    return found is not None


def _import_target(reference: str, entry: Entry, field: str = "target") -> type[Any]:
    """The class that ``reference``, a field of the spec, names.

    Raises:
        MissingPackageError: a package that the plugin's spec does not name is missing.
        PluginError: whatever else goes wrong while it is imported, or it is no class.
    """
    module, _, attribute = reference.partition(":")
    place = f"{field}= in the spec of {entry.spec.name!r}"
    absent = object()
    try:
        with redirect_stdout(sys.stderr):
            imported = importlib.import_module(module)
            found = getattr(imported, attribute, absent)
    except (Exception, SystemExit) as error:
        fault = explain(error, f"importing {reference}", entry.distribution, module, place)
        kind = MissingPackageError if missing_package(error, module) else PluginError
        raise kind(f"{entry.full_name}: {fault.reason.rstrip('.')}.", fault.remedy) from error
    if found is absent:
        what = f"{entry.full_name}: {module} has no {attribute!r} (it has {_contents(imported)})."
        raise PluginError(what, f"Correct {place}.")
    if not isinstance(found, type):
        raise PluginError(f"{entry.full_name}: {reference} is not a class.", f"Name a class: correct {place}.")
    return found


def _contents(module: ModuleType) -> str:
    """The public classes that a module defines; where there are none, its other public names."""
    public = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    own = [name for name, value in public.items() if getattr(value, "__module__", "") == module.__name__]
    classes = [name for name in own if isinstance(public[name], type)]
    names = sorted(classes or own)
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return (", ".join(names[:MOST_NAMES]) or "no class") + more
