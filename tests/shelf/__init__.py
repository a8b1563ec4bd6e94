"""Plugins for the tests of the conformance kit: good ones, and others broken in exactly one way.

Importable by the processes that the kit starts; this module is light, as one that lists specs has to be.
"""

from __future__ import annotations

from mer_core.hookspecs import hookimpl
from mer_core.spec import PluginSpec


class Shelf:
    """A plugin object that offers ``specs``."""

    def __init__(self, *specs: PluginSpec) -> None:
        self.specs = specs

    @hookimpl
    def mer_specs(self) -> list[PluginSpec]:
        return list(self.specs)
