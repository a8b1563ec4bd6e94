"""``mer train``: as ``mer run``, from features that are already in the store."""

from __future__ import annotations

from mer_core.cli import flags
from mer_core.cli import run as run_command

NAME = "train"


def command(
    data: flags.Data = None,
    column: flags.Column = None,
    label: flags.Label = None,
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
    crossfit: flags.Crossfit = None,
    deploy: flags.Deploy = None,
    fitted: flags.FittedFlag = None,
    seed: flags.Seed = None,
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
    """Train and score from stored features; extracts nothing, and says so if some are not there."""
    from mer_core.cli.extract import print_note
    from mer_core.cli.progress import show_progress
    from mer_core.workflows.plan import refuse_unextracted
    from mer_core.workflows.run import run_config
    from mer_core.workflows.workspace import open_workspace

    with show_progress(quiet=json) as progress:
        space = open_workspace(cache, progress=progress, listeners=not no_listeners, notice=print_note)
        settings = flags.configure(
            space.catalogue,
            file=config,
            data=data,
            column=column,
            label=label,
            modalities=modalities,
            extractor=extractor,
            deriver=deriver,
            transcribe=transcribe,
            option=option,
            preset=preset,
            language=language,
            faces=faces,
            pooling=pooling,
            fusion=fusion,
            trainer=trainer,
            protocol=protocol,
            folds=run_command.fold_count(folds),
            group=group,
            crossfit=crossfit,
            deploy=deploy,
            fitted=fitted,
            seed=seed,
            device=device,
            allow_upload=allow_upload,
            trainer_options=run_command.trainer_flags(epochs, modality_dropout, select),
        )
        refuse_unextracted(settings, space)
        result = run_config(settings, space, out=out, command=run_command.command_line())
    run_command.show_result(result, json, strict)
