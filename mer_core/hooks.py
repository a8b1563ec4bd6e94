"""The hooks of one plugin object: which will be called, which never could be as they are written, and why."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pluggy

from mer_core import hookspecs

ALL_HOOKS = tuple(name for name, value in vars(hookspecs).items() if hasattr(value, f"{hookspecs.PROJECT}_spec"))
EVENT_HOOKS = tuple(name for name in ALL_HOOKS if name != "mer_specs")
"""Hooks that listen to a run; each has one argument, ``event``."""

MARKED = f"{hookspecs.PROJECT}_impl"
"""The attribute that ``hookimpl`` leaves at a function."""


@dataclass(frozen=True, slots=True)
class HookFault:
    """Why ``hook`` of a plugin is never called, and what to write instead."""

    hook: str
    reason: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a plugin object implements.

    Args:
        manager: calls the hooks of this plugin alone.
        known: hooks that it will call.
        unknown: marked functions for which mer has no hook.
        faults: hooks that are left out, because a call could not succeed or would do nothing.
    """

    manager: pluggy.PluginManager
    known: tuple[str, ...]
    unknown: tuple[str, ...]
    faults: tuple[HookFault, ...]

    @property
    def listens(self) -> tuple[str, ...]:
        """The event hooks that will be called, in the order in which a run calls them."""
        return tuple(name for name in EVENT_HOOKS if name in self.known)


class _Manager(pluggy.PluginManager):
    """Registers what can be called and notes the rest; pluggy itself would refuse the whole plugin."""

    def __init__(self) -> None:
        super().__init__(hookspecs.PROJECT)
        self.add_hookspecs(hookspecs)
        self.faults: list[HookFault] = []

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> Any:
        """How ``name`` is marked; None if it is not, or is faulty."""
        found = super().parse_hookimpl_opts(plugin, name)
        if found is None:
            return None
        fault = _fault(plugin, name, found.get("specname") or name)
        if fault is None:
            return found
        self.faults.append(fault)
        return None


def read_hooks(plugin: object) -> Hooks:
    """Look at a plugin module or object; calls none of its hooks."""
    manager = _Manager()
    manager.register(plugin)
    callers = manager.get_hookcallers(plugin) or []
    known = tuple(caller.name for caller in callers if caller.has_spec())
    unknown = tuple(
        caller.name
        for caller in callers
        if not caller.has_spec() and not all(impl.optionalhook for impl in caller.get_hookimpls())
    )
    return Hooks(manager, known, unknown, (*manager.faults, *_unmarked(plugin)))


def object_name(plugin: object) -> str:
    """What a plugin that is not installed is called: its module, or its class."""
    if isinstance(plugin, ModuleType):
        return plugin.__name__
    return (plugin if isinstance(plugin, type) else type(plugin)).__name__


def module_of(plugin: object) -> str:
    """Name of the module that ``plugin`` is, or that its class is from."""
    if isinstance(plugin, ModuleType):
        return plugin.__name__
    return str((plugin if isinstance(plugin, type) else type(plugin)).__module__)


def unmarked_names(plugin: object) -> list[str]:
    """Functions that are named like hooks (``mer_...``) and not marked as such."""
    names = [name for name in dir(plugin) if name.startswith("mer_")]
    found = {name: inspect.getattr_static(plugin, name) for name in names}
    return [name for name, value in found.items() if inspect.isroutine(value) and not _is_marked(value)]


def _is_marked(value: object) -> bool:
    function = getattr(value, "__func__", value)
    return hasattr(function, MARKED) or hasattr(function, f"{hookspecs.PROJECT}_spec")


def _unmarked(plugin: object) -> Iterator[HookFault]:
    for name in unmarked_names(plugin):
        if name in ALL_HOOKS:
            remedy = f"Write @hookimpl (from mer_core.plugin) above '{_definition(name)}'."
            yield HookFault(name, f"{name} is not marked as a hook.", remedy)


def _fault(plugin: object, name: str, hook: str) -> HookFault | None:
    """What is wrong with the function ``name`` of a plugin, marked as ``hook``."""
    if isinstance(plugin, type) and inspect.isfunction(inspect.getattr_static(plugin, name)):
        remedy = f"Write 'listener = {plugin.__name__}()' in the module, and name that in pyproject.toml."
        return HookFault(hook, f"{hook}: {plugin.__name__} is a class, and its hooks need an object of it.", remedy)
    function = getattr(plugin, name)
    reason = _wrong_arguments(function, hook) if hook in ALL_HOOKS else ""
    if reason:
        return HookFault(hook, reason, f"Write '{_definition(hook)}'.")
    if hook in EVENT_HOOKS and _does_nothing(function):
        return HookFault(
            hook, f"{hook} does nothing when it is called: it is async or has 'yield'.", "Write a plain def."
        )
    return None


def _wrong_arguments(function: Any, hook: str) -> str:
    """Hooks are called with what they ask for by name and without default; everything else is never given."""
    known = _arguments(hook)
    own = inspect.signature(function).parameters
    stars = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    required = [item for item in own.values() if item.kind not in stars and item.default is item.empty]
    if any(item.name not in known or item.kind is item.KEYWORD_ONLY for item in required):
        return f"{hook}{_shown(function)}: this hook has {_takes(known)}."
    if any(name in own and own[name].default is not inspect.Parameter.empty for name in known):
        return f"{hook}{_shown(function)}: an argument with a default is never given."
    return ""


def _arguments(hook: str) -> list[str]:
    return list(inspect.signature(getattr(hookspecs, hook)).parameters)


def _takes(known: list[str]) -> str:
    return f"one argument, {known[0]!r}, which may be left out" if known else "no argument"


def _shown(function: Any) -> str:
    """``(fold, score)``: arguments as they are written, without annotations."""
    found = inspect.signature(function)
    bare = [item.replace(annotation=item.empty) for item in found.parameters.values()]
    return str(found.replace(parameters=bare, return_annotation=found.empty))


def _definition(hook: str) -> str:
    return f"def {hook}({', '.join(_arguments(hook))})"


def _does_nothing(function: Any) -> bool:
    wrapper = getattr(function, MARKED, {})
    made = inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function)
    return made and not (wrapper.get("wrapper") or wrapper.get("hookwrapper"))
