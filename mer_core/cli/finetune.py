"""``mer finetune``: fit an extractor that learns from labels, to keep and to share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mer_core.cli import flags
from mer_core.cli.output import print_json, stdout_console

if TYPE_CHECKING:
    from mer_core.fitted import FittedState

NAME = "finetune"


def command(
    name: Annotated[str, typer.Argument(help="An extractor that learns: emovclip.")],
    data: flags.Data = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder to write.", show_default="<name>", rich_help_panel=flags.WORK)
    ] = None,
    column: flags.Column = None,
    label: flags.Label = None,
    option: flags.OptionFlag = None,
    faces: flags.Faces = None,
    deriver: flags.DeriverFlag = None,
    group: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Column kept together in what is held out inside.", show_default="speaker"),
    ] = None,
    seed: flags.Seed = None,
    cache: flags.CacheFlag = None,
    weights_dir: flags.WeightsDir = None,
    device: flags.Device = None,
    workers: flags.Workers = None,
    json: flags.Json = False,
) -> None:
    """Fit an extractor to the labelled clips of the training split; run again after a kill to go on."""
    from mer_core.cli.progress import show_progress
    from mer_core.workflows.finetune import finetune
    from mer_core.workflows.workspace import open_workspace

    first = os.environ.get("RANK", "0") == "0"
    folder = out or Path(name.rpartition("/")[2])
    with show_progress(quiet=json or not first) as progress:
        space = open_workspace(cache, workers=workers, progress=progress if first else None)
        state = finetune(
            name,
            data,
            out=folder,
            options=option or (),
            columns=flags.pairs(column, "--column"),
            label_map=flags.pairs(label, "--label"),
            faces=faces,
            derivers=flags.pairs(deriver, "--deriver"),
            group=group,
            seed=seed,
            device=device,
            space=space,
        )
    if first and json:
        print_json(document(state))
    elif first:
        _show(name, state)


def document(state: FittedState) -> dict[str, Any]:
    """What was fitted and to what, without the list of the clips' digests."""
    facts = {key: value for key, value in state.facts.items() if key != "keys"}
    return {**facts, "folder": str(state.folder), "bytes": _size(state)}


def _size(state: FittedState) -> int:
    return sum(file.stat().st_size for file in state.folder.iterdir() if file.is_file())


def _show(name: str, state: FittedState) -> None:
    from rich.text import Text

    from mer_core.report.words import count, size

    console = stdout_console()
    facts = state.facts
    console.print(Text.assemble(("Fitted   ", "bold"), f"{name} to {count(facts['clips'], 'clip')}"))
    console.print(Text.assemble(("Classes  ", "bold"), ", ".join(facts["classes"])))
    for key, value in facts.get("summary", {}).items():
        console.print(Text.assemble((f"{key.replace('_', ' ').capitalize():<8} ", "bold"), _told(value)))
    console.print(Text.assemble(("Wrote    ", "bold"), f"{state.folder}/ ({size(_size(state))})"))
    console.print(Text(f"  mer run --fitted {name}={state.folder} --extractor ...={name}", "dim"))


def _told(value: Any) -> str:
    """A fact of the summary, numbers short."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_told, value))
    if isinstance(value, dict):
        return ", ".join(f"{key} {_told(item)}" for key, item in value.items())
    return str(value)
