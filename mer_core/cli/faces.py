"""``mer faces sheet``: see with your own eyes which faces the image modality is made from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mer_core.cli.flags import CacheFlag, Column, Data, Faces, OptionFlag
from mer_core.cli.output import stdout_console
from mer_core.cli.pairs import pairs

app = typer.Typer(help="Look at the faces that were found.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Look at the faces that were found."""


@app.command("sheet")
def sheet(
    data: Data = None,
    out: Annotated[Path, typer.Option(help="The PNG to write.")] = Path("faces.png"),
    clips: Annotated[int, typer.Option(min=1, help="At most this many clips.")] = 40,
    per_clip: Annotated[int, typer.Option(min=1, help="Faces shown per clip.")] = 8,
    faces: Faces = None,
    option: OptionFlag = None,
    column: Column = None,
    cache: CacheFlag = None,
) -> None:
    """Write a contact sheet of aligned faces, clip by clip, those without a face included."""
    from mer_core.cli.progress import show_progress
    from mer_core.configure import make_config
    from mer_core.workflows.data import load_data
    from mer_core.workflows.faces import face_sheet
    from mer_core.workflows.jobs import build_deriver
    from mer_core.workflows.workspace import open_workspace

    with show_progress() as progress:
        space = open_workspace(cache, progress=progress)
        config = make_config(
            space.catalogue,
            data=data,
            faces=faces,
            columns=pairs(column, "--column"),
            modalities=["image"],
            options=option or (),
        )
        table = load_data(config.data, space)
        deriver, inputs = build_deriver("faces", config, space.catalogue)
        written = face_sheet(table.clips[:clips], deriver, out, per_clip=per_clip, inputs=inputs, progress=progress)
    stdout_console().print(f"Wrote {written}")
