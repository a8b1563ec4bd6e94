"""Tables of scores of values and votes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from mer_core.report.values import rows_of
from mer_core.report.words import bounds, count, number, units

if TYPE_CHECKING:
    from mer_core.report.sections import Metrics
    from mer_core.report.values import ValueScore, VoteScore

PLACES = {"cv": "cross-validation", "val": "validation split", "test": "test split"}


def target_tables(metrics: Metrics) -> Iterator[Table]:
    """A table for each value and for the votes, by section."""
    for key, found in metrics.values.items():
        for one in found:
            yield target_table(f"{one.name}, {PLACES.get(key, key)}", one)
    for key, votes in metrics.votes.items():
        yield target_table(f"Predicted distributions beside the votes, {PLACES.get(key, key)}", votes)


def target_table(title: str, one: ValueScore | VoteScore) -> Table:
    """Scores in a row, each with its interval, and what always answering the mean would score."""
    told = f"{count(one.n, 'clip')}; 95% intervals resample {units(one.n_units, one.unit)}"
    table = Table(
        title=f"[bold]{title}[/]",
        title_justify="left",
        caption=told,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    rows = rows_of(one)
    for name in ("", *(name for name, _, _ in rows)):
        table.add_column(name)
    table.add_row("model", *(Text.assemble((number(s.value), "bold"), f"  {bounds(s)}") for _, s, _ in rows))
    table.add_row("constant answer", *(number(constant) for _, _, constant in rows), style="dim")
    return table
