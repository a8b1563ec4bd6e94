"""``mer train``: as ``mer run``, from features that are already in the store."""

from __future__ import annotations

from typing import Annotated

import typer

from mer_core.cli import flags, target_flags, training_flags
from mer_core.cli import run as run_command
from mer_core.cli.gather import settings_of, workspace_of

NAME = "train"

Labels = Annotated[
    str | None,
    typer.Option(
        metavar="ARRAY",
        help="The table's labels: names, indices, or votes [N, C].",
        show_default="labels",
        rich_help_panel=flags.DATA,
    ),
]
Split = Annotated[
    str | None,
    typer.Option(
        metavar="ARRAY|none",
        help="The table's splits, val scored instead of folds.",
        show_default="test of split kept out",
        rich_help_panel=flags.DATA,
    ),
]


def command(
    ctx: typer.Context,
    data: flags.Data = None,
    column: flags.Column = None,
    label: flags.Label = None,
    values: target_flags.Values = None,
    votes: target_flags.Votes = None,
    features: flags.Features = None,
    streams: flags.Streams = None,
    labels: Labels = None,
    split: Split = None,
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
    seeds: training_flags.Seeds = None,
    calibrate: training_flags.Calibrate = None,
    out: run_command.Out = None,
    config: flags.Config = None,
    cache: flags.CacheFlag = None,
    weights_dir: flags.WeightsDir = None,
    device: flags.Device = None,
    allow_upload: flags.AllowUpload = False,
    strict: flags.Strict = False,
    no_listeners: run_command.NoListeners = False,
    json: flags.Json = False,
) -> None:
    """Train and score from stored features, or from a table of your own; extracts nothing, and says so if some are
    not there.
    """
    from mer_core.cli.progress import show_progress
    from mer_core.workflows.plan import refuse_unextracted
    from mer_core.workflows.run import run_config

    with show_progress(quiet=json) as progress:
        space = workspace_of(ctx.params, progress)
        settings = settings_of(ctx.params, space)
        if not settings.data.features:
            refuse_unextracted(settings, space)
        result = run_config(settings, space, out=out, command=run_command.command_line())
    run_command.show_result(result, json, strict)
