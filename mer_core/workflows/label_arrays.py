"""Labels and votes of a file of arrays: names, indices or shares, and the classes that they are of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mer_core.data.votes import majority, merged, normalise_with_votes
from mer_core.errors import DataError
from mer_core.report.words import count
from mer_core.workflows.arrays import compose
from mer_core.workflows.named_arrays import NamedArrays, listed
from mer_core.workflows.target_arrays import TargetArrays


class Labels(NamedTuple):
    """[N] labels, [N] votes by class (None where none were asked for), the classes, and what was done."""

    labels: list[str | None]
    votes: list[dict[str, float]] | None
    classes: tuple[str, ...]
    notes: tuple[str, ...]


class _Spelt(NamedTuple):
    """[N] names, how each is spelt, the classes that occur in their order, and what was done."""

    names: list[str | None]
    mapping: dict[str, str]
    classes: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class LabelArrays:
    """What is learnt of ``rows`` clips, values left out."""

    names: NamedArrays
    targets: TargetArrays
    rows: int

    @property
    def votes(self) -> str:
        """The array of votes that are learnt from; "" where none were asked for."""
        return self.targets.vote_array(self.names.named("label"))

    def read(self, label_map: Mapping[str, str]) -> Labels:
        """Labels as ``label_map`` renames them.

        Raises:
            DataError: naming file, array and row.
        """
        if self.votes:
            return self._voted(self.votes, label_map)
        found = self._spelt(label_map)
        return Labels(found.names, None, found.classes, found.notes)

    def _voted(self, array: str, label_map: Mapping[str, str]) -> Labels:
        """With votes beside the labels, or in their place."""
        with self.names.naming(array):
            table = self.targets.read_votes(self.names.arrays, array, self.rows)
        columns = self._class_names([0]) or tuple(map(str, range(table.shape[1])))
        self._fits(columns, table.shape[1], array)
        spelt = self._spelt(label_map, columns)
        voted, table = merged(table, columns, spelt.mapping)
        best, told = majority(array, table, learnt=True)
        own = [None if place is None else voted[place] for place in best]
        if self.names.named("label") in (None, array):
            labels, notes = own, told
        else:
            labels = [mine if label is None else label for label, mine in zip(spelt.names, own, strict=True)]
            notes = _compared(array, spelt.names, own)
        shares = [_shared(voted, row) for row in table.tolist()]
        classes = (*voted, *(name for name in spelt.classes if name not in voted))
        return Labels(labels, shares, classes, (*spelt.notes, *notes))

    def _spelt(self, label_map: Mapping[str, str], beside: Sequence[str] = ()) -> _Spelt:
        """The labels without votes; ``beside`` are further names of classes."""
        array = self.names.named("label")
        if array is None or (beside and array == self.votes):
            mapping, told = normalise_with_votes((), beside, label_map)
            return _Spelt([None] * self.rows, mapping, (), tuple(told))
        cells, notes, columns = self._cells(array)
        names = self._class_names(cells)
        if columns and names:
            self._fits(names, columns, array)
        with self.names.naming(array):
            found = compose({"row": np.zeros((self.rows, 1))}, cells, classes=names)
        order = found.targets.classes
        written = [*order, *(order[index] for index in found.labels if index >= 0)]
        mapping, told = normalise_with_votes(written, beside, label_map)
        spelt = [mapping[order[index]] or None if index >= 0 else None for index in found.labels]
        classes = tuple(dict.fromkeys(mapping[one] for one in order if mapping[one] in set(spelt)))
        return _Spelt(spelt, mapping, classes, (*notes, *told))

    def _cells(self, array: str) -> tuple[list[Any], list[str], int]:
        """Names or indices of the classes, remarks, and how many columns of votes they were counted from (0: none)."""
        values = self.names.arrays.read(array)
        if values.ndim == 2 and values.shape[1] > 1:
            with self.names.naming(array):
                return *majority(array, values), values.shape[1]
        return listed(values.reshape(-1) if values.ndim == 2 else values), [], 0

    def _fits(self, names: Sequence[str], columns: int, array: str) -> None:
        """Refuse votes whose columns are not as many as there are names of classes."""
        if len(names) != columns:
            what = f"it has {columns} columns of votes, and there are {len(names)} names of classes."
            with self.names.naming(array):
                raise DataError(what, "Name the array that has them: --column classes=ARRAY.")

    def _class_names(self, labels: Sequence[Any]) -> tuple[str, ...] | None:
        """Names of the classes that numbers count; None where labels are text or nobody names them."""
        asked = self.names.columns.get("classes")
        array = self.names.named("classes")
        if array is None or (any(isinstance(one, str) for one in labels) and not asked):
            return None
        return tuple(str(name) for name in self.names.cells(array))


def _shared(names: Sequence[str], votes: Sequence[float]) -> dict[str, float]:
    return {name: number for name, number in zip(names, votes, strict=True) if number}


def _compared(array: str, labels: Sequence[str | None], votes: Sequence[str | None]) -> list[str]:
    """Remarks on labels that are not those of the votes beside them."""
    pairs = [(label, voted) for label, voted in zip(labels, votes, strict=True) if voted is not None]
    other, filled = (sum(test) for test in zip(*((bool(a) and a != b, a is None) for a, b in pairs), strict=True))
    notes = [f"the label is not the majority of the votes in {array!r}: {count(other, 'clip')}"] if other else []
    return [*notes, *([f"{count(filled, 'clip')} without a label: it is the majority of the votes"] if filled else [])]
