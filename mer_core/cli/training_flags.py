"""Flags of how a model is trained."""

from __future__ import annotations

from typing import Annotated

import typer

from mer_core.cli.flags import TRAINING

Seeds = Annotated[
    int | None,
    typer.Option(min=1, help="Trainings with further seeds; averaged.", show_default="1", rich_help_panel=TRAINING),
]
Calibrate = Annotated[
    bool | None,
    typer.Option("--calibrate", help="Probabilities that mean what they say.", rich_help_panel=TRAINING),
]
