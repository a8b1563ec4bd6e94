"""The hooks a plugin module may implement. Hooks register and announce; tensors never pass here."""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from mer_core.spec import PluginSpec

PROJECT = "mer"
ENTRY_POINT_GROUP = "mer.plugins"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def mer_specs() -> Iterable[PluginSpec]:
    """Return the specs of everything this module offers. Must not import anything heavy."""
    raise NotImplementedError
