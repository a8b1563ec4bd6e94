"""The options of a plugin, as ``mer plugins show`` prints them: whole, on any terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console

Option = Mapping[str, str]

HEAD = ("option", "type", "default", "what it does")
LONGEST = 32
"""Cells of a default in the table; longer ones are told below."""
NARROWEST = 36
"""Cells that a description needs: where there are fewer, options go one below the other."""
GAP = 2
BELOW = "(below)"


def print_options(owner: str, options: Sequence[Option], console: Console) -> None:
    """One row per option where the console is wide enough, and long defaults below; else one paragraph per option."""
    rows = [(f"{owner}.{one['name']}", one["type"], one["default"], one["description"]) for one in options]
    short = [(name, kind, default if _fits(default) else BELOW, told) for name, kind, default, told in rows]
    widths = [max(cell_len(row[column]) for row in [HEAD, *short]) for column in range(3)]
    if console.width - sum(widths) - 3 * GAP < NARROWEST:
        console.print(_paragraphs(rows))
        return
    console.print(_table(short))
    for name, _, default, _ in rows:
        if not _fits(default):
            console.print(
                Text(f"\n{name} is by default", style="dim"), Padding(Text(default), (0, 0, 0, GAP)), sep="\n"
            )


def _fits(default: str) -> bool:
    return cell_len(default) <= LONGEST


def _table(rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in HEAD:
        table.add_column(column, overflow="fold", no_wrap=column != HEAD[-1])
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _paragraphs(rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(HEAD[0], no_wrap=True, overflow="fold")
    table.add_column(HEAD[-1], overflow="fold")
    for name, kind, default, description in rows:
        facts = Text(f"{kind}, by default {default}" if default != "required" else f"{kind}, required", style="dim")
        table.add_row(Text(name), Text.assemble(description, "\n", facts) if description else facts)
    return table
