"""``mer finetune``: fit an extractor that learns from labels, to keep and to share."""

from __future__ import annotations

import os
import re
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mer_core.cli import flags
from mer_core.cli.output import print_json, print_note, stdout_console
from mer_core.cli.pairs import label_pairs, pairs

if TYPE_CHECKING:
    from mer_core.fitted import FittedState

NAME = "finetune"

LONG = 6
"""So many numbers in a row are written out."""

DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{20,}\b")


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
    from mer_core.fitted import find_state
    from mer_core.spec import ExtractorSpec
    from mer_core.workflows.finetune import finetune
    from mer_core.workflows.workspace import open_workspace

    first = os.environ.get("RANK", "0") == "0"
    folder = out or Path(name.rpartition("/")[2])
    notice = print_note if first and not json else None
    with show_progress(quiet=json or not first) as progress:
        space = open_workspace(cache, workers=workers, progress=progress if first else None, notice=notice)
        before = find_state(folder)
        state = finetune(
            name,
            data,
            out=folder,
            options=option or (),
            columns=pairs(column, "--column"),
            label_map=label_pairs(label),
            faces=faces,
            derivers=pairs(deriver, "--deriver"),
            group=group,
            seed=seed,
            device=device,
            space=space,
        )
    if first and json:
        print_json(document(state))
    elif first:
        show(state, name, space.catalogue.find(ExtractorSpec, name).modality, new=before is None)


def document(state: FittedState) -> dict[str, Any]:
    """What was fitted and to what, without the list of the clips' digests."""
    facts = {key: value for key, value in state.facts.items() if key != "keys"}
    return {**facts, "folder": str(state.folder), "bytes": _size(state)}


def _size(state: FittedState) -> int:
    return sum(file.stat().st_size for file in state.folder.iterdir() if file.is_file())


def show(state: FittedState, name: str, modality: str, new: bool = True) -> None:
    """What was fitted, how it went, and the command that goes on with it."""
    from rich.markup import escape
    from rich.table import Table

    from mer_core.report.words import count, size

    facts, console = state.facts, stdout_console()
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    when = "" if new else ", by an earlier command"
    table.add_row("Fitted", f"{escape(name)} to {count(facts['clips'], 'clip')}{when}")
    table.add_row("Classes", escape(", ".join(facts["classes"])))
    for key, value in facts.get("summary", {}).items():
        if value not in ("", [], {}, None) and value != facts.get(key):
            table.add_row(escape(key.replace("_", " ").capitalize()), escape(told(value)))
    table.add_row("Wrote" if new else "Lies in", f"{escape(str(state.folder))}/ ({size(_size(state))})")
    console.print(table)
    line = f"mer run --extractor {modality}={name} --fitted {quote(f'{name}={state.folder}')}"
    console.print(f"  {line}", style="dim", markup=False, soft_wrap=True)


def told(value: Any) -> str:
    """A fact of the summary: numbers short, of a long row of them the first and the last, of a digest its beginning."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        numbers = len(value) > LONG and all(isinstance(one, int | float) for one in value)
        return f"{told(value[0])} → {told(value[-1])} ({len(value)} values)" if numbers else ", ".join(map(told, value))
    if isinstance(value, dict):
        return ", ".join(f"{key} {told(item)}" for key, item in value.items())
    return DIGEST.sub(r"\1...", str(value))
