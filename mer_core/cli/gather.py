"""How the flags of a command become a workspace and one configuration: the same for all that run or extract."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mer_core.cli import flags
from mer_core.cli.dropout_rates import dropout_rates
from mer_core.cli.output import print_note
from mer_core.errors import UsageError

if TYPE_CHECKING:
    from mer_core.config import RunConfig
    from mer_core.protocols import Progress
    from mer_core.workflows.workspace import Workspace

Given = Mapping[str, Any]
"""A command's parameters by name, as ``typer.Context.params`` holds them."""

SETTINGS = (
    *("data", "column", "label", "values", "votes", "features", "streams", "labels", "split"),
    *("modalities", "extractor", "deriver", "transcribe", "option", "preset", "language", "faces", "pooling"),
    *("fusion", "trainer", "protocol", "group", "competition", "transductive", "audit_labels"),
    *("crossfit", "deploy", "fitted", "seed", "seeds", "allow_upload"),
)
"""Flags that :func:`mer_core.cli.flags.configure` takes under their own names."""
TRAINER_OPTIONS = ("epochs", "modality_dropout", "select", "self_training", "pseudo_from", "calibrate")
"""Trainer options that have a flag of their own."""
ELSEWHERE = (
    *("config", "folds", "device", "devices", "cache", "workers", "verify", "retry_crashed", "no_listeners"),
    *("weights_dir", "out", "plan", "strict", "json", "shard", "frames", "trials", "search", "inner", "halving"),
)
"""All other flags of these commands: of the workspace, of single commands, or looked at by name below."""


def workspace_of(given: Given, progress: Progress | None) -> Workspace:
    """Where a command works, and how."""
    from mer_core.workflows.workspace import open_workspace

    return open_workspace(
        _path(given["cache"]),
        workers=given.get("workers"),
        devices=flags.several_devices(given["device"], given.get("devices")),
        verify=given.get("verify", False),
        retry=given.get("retry_crashed", False),
        progress=progress,
        listeners=not given.get("no_listeners", False),
        notice=print_note,
    )


def settings_of(given: Given, space: Workspace) -> RunConfig:
    """The configuration that a command's flags ask for; a run computes on the first of several devices.

    Raises:
        MerError: naming the flag or option, and what to write instead.
    """
    return flags.configure(
        space.catalogue,
        file=_path(given["config"]),
        folds=fold_count(given.get("folds")),
        device=space.devices[0] if space.devices else given["device"],
        trainer_options=trainer_options(given),
        **{name: given[name] for name in SETTINGS if name in given},
    )


def fold_count(text: str | None) -> int | str | None:
    """``"5"`` -> 5; ``loo`` and None stay.

    Raises:
        UsageError: anything else, or fewer than two.
    """
    if text in (None, "loo"):
        return text
    if text.isdigit() and int(text) >= 2:
        return int(text)
    raise UsageError(f"--folds {text}: that many folds cannot be made.", "Give a number from 2 on, or loo.")


def trainer_options(given: Given) -> dict[str, Any]:
    """The trainer options that have a flag of their own, those given."""
    asked = {key: given[key] for key in TRAINER_OPTIONS if given.get(key) is not None}
    if "modality_dropout" in asked:
        asked["modality_dropout"] = dropout_rates(asked["modality_dropout"])
    return asked


def _path(told: str | Path | None) -> Path | None:
    """The context of older versions of Typer holds a string."""
    return None if told is None else Path(told)
