"""``mer predict``: label, probabilities and which modalities were there, per clip or window."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mer_core.cli import flags
from mer_core.cli.output import print_json, print_note, stderr_console, stdout_console
from mer_core.cli.pairs import pairs
from mer_core.errors import EnvironmentProblem, UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from mer_core.workflows.predict import Predictions

NAME = "predict"
SHOWN = 20
"""Rows that are shown; a file, or JSON, has them all."""


def command(
    model: Annotated[Path, typer.Option("--model", help="The model folder of a run.")],
    data: Annotated[list[str] | None, typer.Argument(metavar="FILES|FOLDER|MANIFEST", help="What to predict.")] = None,
    features: flags.Features = None,
    streams: flags.Streams = None,
    window: Annotated[float | None, typer.Option(help="Window length in seconds, for long clips.")] = None,
    hop: Annotated[float | None, typer.Option(help="Distance of window starts in seconds.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write all rows as CSV; the first 20 are shown.")] = None,
    column: flags.Column = None,
    option: flags.OptionFlag = None,
    cache: flags.CacheFlag = None,
    weights_dir: flags.WeightsDir = None,
    device: flags.Device = None,
    workers: flags.Workers = None,
    allow_upload: flags.AllowUpload = False,
    strict: flags.Strict = False,
    json: flags.Json = False,
) -> None:
    """Predict new clips with a saved model; it uses the very extractors it was trained with."""
    from mer_core.cli.extract import print_failures
    from mer_core.cli.progress import show_progress
    from mer_core.workflows.predict import predict
    from mer_core.workflows.workspace import open_workspace

    if hop is not None and window is None:
        raise UsageError("--hop needs --window.", "For example --window 5 --hop 2.5.")
    refuse_unwritable(out)
    with show_progress(quiet=json) as progress:
        space = open_workspace(cache, workers=workers, progress=progress, notice=print_note)
        found = predict(
            model,
            data,
            window=window,
            hop=hop,
            features=features,
            streams=streams,
            columns=pairs(column, "--column"),
            options=option or (),
            device=device,
            allow_upload=allow_upload,
            space=space,
        )
    if out is not None:
        _write(found, out)
    if json:
        print_json(_document(found))
    else:
        if found.predictions:
            _print(found, out)
        print_failures(found.failures)
        if out is not None:
            stderr_console().print(f"Wrote {out}")
    if not found.predictions or (strict and found.failures):
        raise typer.Exit(1)


def refuse_unwritable(out: Path | None) -> None:
    """Raise before any work if ``out`` could not be written after it."""
    folder = out.parent if out is not None else Path()
    if out is not None and (out.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK)):
        raise EnvironmentProblem(f"--out {out} cannot be written.", "Name a file in a folder that exists.")


def _document(found: Predictions) -> dict[str, object]:
    return {
        "classes": list(found.classes),
        **({"values": list(found.values)} if found.values else {}),
        "predictions": [
            {
                "id": p.id,
                **({"start": p.start, "end": p.end} if p.start is not None else {}),
                "label": p.label,
                "probabilities": dict(p.probabilities),
                **({"values": dict(p.values)} if found.values else {}),
                "present": [name for name, there in p.present.items() if there],
            }
            for p in found.predictions
        ],
        "failures": [{"id": f.id, "stage": f.stage, "reason": f.reason} for f in found.failures],
        "warnings": list(found.warnings),
    }


def _write(found: Predictions, out: Path) -> None:
    from mer_core.workflows.predictions import Row, write_predictions

    modalities = list(dict.fromkeys(name for p in found.predictions for name in p.present))
    write_predictions(out, [Row(p) for p in found.predictions], found.classes, modalities)


def _print(found: Predictions, out: Path | None) -> None:
    console, rest = stdout_console(), len(found.predictions) - SHOWN
    console.print(_table(found))
    if rest > 0:
        where = f"in {out}" if out else "(--out FILE.csv or --json for all)"
        console.print(f"… and {rest:,} more {where}", markup=False, highlight=False, soft_wrap=True)
    if found.classes and (out or rest > 0):
        console.print(_counts(found), markup=False, highlight=False, soft_wrap=True)
    for warning in found.warnings:
        print_note(warning)


def _counts(found: Predictions) -> str:
    """``360 clips: happy 200, sad 160``, windows likewise; classes in their order, those that nothing got too."""
    from mer_core.report.words import count

    labels = [p.label for p in found.predictions]
    noun = "window" if _windowed(found) else "clip"
    return f"{count(len(labels), noun)}: {', '.join(f'{name} {labels.count(name):,}' for name in found.classes)}"


def _windowed(found: Predictions) -> bool:
    return any(p.start is not None for p in found.predictions)


def _table(found: Predictions) -> Table:
    """The first rows: label, shares, values, and which modalities they are from."""
    from rich.table import Table
    from rich.text import Text

    windowed = _windowed(found)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("clip")
    if windowed:
        table.add_column("seconds", justify="right")
    if found.classes:
        table.add_column("label", style="bold")
    for name in (*found.classes, *found.values):
        table.add_column(name, justify="right")
    table.add_column("from", style="dim")
    for p in found.predictions[:SHOWN]:
        span = [f"{p.start:g}–{p.end:g}"] if windowed else []
        shares = [p.label or "", *(f"{p.probabilities[name]:.2f}" for name in found.classes)] if found.classes else []
        shares += [f"{p.values[name]:.3g}" for name in found.values]
        heard = ", ".join(name for name, there in p.present.items() if there)
        table.add_row(Text(p.id), *span, *shares, heard)
    return table
