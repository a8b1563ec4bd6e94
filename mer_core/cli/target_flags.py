"""Flags of what is learnt: labels, votes and values, and which clips are scored."""

from __future__ import annotations

from typing import Annotated

import typer

from mer_core.cli import flags

Values = Annotated[
    str | None,
    typer.Option(metavar="LIST", help="Numbers to predict: valence,arousal.", rich_help_panel=flags.DATA),
]
Votes = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMNS", help="Learn from raters' votes: 'vote_*', or an array.", rich_help_panel=flags.DATA
    ),
]
Labels = Annotated[
    str | None,
    typer.Option(
        metavar="ARRAY",
        help="The table's labels: names, indices, or votes [N, C].",
        show_default="labels",
        rich_help_panel=flags.DATA,
    ),
]
Split = Annotated[
    str | None,
    typer.Option(
        metavar="ARRAY|none",
        help="The table's splits, val scored instead of folds.",
        show_default="test of split kept out",
        rich_help_panel=flags.DATA,
    ),
]
