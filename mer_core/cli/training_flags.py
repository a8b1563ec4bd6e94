"""Flags of how a model is trained, and of the run that does it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mer_core.cli.flags import TRAINING, WORK

Protocol = Annotated[str | None, typer.Option(help="A published protocol: mer2024.", rich_help_panel=TRAINING)]
Fusion = Annotated[str | None, typer.Option(help="Fusion plugin.", show_default="attention", rich_help_panel=TRAINING)]
Trainer = Annotated[str | None, typer.Option(help="Trainer plugin.", show_default="cv", rich_help_panel=TRAINING)]
Folds = Annotated[str | None, typer.Option(metavar="K|loo", help="Folds.", show_default="5", rich_help_panel=TRAINING)]
Group = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN", help="Column kept together in folds.", show_default="speaker", rich_help_panel=TRAINING
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option(min=1, help="Epochs.", show_default="at least 1,000 steps", rich_help_panel=TRAINING),
]
ModalityDropout = Annotated[
    str | None,
    typer.Option(
        metavar="RATE|M=RATE,...",
        help="One rate, or speech=0.2,text=0.5.",
        show_default="0.3",
        rich_help_panel=TRAINING,
    ),
]
Select = Annotated[
    str | None, typer.Option(help="Epoch kept: last or inner.", show_default="last", rich_help_panel=TRAINING)
]
Out = Annotated[Path | None, typer.Option(help="The run's folder.", show_default="runs/<time>", rich_help_panel=WORK)]
NoListeners = Annotated[bool, typer.Option("--no-listeners", help="Tell no plugin of this run.", rich_help_panel=WORK)]
Plan = Annotated[bool, typer.Option("--plan", help="Say what would be done, and stop.", rich_help_panel=WORK)]
Seeds = Annotated[
    int | None,
    typer.Option(min=1, help="Trainings with further seeds; averaged.", show_default="1", rich_help_panel=TRAINING),
]
Calibrate = Annotated[
    bool | None,
    typer.Option("--calibrate", help="Probabilities that mean what they say.", rich_help_panel=TRAINING),
]
