"""``mer tune``: draw options, let each fold choose by its own training clips, and keep the best draw."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from mer_core.cli import run as run_command
from mer_core.cli.blocks import Data, Ending, Engine, Run, Streams, Table, Targets, Training, Work, taking
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


@taking(Data, Targets, Table, Streams, Training, Run, Work, Engine, Ending)
def command(
    ctx: typer.Context,
    *,
    trials: Trials = 50,
    search: SearchFlag = None,
    inner: Inner = 1,
    halving: Halving = 0,
    seeds: Seeds = None,
    calibrate: Calibrate = None,
    out: Path | None,
    strict: bool,
    json: bool,
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
