"""OpenFace's table of one clip: landmarks, confidence and time per frame.

Columns are found by name, which some versions write with a space before it. Frames count from 1. Of several
faces, the one with the largest sum of width times confidence is the main one.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mer_core.plugin import BoolArray, DataError, IntArray

Floats = NDArray[np.float64]

COUNT = 68
FACTS = ("frame", "face_id", "timestamp", "confidence", "success")
POINTS = (*(f"x_{i}" for i in range(COUNT)), *(f"y_{i}" for i in range(COUNT)))
CENTRE = ("p_tx", "p_ty")

AGAIN = "Run OpenFace on it again."


@dataclass(frozen=True, slots=True)
class Table:
    """T rows in order of time.

    ``frames`` [T] from 1, ``faces`` [T] ids, ``stamps`` [T] seconds (NaN where the table has none),
    ``confidence`` [T] and ``success`` [T] (1 where it does not say), ``points`` [T, 68, 2] and ``centres`` [T, 2]
    in pixels, NaN where it has none.
    """

    frames: IntArray
    faces: IntArray
    stamps: Floats
    confidence: Floats
    success: BoolArray
    points: Floats
    centres: Floats

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def has_points(self) -> bool:
        """Whether it has landmarks at all."""
        return bool(np.isfinite(self.points).all(axis=(1, 2)).any())

    def tracked(self, least: float, successful: bool) -> BoolArray:
        """[T]: frames in which a face was found, with so much confidence, and successfully if that is asked."""
        found: BoolArray = (self.confidence >= least) & (self.success | (not successful))
        return found

    def laid_out(self) -> BoolArray:
        """[T]: frames whose landmarks are a face; OpenFace writes zeros before it has found one."""
        spread: BoolArray = np.isfinite(self.points).all(axis=(1, 2)) & (np.ptp(self.points, axis=1).max(1) > 1)
        return spread

    def rows(self, chosen: BoolArray | IntArray) -> Table:
        """Those rows."""
        return replace(self, **{one.name: getattr(self, one.name)[chosen] for one in fields(self)})

    def main(self) -> Table:
        """The rows of the main face."""
        ids = sorted({int(face) for face in self.faces})
        if len(ids) < 2:
            return self
        return self.rows(self.faces == max(ids, key=lambda face: _merit(self.rows(self.faces == face))))


def _merit(table: Table) -> float:
    widths = np.nan_to_num(np.ptp(table.points[..., 0], axis=1), nan=1.0)
    return float((widths * table.confidence).sum())


def read_table(path: Path) -> Table:
    """All faces of the table in ``path``.

    Raises:
        DataError: it is cut off, has no column ``frame``, or something in it is no number.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header, *rows = [row for row in csv.reader(file, skipinitialspace=True) if row]
    except ValueError:
        raise DataError(f"{path} is empty.", AGAIN) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.", AGAIN) from error
    return _table(path, [name.strip() for name in header], rows)


def _table(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    places = {name: place for place, name in enumerate(header)}
    if "frame" not in places:
        raise DataError(f"{path} has no column frame; it is no table of OpenFace.", AGAIN)
    short = next((number for number, row in enumerate(rows, 2) if len(row) != len(header)), None)
    if short:
        raise DataError(f"{path} is cut off in line {short}.", AGAIN)
    wanted = [name for name in (*FACTS, *POINTS, *CENTRE) if name in places]
    try:
        cells = np.array([[row[places[name]] for name in wanted] for row in rows], np.float64)
    except ValueError as error:
        raise DataError(f"{path} holds what is no number ({error}).", AGAIN) from None
    cells = cells.reshape(len(rows), len(wanted))
    return _from_columns({name: cells[:, place] for place, name in enumerate(wanted)}, len(rows))


def _from_columns(columns: dict[str, Floats], count: int) -> Table:
    def column(name: str, otherwise: float) -> Floats:
        return columns.get(name, np.full(count, otherwise))

    stacked = np.stack([column(name, np.nan) for name in (*POINTS, *CENTRE)], axis=1)
    table = Table(
        frames=column("frame", 0).astype(np.int64),
        faces=column("face_id", 0).astype(np.int64),
        stamps=column("timestamp", np.nan),
        confidence=column("confidence", 1.0),
        success=column("success", 1.0) > 0.5,
        points=stacked[:, : 2 * COUNT].reshape(count, 2, COUNT).swapaxes(1, 2),
        centres=stacked[:, 2 * COUNT :],
    )
    return table.rows(np.argsort(table.frames, kind="stable"))
