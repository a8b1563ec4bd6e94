"""``mer run``: the main job, from raw clips to a scored, reusable model."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mer_core.cli import flags, target_flags, training_flags
from mer_core.cli.gather import settings_of, workspace_of
from mer_core.cli.output import print_json, stdout_console

if TYPE_CHECKING:
    from mer_core.config import RunConfig
    from mer_core.workflows.run import RunResult
    from mer_core.workflows.workspace import Workspace

NAME = "run"

Protocol = Annotated[str | None, typer.Option(help="A published protocol: mer2024.", rich_help_panel=flags.TRAINING)]
Fusion = Annotated[
    str | None, typer.Option(help="Fusion plugin.", show_default="attention", rich_help_panel=flags.TRAINING)
]
Trainer = Annotated[str | None, typer.Option(help="Trainer plugin.", show_default="cv", rich_help_panel=flags.TRAINING)]
Folds = Annotated[
    str | None, typer.Option(metavar="K|loo", help="Folds.", show_default="5", rich_help_panel=flags.TRAINING)
]
Group = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN", help="Column kept together in folds.", show_default="speaker", rich_help_panel=flags.TRAINING
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option(min=1, help="Epochs.", show_default="at least 1,000 steps", rich_help_panel=flags.TRAINING),
]
ModalityDropout = Annotated[
    str | None,
    typer.Option(
        metavar="RATE|M=RATE,...",
        help="One rate, or speech=0.2,text=0.5.",
        show_default="0.3",
        rich_help_panel=flags.TRAINING,
    ),
]
Select = Annotated[
    str | None, typer.Option(help="Epoch kept: last or inner.", show_default="last", rich_help_panel=flags.TRAINING)
]
Out = Annotated[
    Path | None, typer.Option(help="The run's folder.", show_default="runs/<time>", rich_help_panel=flags.WORK)
]
NoListeners = Annotated[
    bool, typer.Option("--no-listeners", help="Tell no plugin of this run.", rich_help_panel=flags.WORK)
]
Plan = Annotated[bool, typer.Option("--plan", help="Say what would be done, and stop.", rich_help_panel=flags.WORK)]


def command(
    ctx: typer.Context,
    data: flags.Data = None,
    column: flags.Column = None,
    label: flags.Label = None,
    values: target_flags.Values = None,
    votes: target_flags.Votes = None,
    modalities: flags.Modalities = None,
    extractor: flags.ExtractorFlag = None,
    preset: flags.Preset = None,
    language: flags.Language = None,
    faces: flags.Faces = None,
    deriver: flags.DeriverFlag = None,
    transcribe: flags.Transcribe = None,
    pooling: flags.Pooling = None,
    option: flags.OptionFlag = None,
    fusion: Fusion = None,
    trainer: Trainer = None,
    protocol: Protocol = None,
    folds: Folds = None,
    group: Group = None,
    epochs: Epochs = None,
    modality_dropout: ModalityDropout = None,
    select: Select = None,
    self_training: flags.SelfTraining = None,
    pseudo_from: flags.PseudoFrom = None,
    competition: flags.Competition = None,
    transductive: flags.Transductive = None,
    audit_labels: flags.AuditLabels = None,
    crossfit: flags.Crossfit = None,
    deploy: flags.Deploy = None,
    fitted: flags.FittedFlag = None,
    seed: flags.Seed = None,
    seeds: training_flags.Seeds = None,
    calibrate: training_flags.Calibrate = None,
    out: Out = None,
    plan: Plan = False,
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
    no_listeners: NoListeners = False,
    json: flags.Json = False,
) -> None:
    """Train and score a model on your clips, or on the built-in sample if you name none."""
    from mer_core.cli.progress import show_progress

    with show_progress(quiet=json) as progress:
        space = workspace_of(ctx.params, progress)
        settings = settings_of(ctx.params, space)
        if plan:
            document = _plan(settings, space)
        else:
            from mer_core.workflows.run import run_config

            result = run_config(settings, space, out=out, command=command_line())
    if plan:
        _show_plan(document, json)
    else:
        show_result(result, json, strict)


def show_result(result: RunResult, as_json: bool, strict: bool) -> None:
    """The summary or the JSON document of a finished run; exit 1 under ``--strict`` with failures."""
    if as_json:
        print_json({**result.report.document(), "folder": str(result.folder)})
    else:
        from mer_core.cli.summary import print_summary

        print_summary(result.report, result.folder, stdout_console())
    if strict and result.report.failures:
        raise typer.Exit(1)


def command_line() -> str:
    """The command as it was typed, for the report."""
    return shlex.join(["mer", *sys.argv[1:]])


def _plan(settings: RunConfig, space: Workspace) -> dict[str, Any]:
    from mer_core.workflows.plan import plan_run

    return plan_run(settings, space)


def _show_plan(document: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(document)
        return
    from mer_core.cli.summary import print_plan

    print_plan(document, stdout_console())
