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

import pluggy

from mer_core import hookspecs
from mer_core.catalogue import Catalogue, Entry, Problem, Source
from mer_core.errors import MerError, PluginError
from mer_core.faults import EXTRA, explain
from mer_core.spec import PluginSpec, check_spec

__all__ = ["Catalogue", "Entry", "Problem", "Source", "discover"]


def discover(extra: Iterable[object] = ()) -> Catalogue:
    """Read every installed plugin module, each in its own try.

    Args:
        extra: plugin objects (modules or instances with hook implementations) to take in beside the
            installed ones, as if from a distribution ``extra``; for tests and notebooks.
    """
    catalogue = Catalogue()
    for point in sorted(entry_points(group=hookspecs.ENTRY_POINT_GROUP), key=_point_key):
        _read(catalogue, _distribution(point), point.name, point.value, point.load)
    for number, plugin in enumerate(extra):
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
            doing = "its hook mer_specs"
            offered, unknown_hooks = _offered(plugin)
    except (Exception, SystemExit) as error:
        broken(error, doing)
        return
    catalogue.sources.append(Source(distribution, entry_point, plugin, time.monotonic() - began, target))
    for wrong in unknown_hooks:
        broken(wrong, doing)
    for item in offered:
        try:
            catalogue.entries.append(_entry(catalogue, item, distribution, entry_point))
        except MerError as error:
            broken(error, doing)


def _offered(plugin: object) -> tuple[list[object], list[PluginError]]:
    """What ``mer_specs`` returns, and an error for each hook that mer does not have.

    Each plugin is registered alone, so that none can get in the way of another.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(plugin)
    callers = manager.get_hookcallers(plugin) or []
    if not callers:
        hint = (
            "Write @hookimpl (from mer_core.plugin) above 'def mer_specs()' in the module that the entry point names."
        )
        raise PluginError("it implements no hook.", hint)
    known = [caller.name for caller in callers if caller.has_spec()]
    wrong = [
        _misspelt(caller.name)
        for caller in callers
        if not caller.has_spec() and not all(impl.optionalhook for impl in caller.get_hookimpls())
    ]
    if "mer_specs" not in known:
        return [], wrong
    return _as_list(manager.hook.mer_specs()), wrong


def _misspelt(name: str) -> PluginError:
    hooks = [hook for hook in vars(hookspecs) if hook.startswith("mer_")]
    close = difflib.get_close_matches(name, hooks, n=1)
    guess = f"Did you mean {close[0]!r}?" if close else f"Hooks are {', '.join(hooks)}."
    return PluginError(f"there is no hook called {name!r}.", guess)


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
