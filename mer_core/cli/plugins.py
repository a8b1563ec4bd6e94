"""``mer plugins list|show|check|new``: what there is, from whom, what it needs, whether it is right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mer_core.cli import plugin_new, plugins_check, plugins_show
from mer_core.cli.flags import Json
from mer_core.cli.output import print_json, stdout_console
from mer_core.cli.plugins_rows import COLOURS, MISSING, READY, entry_row, ordered, problem_row, source_row

if TYPE_CHECKING:
    from rich.table import Table

app = typer.Typer(help="See which plugins there are, check them, begin a new one.", no_args_is_help=True)

COLUMNS = ("name", "modality", "from", "status", "needs", "what it is")

UNREAD = "could not be read"
"""Stands where the kind would, of what was not read far enough to know it."""

SHORTEST = 20
"""Characters of what a plugin is that are shown at least."""


@app.command("list")
def list_plugins(
    kind: Annotated[str | None, typer.Option(help="Only one kind: extractor, fusion, listener ...")] = None,
    json: Json = False,
) -> None:
    """List every plugin, the broken ones with their reason and what to do."""
    from mer_core.registry import discover

    _check_kind(kind)
    catalogue = discover()
    rows = [entry_row(catalogue, entry) for entry in ordered(catalogue.entries) if kind in (None, entry.spec.kind)]
    problems = [problem_row(problem) for problem in catalogue.problems]
    slow = [source_row(source) for source in catalogue.sources if source.slow]
    if json:
        print_json({"plugins": rows, "problems": problems, "slow": slow})
        return
    console = stdout_console()
    console.print(_table([*rows, *problems], console.width))
    for row in [*rows, *problems]:
        if row["reason"]:
            _explain(row["full_name"], row["status"], row["reason"], row["remedy"])
    for row in slow:
        _explain(f"{row['entry_point']}@{row['distribution']}", "slow", row["note"].removeprefix("slow: "), "")


app.command("show")(plugins_show.show)
app.command("check")(plugins_check.check)
app.command("new")(plugin_new.new)


def _check_kind(kind: str | None) -> None:
    from mer_core.errors import UsageError
    from mer_core.spec import KINDS

    if kind is not None and kind not in KINDS:
        raise UsageError(f"there is no kind {kind!r}.", f"Kinds are {', '.join(KINDS)}.")


def _table(rows: list[dict[str, Any]], width: int) -> Table:
    """One line per plugin, under its kind; where the window is narrow, what it is gets cut (``show`` has it whole)."""
    from rich.table import Table
    from rich.text import Text

    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    cells = [_cells(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(COLUMNS, *cells, strict=True)]
    widths[0] = max([widths[0], *(len(kind or UNREAD) for kind in kinds)])
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column, longest in zip(COLUMNS[:-1], widths, strict=False):
        table.add_column(column, no_wrap=True, min_width=longest)
    left = width - sum(widths[:-1]) - 2 * len(widths) + 2
    table.add_column(COLUMNS[-1], no_wrap=True, max_width=max(left, SHORTEST))
    for kind in kinds:
        table.add_row(Text(kind or UNREAD, "bold"))
        for row, texts in zip(rows, cells, strict=True):
            if row["kind"] == kind:
                table.add_row(*(Text(text, _colour(row, name)) for name, text in zip(COLUMNS, texts, strict=True)))
    return table


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    modality, summary = row.get("modality") or "", row.get("summary", "")
    wanted = ", ".join(row.get("needs", ()))
    return (f"  {row['name']}", modality, row["distribution"], _said(row), wanted, summary)


def _said(row: dict[str, Any]) -> str:
    """``ready as attention@bad`` where the name alone means another plugin; else the status."""
    short = row["status"] != READY or row["call"] == row["name"]
    return str(row["status"]) if short else f"{row['status']} as {row['call']}"


def _colour(row: dict[str, Any], column: str) -> str:
    return COLOURS[row["status"]] if column == "status" else ""


def _explain(who: str, status: str, reason: str, remedy: str) -> None:
    """Under the table: who, why, and on a line of its own what to do."""
    from rich.padding import Padding
    from rich.text import Text

    console = stdout_console()
    colour = COLOURS.get(status, COLOURS[MISSING])
    console.print()
    console.print(Text.assemble((status, colour), " ", (who, "bold"), ": ", reason))
    if remedy:
        console.print(Padding(Text(remedy), (0, 0, 0, 2), expand=False))
