"""Flags that commands have in common, in blocks, and how a command takes some of them.

A block is a class whose annotations are flags and whose values are their defaults. A command reads them from
``typer.Context.params`` (see :mod:`mer_core.cli.gather`), so it need not repeat them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, get_type_hints

from mer_core.cli import flags, target_flags, training_flags

Command = TypeVar("Command", bound=Callable[..., None])


class Data:
    """Which clips."""

    data: flags.Data = None
    column: flags.Column = None
    label: flags.Label = None


class Targets:
    """What is learnt beside labels."""

    values: target_flags.Values = None
    votes: target_flags.Votes = None


class Table:
    """Features of one's own."""

    features: flags.Features = None
    streams: flags.Streams = None
    labels: target_flags.Labels = None
    split: target_flags.Split = None


class Streams:
    """What is extracted from clips."""

    modalities: flags.Modalities = None
    extractor: flags.ExtractorFlag = None
    preset: flags.Preset = None
    language: flags.Language = None
    faces: flags.Faces = None
    deriver: flags.DeriverFlag = None
    transcribe: flags.Transcribe = None
    fitted: flags.FittedFlag = None
    option: flags.OptionFlag = None


class Training:
    """How a model is trained and scored."""

    pooling: flags.Pooling = None
    fusion: training_flags.Fusion = None
    trainer: training_flags.Trainer = None
    protocol: training_flags.Protocol = None
    folds: training_flags.Folds = None
    group: training_flags.Group = None
    epochs: training_flags.Epochs = None
    modality_dropout: training_flags.ModalityDropout = None
    select: training_flags.Select = None
    self_training: flags.SelfTraining = None
    pseudo_from: flags.PseudoFrom = None
    competition: flags.Competition = None
    transductive: flags.Transductive = None
    audit_labels: flags.AuditLabels = None
    crossfit: flags.Crossfit = None
    deploy: flags.Deploy = None
    seed: flags.Seed = None


class Repeats:
    """Several trainings, and what their probabilities mean."""

    seeds: training_flags.Seeds = None
    calibrate: training_flags.Calibrate = None


class Run:
    """Where a run goes, and who hears of it."""

    out: training_flags.Out = None
    no_listeners: training_flags.NoListeners = False


class Planned:
    """What a run would do."""

    plan: training_flags.Plan = False


class Work:
    """Where a command works."""

    config: flags.Config = None
    cache: flags.CacheFlag = None
    weights_dir: flags.WeightsDir = None
    device: flags.Device = None


class Engine:
    """How clips are extracted."""

    devices: flags.Devices = None
    workers: flags.Workers = None
    verify: flags.Verify = False
    retry_crashed: flags.Retry = False


class Ending:
    """What a command may let out, and how it ends."""

    allow_upload: flags.AllowUpload = False
    strict: flags.Strict = False
    json: flags.Json = False


def taking(*blocks: type) -> Callable[[Command], Command]:
    """Give a command the flags of ``blocks`` beside its own, in the order of the blocks, its own first.

    A flag that is in a block and among the command's own parameters is handed to it, in the place and with the
    default that the block says.
    """

    def wrap(command: Command) -> Command:
        own = inspect.signature(command).parameters
        hints = get_type_hints(command, include_extras=True)
        shared = {name: one for block in blocks for name, one in _flags(block).items()}
        mine = {name: one.replace(annotation=hints[name]) for name, one in own.items() if name not in shared}
        every = {**mine, **shared}

        @wraps(command)
        def called(**given: Any) -> None:
            command(**{name: given[name] for name in own})

        called.__signature__ = inspect.Signature(list(every.values()))  # type: ignore[attr-defined]
        called.__annotations__ = {name: one.annotation for name, one in every.items()} | {"return": None}
        return called  # type: ignore[return-value]

    return wrap


def _flags(block: type) -> dict[str, inspect.Parameter]:
    keyword = inspect.Parameter.KEYWORD_ONLY
    hints = get_type_hints(block, include_extras=True)
    return {
        name: inspect.Parameter(name, keyword, default=getattr(block, name), annotation=hint)
        for name, hint in hints.items()
    }
