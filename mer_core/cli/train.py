"""``mer train``: as ``mer run``, from features that are already in the store."""

from __future__ import annotations

from pathlib import Path

import typer

from mer_core.cli import run as run_command
from mer_core.cli.blocks import Data, Ending, Repeats, Run, Streams, Table, Targets, Training, Work, taking
from mer_core.cli.gather import settings_of, workspace_of

NAME = "train"


@taking(Data, Targets, Table, Streams, Training, Repeats, Run, Work, Ending)
def command(ctx: typer.Context, *, out: Path | None, strict: bool, json: bool) -> None:
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
