"""``mer run``: the main job, from raw clips to a scored, reusable model."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mer_core.cli.blocks import Data, Ending, Engine, Planned, Repeats, Run, Streams, Targets, Training, Work, taking
from mer_core.cli.gather import settings_of, workspace_of
from mer_core.cli.output import print_json, stdout_console

if TYPE_CHECKING:
    from mer_core.config import RunConfig
    from mer_core.workflows.run import RunResult
    from mer_core.workflows.workspace import Workspace

NAME = "run"


@taking(Data, Targets, Streams, Training, Repeats, Run, Planned, Work, Engine, Ending)
def command(ctx: typer.Context, *, plan: bool, out: Path | None, strict: bool, json: bool) -> None:
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
