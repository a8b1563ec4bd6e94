"""Plugins that are not installed: a list of specs, and options for them. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import ConfigDict

from mer_core.plugin import NoOptions, Options, PluginSpec, hookimpl

__all__ = ["NoOptions", "Shelf", "SloppyOptions"]


class Shelf:
    """A plugin module, as far as mer can tell."""

    def __init__(self, specs: Iterable[PluginSpec]) -> None:
        self.specs = tuple(specs)

    @hookimpl
    def mer_specs(self) -> Iterable[PluginSpec]:
        return self.specs


class SloppyOptions(Options):
    """Options that swallow what they do not know."""

    model_config = ConfigDict(extra="allow")
