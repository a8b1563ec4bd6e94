"""``mer dataset check|list``: look at the data before spending time on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mer_core.cli.flags import CacheFlag, Column, Json, Label
from mer_core.cli.output import print_json, stdout_console
from mer_core.cli.pairs import label_pairs, pairs
from mer_core.cli.target_flags import Values, Votes

if TYPE_CHECKING:
    from mer_core.workflows.check import CheckReport

app = typer.Typer(help="Look at a data set before using it.", no_args_is_help=True)


@app.command("check")
def check(
    path: Annotated[str, typer.Argument(help="Manifest, folder or data set name.")],
    column: Column = None,
    label: Label = None,
    values: Values = None,
    votes: Votes = None,
    cache: CacheFlag = None,
    json: Json = False,
) -> None:
    """Open every file and report problems row by row. Exit 0 if clean, 1 with findings."""
    from dataclasses import asdict

    from mer_core.cli.progress import show_progress
    from mer_core.config import DataChoice
    from mer_core.workflows.check import check_dataset
    from mer_core.workflows.data import find_source
    from mer_core.workflows.workspace import open_workspace

    with show_progress(quiet=json) as progress:
        source = Path(path).expanduser()
        if not source.exists():
            source = find_source(DataChoice(source=path), open_workspace(cache, progress=progress))
        columns, labels = pairs(column, "--column"), label_pairs(label)
        report = check_dataset(source, columns, labels, values or (), votes or (), progress=progress)
    if json:
        print_json({**asdict(report), "clean": report.clean})
    else:
        _print_report(report)
    if not report.clean:
        raise typer.Exit(1)


@app.command("list")
def list_datasets(json: Json = False) -> None:
    """List the data sets known by name."""
    from mer_core.registry import discover
    from mer_core.spec import DatasetSpec

    rows: list[dict[str, Any]] = [
        {"name": e.spec.name, "summary": e.spec.summary, "distribution": e.distribution}
        for e in discover().of_kind(DatasetSpec)
    ]
    if json:
        print_json(rows)
        return
    for row in rows:
        stdout_console().print(f"[bold]{row['name']}[/]  {row['summary']}")


def _print_report(report: CheckReport) -> None:
    console = stdout_console()
    colours = {"error": "red", "warning": "yellow"}
    for finding in report.rows:
        console.print(f"[{colours[finding.level]}]{finding.level}[/] ", end="")
        place = finding.place or "whole table"
        console.print(f"{place}: {finding.message.rstrip('.')}. {finding.remedy}", markup=False, soft_wrap=True)
    counts = ", ".join(f"{name} {count}" for name, count in report.class_counts.items()) or "no labels"
    has = ", ".join(f"{name} {count}" for name, count in report.modalities.items())
    console.print(
        f"[bold]{_count(report.n_clips, 'clip')}[/], {_length(report.hours * 3600)}, "
        + (_count(report.speakers, "speaker") if report.speakers else "speakers unknown")
    )
    console.print(f"classes: {counts}\nwith:    {has}", markup=False)
    if set(report.splits) != {"train"}:
        console.print("splits:  " + ", ".join(f"{name} {count}" for name, count in report.splits.items()))
    for note in report.notes:
        console.print(f"note:    {note}", markup=False, soft_wrap=True)
    console.print("[green]clean[/]" if report.clean else f"[bold]{_count(len(report.rows), 'finding')}[/]")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _length(seconds: float) -> str:
    return f"{seconds:.1f} seconds" if seconds < 60 else f"{seconds / 60:.1f} minutes"
