"""Prediction files: one row per clip or window, CSV, readable by people and by ``mer evaluate``."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mer_core.errors import DataError
from mer_core.files import write_text
from mer_core.types import Prediction

PROBABILITY = "p_"
PRESENT = "has_"
TRUE = "_true"
MACHINE_MADE = "machine-made"
TRAINED_ON, HELD_OUT, NEW = "trained on", "out-of-fold", "new"
"""How a clip stood to the model that predicted it; the first kind says nothing about new clips."""
GIVE = "Give a run's predictions.csv."


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a prediction file. ``seen`` is one of the three words above; ``transcript`` says that it is
    machine-made, and is empty where it is not. ``values`` are the true ones."""

    prediction: Prediction
    split: str = ""
    truth: str = ""
    fold: str = ""
    seen: str = NEW
    transcript: str = ""
    values: Mapping[str, float] = field(default_factory=dict)


def prediction_fields(
    row: Row, classes: Sequence[str], modalities: Sequence[str], values: Mapping[str, bool] | None = None
) -> dict[str, Any]:
    """The columns of one row, in order.

    Args:
        values: names of continuous targets, and whether the true ones have a column, too.
    """
    found = row.prediction
    fields: dict[str, Any] = {"id": found.id}
    if found.start is not None:
        fields |= {"start": f"{found.start:g}", "end": "" if found.end is None else f"{found.end:g}"}
    fields |= {"split": row.split, "seen": row.seen, "fold": row.fold}
    fields |= {"label": row.truth, "prediction": found.label or ""}
    fields |= {f"{PROBABILITY}{name}": _share(found.probabilities, name) for name in classes}
    for name, known in (values or {}).items():
        fields |= {name: _number(found.values, name)}
        fields |= {f"{name}{TRUE}": _number(row.values, name)} if known else {}
    fields |= {f"{PRESENT}{name}": int(found.present.get(name, False)) for name in modalities}
    return fields | ({"transcript": row.transcript} if row.transcript else {})


def _share(probabilities: Mapping[str, float], name: str) -> str:
    return f"{probabilities[name]:.6f}" if name in probabilities else ""


def _number(values: Mapping[str, float], name: str) -> str:
    return f"{values[name]:.6g}" if name in values else ""


def write_predictions(file: Path, rows: Iterable[Row], classes: Sequence[str], modalities: Sequence[str]) -> None:
    """Write ``rows`` as UTF-8 CSV."""
    rows = list(rows)
    true = {name for row in rows for name in row.values}
    values = {name: name in true for name in dict.fromkeys(name for row in rows for name in row.prediction.values)}
    listed = [prediction_fields(row, classes, modalities, values) for row in rows]
    columns = list(dict.fromkeys(key for fields in listed for key in fields)) or ["id", "prediction"]
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, columns, restval="")
    writer.writeheader()
    writer.writerows(listed)
    write_text(file, stream.getvalue())


@dataclass(frozen=True, slots=True)
class PredictionFile:
    """The cells of a prediction file, which has the columns ``id`` and ``prediction``."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Mapping[str, str], ...]

    def read(self, values: Sequence[str] = ()) -> dict[str, Prediction]:
        """Predictions by clip id.

        Args:
            values: columns of continuous predictions to read.

        Raises:
            DataError: no such columns, an id twice (windows of one clip), a value that is no number.
        """
        _refuse_absent(self.path, self.columns, values)
        classes = [name.removeprefix(PROBABILITY) for name in self.columns if name.startswith(PROBABILITY)]
        found: dict[str, Prediction] = {}
        for number, row in enumerate(self.rows, 2):
            if row["id"] in found:
                what = f"{self.path}, row {number}: the id {row['id']!r} is there twice."
                raise DataError(what, "Predict without --window.")
            shares = {name: row[f"{PROBABILITY}{name}"] for name in classes}
            found[row["id"]] = Prediction(
                id=row["id"],
                label=row["prediction"] or None,
                probabilities=_floats(self.path, number, shares),
                present={},
                values=_floats(self.path, number, {name: row[name] for name in values}),
            )
        return found

    @property
    def seen(self) -> dict[str, str]:
        """By clip id, how it stood to the model: one of the three words above, or nothing."""
        return {row["id"]: row.get("seen") or "" for row in self.rows}


def open_predictions(file: Path) -> PredictionFile:
    """The rows of a prediction file.

    Raises:
        DataError: not there, no CSV, or without the columns ``id`` and ``prediction``.
    """
    if not file.exists():
        raise DataError(f"there is no file {file}.", GIVE)
    if file.is_dir():
        inner = file / "predictions.csv"
        raise DataError(f"{file} is a folder.", f"Did you mean {inner}?" if inner.is_file() else GIVE)
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file} is no CSV file in UTF-8: {error}.", GIVE) from None
    columns = tuple(rows[0]) if rows else ()
    _refuse_absent(file, columns)
    return PredictionFile(file, columns, tuple(rows))


def _refuse_absent(file: Path, columns: Sequence[str], values: Sequence[str] = ()) -> None:
    absent = [name for name in ("id", "prediction", *values) if name not in columns]
    if absent:
        said = "id and prediction" if absent[0] in ("id", "prediction") else absent[0]
        raise DataError(f"{file} has no columns {said}.", GIVE)


def _floats(file: Path, number: int, cells: Mapping[str, str | None]) -> dict[str, float]:
    """Cells as numbers, empty ones left out."""
    try:
        return {name: float(cell) for name, cell in cells.items() if cell}
    except ValueError as error:
        raise DataError(f"{file}, row {number}: {error}.", GIVE) from None
