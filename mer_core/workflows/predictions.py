"""Prediction files: one row per clip or window, CSV, readable by people and by ``mer evaluate``."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mer_core.errors import DataError
from mer_core.files import write_text
from mer_core.types import Prediction

PROBABILITY = "p_"
PRESENT = "has_"
MACHINE_MADE = "machine-made"
TRAINED_ON, HELD_OUT, NEW = "trained on", "out-of-fold", "new"
"""How a clip stood to the model that predicted it; the first kind says nothing about new clips."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a prediction file. ``seen`` is one of the three words above; ``transcript`` says that it is
    machine-made, and is empty where it is not."""

    prediction: Prediction
    split: str = ""
    truth: str = ""
    fold: str = ""
    seen: str = NEW
    transcript: str = ""


def prediction_fields(row: Row, classes: Sequence[str], modalities: Sequence[str]) -> dict[str, Any]:
    """The columns of one row, in order."""
    found = row.prediction
    fields: dict[str, Any] = {"id": found.id}
    if found.start is not None:
        fields |= {"start": f"{found.start:g}", "end": "" if found.end is None else f"{found.end:g}"}
    fields |= {"split": row.split, "seen": row.seen, "fold": row.fold}
    fields |= {"label": row.truth, "prediction": found.label or ""}
    fields |= {f"{PROBABILITY}{name}": _share(found.probabilities, name) for name in classes}
    fields |= {f"{PRESENT}{name}": int(found.present.get(name, False)) for name in modalities}
    return fields | ({"transcript": row.transcript} if row.transcript else {})


def _share(probabilities: Mapping[str, float], name: str) -> str:
    return f"{probabilities[name]:.6f}" if name in probabilities else ""


def write_predictions(file: Path, rows: Iterable[Row], classes: Sequence[str], modalities: Sequence[str]) -> None:
    """Write ``rows`` as UTF-8 CSV."""
    listed = [prediction_fields(row, classes, modalities) for row in rows]
    columns = list(dict.fromkeys(key for fields in listed for key in fields)) or ["id", "prediction"]
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, columns, restval="")
    writer.writeheader()
    writer.writerows(listed)
    write_text(file, stream.getvalue())


def read_predictions(file: Path) -> tuple[dict[str, str], frozenset[str]]:
    """Predicted label by clip id, and the ids of clips that the predicting model was trained on.

    Raises:
        DataError: not there, no ``id`` or ``prediction`` column, an id twice (windows of one clip).
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except FileNotFoundError:
        raise DataError(f"there is no file {file}.", "Give a run's predictions.csv.") from None
    columns = set(rows[0]) if rows else set()
    if not {"id", "prediction"} <= columns:
        raise DataError(f"{file} has no columns id and prediction.", "Give a run's predictions.csv.")
    found: dict[str, str] = {}
    for number, row in enumerate(rows, 2):
        if row["id"] in found:
            raise DataError(f"{file}, row {number}: the id {row['id']!r} is there twice.", "Predict without --window.")
        found[row["id"]] = row["prediction"]
    return found, frozenset(row["id"] for row in rows if row.get("seen") == TRAINED_ON)
