"""The hooks a plugin module may implement. Hooks register and announce; tensors never pass here.

An implementation may leave out the argument. An event hook that raises is reported once and never
harms the run.
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from mer_core.events import FeaturesReady, FoldFinished, RunFinished, RunStarted
from mer_core.spec import PluginSpec

PROJECT = "mer"
ENTRY_POINT_GROUP = "mer.plugins"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def mer_specs() -> Iterable[PluginSpec]:
    """Return the specs of everything this module offers. Must not import anything heavy."""
    raise NotImplementedError


@hookspec
def mer_run_started(event: RunStarted) -> None:
    """A run begins: its folder, its resolved configuration, how many clips."""


@hookspec
def mer_features_ready(event: FeaturesReady) -> None:
    """Extraction is over: what each stream has, what failed."""


@hookspec
def mer_fold_finished(event: FoldFinished) -> None:
    """A fold was scored on the clips that it held out."""


@hookspec
def mer_run_finished(event: RunFinished) -> None:
    """A run ended, well, badly or interrupted."""
