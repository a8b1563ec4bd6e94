"""Discover plugins, keep a catalogue of them, resolve a name to a class.

Discovery imports only the light modules behind the entry points of group ``mer.plugins``. A plugin
that cannot be read becomes a :class:`Problem` in the catalogue and an error only when asked for.
What a plugin prints while it is imported goes to stderr, so that it spoils no JSON document.
"""

from __future__ import annotations

import difflib
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stdout
from functools import partial
from importlib.metadata import EntryPoint, entry_points

from mer_core import hookspecs
from mer_core.catalogue import Catalogue, Entry, Problem, Source
from mer_core.errors import MerError, PluginError
from mer_core.faults import explain
from mer_core.hooks import ALL_HOOKS, EVENT_HOOKS, Hooks, object_name, read_hooks, unmarked_names
from mer_core.names import EXTRA
from mer_core.spec import ListenerSpec, PluginSpec, check_spec

__all__ = ["Catalogue", "Entry", "Problem", "Source", "discover", "listener_name"]


def discover(extra: Iterable[object] = ()) -> Catalogue:
    """Read every installed plugin module, each in its own try.

    Args:
        extra: plugin objects (modules or instances with hook implementations) to take in beside the
            installed ones, as if from a distribution ``extra``; for tests and notebooks. One that is
            installed, too, is taken in once, under the name of its distribution.
    """
    catalogue = Catalogue()
    for point in sorted(entry_points(group=hookspecs.ENTRY_POINT_GROUP), key=_point_key):
        _read(catalogue, _distribution(point), point.name, point.value, point.load)
    for number, plugin in enumerate(extra):
        if not any(source.plugin is plugin for source in catalogue.sources):
            _read(catalogue, EXTRA, str(number), type(plugin).__name__, partial(_itself, plugin))
    return catalogue


def _itself(plugin: object) -> object:
    return plugin


def _distribution(point: EntryPoint) -> str:
    return (point.dist.name if point.dist else "") or "unknown"


def _point_key(point: EntryPoint) -> tuple[str, str]:
    return (_distribution(point), point.name)


def _read(catalogue: Catalogue, distribution: str, entry_point: str, target: str, load: Callable[[], object]) -> None:
    """Add what one plugin module offers; whatever goes wrong there, SystemExit too, becomes a problem."""
    began, doing = time.monotonic(), f"importing {target}"

    def broken(error: BaseException, doing: str) -> None:
        fault = explain(error, doing, distribution, target.partition(":")[0])
        problem = Problem(distribution, entry_point, fault.reason, fault.remedy, target, fault.where)
        catalogue.problems.append(problem)

    try:
        with redirect_stdout(sys.stderr):
            plugin = load()
            hooks = _hooks(plugin)
            doing = "its hook mer_specs"
            offered = _as_list(hooks.manager.hook.mer_specs()) if "mer_specs" in hooks.known else []
    except (Exception, SystemExit) as error:
        broken(error, doing)
        return
    source = Source(distribution, entry_point, plugin, time.monotonic() - began, target)
    catalogue.sources.append(source)
    for wrong in _wrong(hooks):
        broken(wrong, doing)
    for item in offered:
        try:
            catalogue.entries.append(_entry(catalogue, item, distribution, entry_point))
        except MerError as error:
            broken(error, doing)
    catalogue.entries.extend(_listener(source, hooks))


def _hooks(plugin: object) -> Hooks:
    """The hooks of a plugin, which is looked at alone, so that none can get in the way of another.

    Raises:
        PluginError: there is nothing that even looks like one.
    """
    hooks = read_hooks(plugin)
    if hooks.known or hooks.unknown or hooks.faults:
        return hooks
    unmarked = unmarked_names(plugin)
    name = unmarked[0] if unmarked else "mer_specs"
    hint = f"Write @hookimpl (from mer_core.plugin) above 'def {name}' in the module that the entry point names."
    raise PluginError("it implements no hook.", hint)


def _wrong(hooks: Hooks) -> list[PluginError]:
    """An error for each hook that mer does not have, and for ``mer_specs`` if it cannot be called."""
    faults = [PluginError(fault.reason, fault.remedy) for fault in hooks.faults if fault.hook not in EVENT_HOOKS]
    return [*map(_misspelt, hooks.unknown), *faults]


def _misspelt(name: str) -> PluginError:
    close = difflib.get_close_matches(name, ALL_HOOKS, n=1)
    guess = f"Did you mean {close[0]!r}?" if close else f"Hooks are {', '.join(ALL_HOOKS)}."
    return PluginError(f"there is no hook called {name!r}.", guess)


def _listener(source: Source, hooks: Hooks) -> list[Entry]:
    """The plugin as a listener, if it has event hooks, right or wrong."""
    faults = tuple((fault.reason, fault.remedy) for fault in hooks.faults if fault.hook in EVENT_HOOKS)
    if not (hooks.listens or faults):
        return []
    spec = ListenerSpec(
        name=listener_name(source),
        target=source.target,
        summary=f"hears {', '.join(hooks.listens)}" if hooks.listens else "",
        hooks=hooks.listens,
        faults=faults,
    )
    return [Entry(spec, source.distribution, entry_point=source.entry_point)]


def listener_name(source: Source) -> str:
    """What a plugin is called as a listener: its entry point, or its own name if it is not installed."""
    return object_name(source.plugin) if source.distribution == EXTRA else source.entry_point


def _as_list(batches: list[object]) -> list[object]:
    """What one ``mer_specs`` returned, as a list. Pluggy leaves out a result that is None."""
    batch = batches[0] if batches else None
    if isinstance(batch, Iterable) and not isinstance(batch, str | bytes | Mapping):
        return list(batch)
    raise PluginError(f"mer_specs returned {_named(batch)}, not a list.", "Return a list of specs.")


def _entry(catalogue: Catalogue, item: object, distribution: str, entry_point: str) -> Entry:
    """``item`` as an entry; a spec that cannot be used is one too, with its problem.

    Raises:
        PluginError: it is no spec, or the distribution has one of this kind and name already.
    """
    if not isinstance(item, PluginSpec):
        raise PluginError(
            f"mer_specs returned {_named(item)} in its list.", "Return specs, such as ExtractorSpec(...)."
        )
    twins = [
        e
        for e in catalogue.entries
        if (e.spec.kind, e.spec.name, e.distribution) == (item.kind, item.name, distribution)
    ]
    if twins:
        points = f"entry points {twins[0].entry_point!r} and {entry_point!r}"
        raise PluginError(f"it offers the {item.kind} {item.name!r} twice ({points}).", "Name each once.")
    try:
        check_spec(item)
    except Exception as error:
        fault = explain(error, "reading its spec", distribution)
        return Entry(item, distribution, fault.reason, fault.remedy, entry_point)
    return Entry(item, distribution, entry_point=entry_point)


def _named(value: object) -> str:
    """``None``, ``the class ExtractorSpec`` or ``a dict``: what a plugin returned, in an error."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return "None" if value is None else f"one {type(value).__name__}"
