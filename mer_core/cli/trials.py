"""The table of a search's best draws."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from mer_core.report.words import number

if TYPE_CHECKING:
    from mer_core.report.tuning import TrialLine, Tuning

SHOWN = 10


def trials(found: Tuning) -> Table:
    """The best draws on inner parts; WAF."""
    table = Table(
        title=f"[bold]Search: the best of {len(found.trials)} draws[/]",
        title_justify="left",
        caption="inner: WAF on the parts that draws are chosen by; held out: on the scored clips, optimistic",
        caption_justify="left",
        box=None,
        header_style="dim",
        pad_edge=False,
    )
    for name in ("draw", *(name.partition(".")[2] for name in found.names), "inner", "held out", "chosen by"):
        table.add_column(name, justify="left" if name == "chosen by" else "right")
    for one in found.ranked[:SHOWN]:
        drawn = [str(one.draw[name]) for name in found.names]
        table.add_row(str(one.trial), *drawn, number(one.mean), number(one.held_out), _chosen(one))
    return table


def _chosen(one: TrialLine) -> str:
    folds = f"fold {', '.join(map(str, one.chosen_by))}" if one.chosen_by else ""
    return ", ".join(filter(None, [folds, "kept" if one.kept else ""]))
