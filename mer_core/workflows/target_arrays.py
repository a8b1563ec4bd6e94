"""Arrays of a feature table that hold continuous targets, or the votes of raters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mer_core.data.array_files import Arrays
from mer_core.data.votes import read_votes
from mer_core.errors import DataError, UsageError
from mer_core.target_choice import Names, listed_names, value_columns

LABELS = "labels"
"""``--votes labels``: the array of labels holds votes, which are to be learnt from."""


@dataclass(frozen=True)
class TargetArrays:
    """What was asked for: ``values`` as ``valence`` or ``sentiment=label``, ``votes`` one array [N, C]."""

    values: Names = ()
    votes: Names = ()
    arrays: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "arrays", value_columns(self.values))
        if len(listed_names(self.votes)) > 1:
            what = f"--votes: {', '.join(listed_names(self.votes))} are several arrays."
            raise UsageError(what, "Name one array [N, C] with a column of votes per class.")

    def vote_array(self, label: str | None) -> str:
        """The array of votes, "" where none was asked for; ``label`` is that of labels."""
        (asked,) = listed_names(self.votes) or [""]
        return label if asked == LABELS and label else asked

    def read_values(self, arrays: Arrays, count: int) -> tuple[tuple[str, ...], NDArray[np.float64]]:
        """Names of the values and [N, V] what they are, NaN where unknown.

        An array [N, V] with V above 1 is V values, called ``NAME_0`` ....

        Raises:
            DataError: no numbers, none at all, or not one row per clip.
        """
        names: list[str] = []
        columns = [np.empty((count, 0))]
        for name, array in self.arrays.items():
            found = _numbers(arrays, array, count)
            wide = found.shape[1] > 1
            names += [f"{name}_{number}" for number in range(found.shape[1])] if wide else [name]
            columns.append(found)
        table = np.concatenate(columns, axis=1)
        for name, column in zip(names, table.T, strict=True):
            if np.isnan(column).all():
                raise DataError(f"the value {name!r} is known of no clip.", "Fill it in, or do not ask for it.")
        return tuple(names), table

    def read_votes(self, arrays: Arrays, array: str, count: int) -> NDArray[np.float64]:
        """[N, C] votes.

        Raises:
            DataError: not two or more columns of numbers from 0 on, one row per clip.
        """
        found = arrays.read(array)
        if found.ndim != 2 or found.shape[0] != count or found.shape[1] < 2:
            what = f"it has the shape {list(found.shape)}, and votes are [{count}, classes]."
            raise DataError(what, "Name an array with a column of votes per class.")
        return read_votes(found)


NO_TARGETS = TargetArrays()


def given_votes(votes: ArrayLike, classes: Sequence[str] | None, count: int) -> NDArray[np.float64]:
    """Votes [N, C] of somebody's own.

    Raises:
        DataError: no numbers from 0 on, or not one row per clip and one column per class.
    """
    found = read_votes(votes)
    wanted = "classes" if classes is None else str(len(classes))
    if found.ndim != 2 or len(found) != count or found.shape[1] != (len(classes) if classes else found.shape[1]):
        what = f"votes have the shape {list(found.shape)}, not [{count}, {wanted}]."
        raise DataError(what, "Give one row per clip, and one column per class in their order.")
    return found


def given_values(values: Mapping[str, ArrayLike | Sequence[float | None]], count: int) -> NDArray[np.float64] | None:
    """Values [N, V] of somebody's own; None where there are none.

    Raises:
        DataError, UsageError: naming the value.
    """
    value_columns(list(values))
    found = []
    for name, given in values.items():
        try:
            column = np.asarray(given, dtype=np.float64)
        except (TypeError, ValueError):
            raise DataError(f"the values of {name!r} are not numbers.", "Use NaN where a clip has none.") from None
        if column.shape != (count,) or np.isinf(column).any():
            what = f"infinite values of {name!r}." if column.shape == (count,) else ""
            what = what or f"the values of {name!r} have the shape {list(column.shape)}, not [{count}]."
            raise DataError(what, "Give one number per clip, NaN where it is unknown.")
        found.append(column)
    return np.stack(found, axis=1) if found else None


def _numbers(arrays: Arrays, array: str, count: int) -> NDArray[np.float64]:
    found = arrays.read(array)
    try:
        table = np.asarray(found, dtype=np.float64)
    except (TypeError, ValueError):
        row = next((row for row, cell in enumerate(found.tolist()) if not _is_number(cell)), 0)
        what = f"{arrays.path}, array {array!r}, row {row}: {found.tolist()[row]!r} is no number."
        raise DataError(what, "Save values as numbers, NaN where a clip has none.") from None
    table = table[:, None] if table.ndim == 1 else table
    if table.ndim != 2 or len(table) != count:
        what = f"{arrays.path}, array {array!r}: the shape {list(found.shape)} is not one row of values per clip."
        raise DataError(what, f"Give [{count}] or [{count}, V] numbers.")
    if np.isinf(table).any():
        row = int(np.flatnonzero(np.isinf(table).any(axis=1))[0])
        what = f"{arrays.path}, array {array!r}, row {row}: an infinite value."
        raise DataError(what, "Use NaN where there is none.")
    return table


def _is_number(cell: object) -> bool:
    try:
        float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return True
