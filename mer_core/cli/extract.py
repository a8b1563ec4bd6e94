"""``mer extract``: fill the feature store, alone or beside other machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mer_core.cli.blocks import Data, Ending, Engine, Streams, Work, taking
from mer_core.cli.gather import settings_of, workspace_of
from mer_core.cli.output import print_json, print_note, stderr_console
from mer_core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mer_core.report.causes import Failed
    from mer_core.workflows.extract import Extraction

NAME = "extract"
LONGEST_ID = 80


@taking(Data, Streams, Work, Engine, Ending)
def command(
    ctx: typer.Context,
    *,
    shard: Annotated[str | None, typer.Option(metavar="I/N", help="Only every n-th clip, from the i-th.")] = None,
    frames: Annotated[bool, typer.Option("--frames", help="Keep frame-level features, not only statistics.")] = False,
    strict: bool,
    json: bool,
) -> None:
    """Extract features of every clip that lacks them. Safe to stop at any time and run again."""
    from mer_core.cli.progress import show_progress
    from mer_core.workflows.data import load_data
    from mer_core.workflows.extract import extract_clips

    with show_progress(quiet=json) as progress:
        space = workspace_of(ctx.params, progress)
        settings = settings_of(ctx.params, space)
        table = load_data(settings.data, space)
        found = extract_clips(settings, table, space, shard=parse_shard(shard), keep_frames=frames)
    if json:
        print_json(account(found))
    else:
        _print(found)
    if strict and found.report.failures:
        raise typer.Exit(1)


def parse_shard(text: str | None) -> tuple[int, int] | None:
    """``"2/8"`` -> ``(2, 8)``, 1-based.

    Raises:
        UsageError: anything else.
    """
    if text is None:
        return None
    first, slash, count = text.partition("/")
    if slash and first.isdigit() and count.isdigit() and 1 <= int(first) <= int(count):
        return int(first), int(count)
    raise UsageError(f"--shard {text!r} is not I/N with 1 <= I <= N.", "For example --shard 1/4.")


def account(found: Extraction) -> dict[str, object]:
    """What was extracted, reused, missing and failed, as JSON."""
    report = found.report
    return {
        "n_clips": len(found.table.clips),
        "extracted": report.extracted,
        "reused": report.reused,
        "missing": {stream: len(reasons) for stream, reasons in report.missing.items()},
        **({"remarks": list(found.remarks)} if found.remarks else {}),
        "failures": [{"id": f.id, "stage": f.stage, "reason": f.reason} for f in report.failures],
        **({"transcripts": found.transcripts.model_dump()} if found.transcripts else {}),
        "seconds": report.seconds,
        "media_hours": report.media_hours,
    }


def _print(found: Extraction) -> None:
    from rich.table import Table

    console = stderr_console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("stream", "extracted", "reused", "missing"):
        table.add_column(column, justify="left" if column == "stream" else "right")
    report = found.report
    for stream in found.config.streams:
        counts = (report.extracted.get(stream, 0), report.reused.get(stream, 0), len(report.missing.get(stream, {})))
        table.add_row(stream, *map(str, counts))
    console.print(table)
    print_failures(report.failures)
    from mer_core.workflows.transcripts import told

    for warning in (*found.remarks, *found.warnings, *told(found.transcripts)):
        print_note(warning)


def print_failures(failures: Iterable[Failed], most: int = 10, rest: str = "--json lists them all") -> None:
    """The failed clips with stage and reason, on stderr; equal reasons on one line, the first few lines of them."""
    from mer_core.report.causes import causes
    from mer_core.report.words import count

    listed = list(failures)
    found, console = causes(listed), stderr_console()
    if listed:
        clips = count(len({failure.id for failure in listed}), "clip")
        console.print(f"[yellow]Warning[/] {clips} could not be used, wholly or in part:")
    for cause in found[:most]:
        name = cause.id if len(cause.id) <= LONGEST_ID else f"{cause.id[:LONGEST_ID]}…"
        line = f"{name} ({cause.stage}): {cause.reason}"
        if cause.n > 1:
            line = f"{cause.n:,} × ({cause.stage}) {cause.reason.rstrip('.')}, e.g. {name}"
        console.print(f"  {line}", markup=False)
    if len(found) > most:
        console.print(f"  and {sum(cause.n for cause in found[most:]):,} more; {rest}")
