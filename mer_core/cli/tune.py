"""``mer tune``: draw options, let each fold choose by its own training clips, and keep the best draw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from mer_core.cli import flags, target_flags
from mer_core.cli import run as run_command
from mer_core.cli import train as train_command
from mer_core.cli.gather import settings_of, workspace_of
from mer_core.errors import UsageError

NAME = "tune"
SEARCH = "Search"

Trials = Annotated[
    int, typer.Option("--trials", "-n", min=1, help="Draws; fewer where there are not so many.", rich_help_panel=SEARCH)
]
SearchFlag = Annotated[
    list[str] | None,
    typer.Option(
        "--search",
        metavar="OWNER.KEY=VALUES",
        help="Draw from a,b,c or LOW..HIGH.",
        show_default="hidden, dropout, lr",
        rich_help_panel=SEARCH,
    ),
]
Inner = Annotated[int, typer.Option(min=1, max=5, help="Inner parts of five to choose by.", rich_help_panel=SEARCH)]
Halving = Annotated[
    int,
    typer.Option(min=0, metavar="N", help="N times keep a third, trained thrice as long.", rich_help_panel=SEARCH),
]


def _refuse(flag: str, hint: str) -> Callable[[Any], None]:
    def said(given: Any) -> None:
        if given:
            raise UsageError(f"mer tune takes no {flag}.", hint)

    return said


TRAIN = "For the draw that is kept: mer train --config OUT/config.toml"
Seeds = Annotated[int | None, typer.Option(hidden=True, callback=_refuse("--seeds", f"{TRAIN} --seeds 3."))]
Calibrate = Annotated[
    bool | None,
    typer.Option(
        "--calibrate",
        hidden=True,
        callback=_refuse(
            "--calibrate", f"{TRAIN} --calibrate. For every draw, which takes longer: -o cv.calibrate=true."
        ),
    ),
]
"""Flags of a training that a search has not: they say where to go."""


def command(
    ctx: typer.Context,
    data: flags.Data = None,
    column: flags.Column = None,
    label: flags.Label = None,
    values: target_flags.Values = None,
    votes: target_flags.Votes = None,
    features: flags.Features = None,
    streams: flags.Streams = None,
    labels: train_command.Labels = None,
    split: train_command.Split = None,
    modalities: flags.Modalities = None,
    extractor: flags.ExtractorFlag = None,
    preset: flags.Preset = None,
    language: flags.Language = None,
    faces: flags.Faces = None,
    deriver: flags.DeriverFlag = None,
    transcribe: flags.Transcribe = None,
    pooling: flags.Pooling = None,
    option: flags.OptionFlag = None,
    fusion: run_command.Fusion = None,
    trainer: run_command.Trainer = None,
    protocol: run_command.Protocol = None,
    folds: run_command.Folds = None,
    group: run_command.Group = None,
    epochs: run_command.Epochs = None,
    modality_dropout: run_command.ModalityDropout = None,
    select: run_command.Select = None,
    self_training: flags.SelfTraining = None,
    pseudo_from: flags.PseudoFrom = None,
    competition: flags.Competition = None,
    transductive: flags.Transductive = None,
    audit_labels: flags.AuditLabels = None,
    crossfit: flags.Crossfit = None,
    deploy: flags.Deploy = None,
    fitted: flags.FittedFlag = None,
    seed: flags.Seed = None,
    trials: Trials = 50,
    search: SearchFlag = None,
    inner: Inner = 1,
    halving: Halving = 0,
    seeds: Seeds = None,
    calibrate: Calibrate = None,
    out: run_command.Out = None,
    config: flags.Config = None,
    cache: flags.CacheFlag = None,
    weights_dir: flags.WeightsDir = None,
    device: flags.Device = None,
    devices: flags.Devices = None,
    workers: flags.Workers = None,
    allow_upload: flags.AllowUpload = False,
    strict: flags.Strict = False,
    verify: flags.Verify = False,
    retry_crashed: flags.Retry = False,
    no_listeners: run_command.NoListeners = False,
    json: flags.Json = False,
) -> None:
    """Search options of fusion and trainer, scored on clips that had no part in the choice; go on after a kill."""
    from mer_core.cli.progress import show_progress
    from mer_core.workflows.tune import make_hunt, tune_config

    with show_progress(quiet=json) as progress:
        space = workspace_of(ctx.params, progress)
        settings = settings_of(ctx.params, space)
        hunt = make_hunt(settings, space.catalogue, search or (), trials=trials, inner=inner, halving=halving)
        result = tune_config(settings, hunt, space, out=out, command=run_command.command_line())
    run_command.show_result(result, json, strict)
