"""The table of modalities beside models trained on each alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from mer_core.report.rivals import difference
from mer_core.report.words import number

if TYPE_CHECKING:
    from mer_core.report.parts import Score
    from mer_core.report.rivals import Rival

COLUMNS = ("", "trained alone", "fusion given it alone", "alone − fusion given it", "fusion without it")


def competition(found: Sequence[Rival]) -> Table:
    """WAF of each modality: by a model of its own, and by the fusion with and without it."""
    table = Table(
        title="[bold]Competition of modalities (WAF)[/]",
        title_justify="left",
        box=None,
        header_style="dim",
        pad_edge=False,
    )
    for name in COLUMNS:
        table.add_column(name)
    for one in found:
        table.add_row(one.modality, _waf(one.alone), _waf(one.masked), difference(one.shortfall), _waf(one.without))
    return table


def _waf(score: Score | None) -> str:
    return number(score.value if score else None, 2)
