"""What a check looks at: a plugin of the catalogue, with options, on a device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from mer_core.catalogue import Catalogue, Entry
from mer_core.spec import PluginSpec
from mer_core.types import Derived

TOLERANCE = 1e-3
"""Default of :attr:`Subject.tolerance`."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A plugin under examination.

    Args:
        entry: its place in the catalogue; ``entry.full_name`` is never ambiguous.
        options: validated options.
        device: torch device string.
        derived: stand-ins for derived inputs, by artefact name.
        deriver_options: options of the derivers that make the other derived inputs, by their names.
        tolerance: largest difference between two ways of computing the same features that counts as
            equal, as a share of the features' own spread.
        memory: what checks have found out and others use, by name.
    """

    entry: Entry
    catalogue: Catalogue
    options: Any
    device: str = "cpu"
    derived: Mapping[str, Derived] = field(default_factory=dict)
    deriver_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tolerance: float = TOLERANCE
    memory: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def spec(self) -> PluginSpec:
        """What the plugin declares."""
        return self.entry.spec

    @cached_property
    def plugin_class(self) -> type[Any]:
        """The class behind the spec, imported now."""
        return self.catalogue.load(type(self.spec), self.entry.full_name)
