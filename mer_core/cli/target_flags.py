"""Flags of targets beside one label per clip."""

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
