"""A file of arrays as clips: which array holds ids, labels, groups, splits and streams, and what is wrong with them."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer_core.data.array_files import Arrays
from mer_core.data.dataset import ClipTable
from mer_core.data.splits import UNUSED_LABEL_SPLIT, read_split
from mer_core.data.vocabulary import normalise_labels
from mer_core.errors import DataError
from mer_core.types import SPLITS, Clip, TargetSpec
from mer_core.workflows.arrays import compose
from mer_core.workflows.majority import majority

NO_SPLIT = "none"
"""In place of the name of an array of splits: all clips are for training. Without a name, an array called ``split``
keeps its test clips out; its val clips are scored instead of folds only if it was asked for by name."""

USUAL = {
    "id": ("id", "ids"),
    "label": ("label", "labels"),
    "split": ("split", "splits"),
    "classes": ("label_names", "class_names", "classes"),
}
"""Arrays that are read unless others are named."""

ROLES = {"id": "the ids", "label": "labels", "group": "groups", "split": "splits", "classes": "the names of classes"}


@dataclass(frozen=True)
class FeatureTable:
    """Arrays of N rows, one per clip.

    Args:
        streams: stream -> array.
        columns: ``id``, ``label``, ``group``, ``split``, ``classes`` -> array.
    """

    arrays: Arrays
    streams: Mapping[str, str]
    columns: Mapping[str, str]

    @property
    def path(self) -> Path:
        """The file."""
        return self.arrays.path

    def check(self) -> None:
        """Make sure that all arrays that were named are there, and are one row per clip.

        Raises:
            DataError: naming file, array and the close match.
        """
        for role, array in self.columns.items():
            if role in ROLES and not (role == "split" and array == NO_SPLIT):
                self._known(array, ROLES[role])
        for stream, array in self.streams.items():
            self._check_stream(stream, array)
            if array == self._named("label"):
                what = (
                    f"{self.path}: the array {array!r} is a stream and the labels, so the labels would be given away."
                )
                raise DataError(what, "Take it out of --streams.")

    @cached_property
    def count(self) -> int:
        """N.

        Raises:
            DataError: two arrays differ in it.
        """
        roles = [self._named(role) for role in ("label", "id", "group", "split")]
        named = [name for name in (*self.streams.values(), *roles) if name and name != NO_SPLIT]
        if not named:
            raise DataError(f"{self.path} has no array of labels.", f"Name it: --column label=ARRAY. {self._listing()}")
        first, *others = [name for name in named if self.arrays.shapes[name]] or named[:1]
        rows = {name: (self.arrays.shapes[name] or (0,))[0] for name in (first, *others)}
        for name in others:
            if rows[name] != rows[first]:
                what = f"{self.path}: the array {name!r} has {rows[name]} rows and {first!r} has {rows[first]}."
                raise DataError(what, "Give every array one row per clip; a row of NaN where a clip lacks a stream.")
        return rows[first]

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """[N] names of the clips: "0", "1" ... where there is no array of them."""
        name = self._named("id")
        with self.naming(name or ""):
            return compose({"row": np.zeros((self.count, 1))}, ids=self._cells(name) if name else None).ids

    def stream(self, stream: str) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Values [N, D] and presence [N]; absent are rows of NaN, and those whose bit in ``has_NAME`` is 0.

        Raises:
            DataError: no numbers, or a bit set where the row is empty.
        """
        array = self.streams[stream]
        mask = next((name for name in (f"has_{array}", f"{array}_present") if name in self.arrays.shapes), None)
        with self.naming(array):
            values = self.arrays.read(array)
            found = compose({stream: (values, self.arrays.read(mask)) if mask else values}).table[stream]
        return found.values, found.present

    def clips(self, label_map: Mapping[str, str] | None = None) -> ClipTable:
        """The clips, without media; other text and whole numbers of N rows are columns of theirs.

        Raises:
            DataError: naming file, array and row.
        """
        labels, classes, notes = self._labels(label_map or {})
        splits, told = self._splits()
        meta = {name: self._cells(name) for name in self._others()}
        clips = []
        for row, id in enumerate(self.ids):
            own = {name: cells[row] for name, cells in meta.items()}
            hidden = labels[row] is not None and splits[row] == UNUSED_LABEL_SPLIT
            clips.append(
                Clip(
                    id=id,
                    label=None if hidden else labels[row],
                    speaker=_text(own.pop("speaker", None)),
                    split=splits[row],
                    meta={**own, "label": labels[row]} if hidden else own,
                )
            )
        return ClipTable(tuple(clips), TargetSpec(classes), self.path, (*notes, *told))

    def _labels(self, label_map: Mapping[str, str]) -> tuple[list[str | None], tuple[str, ...], tuple[str, ...]]:
        """[N] names, the classes that occur in their order, and what was done."""
        array = self._named("label")
        if array is None:
            return [None] * self.count, (), ()
        values, notes = self.arrays.read(array), list[str]()
        votes = values.ndim == 2 and values.shape[1] > 1
        if votes:
            with self.naming(array):
                cells, notes = majority(array, values)
        else:
            cells = _listed(values.reshape(-1) if values.ndim == 2 else values)
        names = self._class_names(cells)
        with self.naming(array):
            if votes and names and len(names) != values.shape[1]:
                what = f"it has {values.shape[1]} columns of votes, and there are {len(names)} names of classes."
                raise DataError(what, "Name the array that has them: --column classes=ARRAY.")
            found = compose({"row": np.zeros((self.count, 1))}, cells, classes=names)
        order = found.targets.classes
        mapping, told = normalise_labels(order, label_map)
        spelt = [mapping[order[index]] or None if index >= 0 else None for index in found.labels]
        classes = tuple(dict.fromkeys(mapping[one] for one in order if mapping[one] in set(spelt)))
        return spelt, classes, (*notes, *told)

    def _class_names(self, labels: Sequence[Any]) -> tuple[str, ...] | None:
        """Names of the classes that numbers count; None where labels are text or nobody names them."""
        asked = self.columns.get("classes")
        array = self._named("classes")
        if array is None or (any(isinstance(one, str) for one in labels) and not asked):
            return None
        return tuple(str(name) for name in self._cells(array))

    def _splits(self) -> tuple[list[str | None], list[str]]:
        array = self._named("split")
        if array is None or array == NO_SPLIT:
            return [None] * self.count, []
        found = [self._split(array, row, _text(cell)) for row, cell in enumerate(self._cells(array))]
        counts = Counter(found)
        parts = ", ".join(f"{counts[name]:,} {name}" for name in SPLITS if counts[name])
        notes = [f"splits are those of the array {array!r}: {parts}"] if parts else []
        if counts["val"] and "split" not in self.columns:
            found = ["train" if one == "val" else one for one in found]
            notes.append(f"its val clips take part in the folds (--split {array}: they are scored instead of folds)")
        return found, notes

    def _split(self, array: str, row: int, text: str | None) -> str | None:
        found = None if text is None else read_split(text)
        if text is not None and found is None:
            what = f"{self.path}, array {array!r}, row {row}: unknown split {text!r}."
            raise DataError(what, f"Splits are {', '.join(SPLITS)}; --split none takes all clips for training.")
        return found

    def _others(self) -> list[str]:
        """Arrays of one text or whole number per clip that have no other part."""
        used = {self._named(role) for role in ("id", "label", "split", "classes")}
        columns = [name for name, shape in self.arrays.shapes.items() if shape == (self.count,) and name not in used]
        return [name for name in columns if name == self.columns.get("group") or self._plain(name)]

    def _plain(self, name: str) -> bool:
        return self.arrays.read(name).dtype.kind in "OSUiub"

    def _cells(self, name: str) -> list[Any]:
        return _listed(self.arrays.read(name))

    def _named(self, role: str) -> str | None:
        """The array that was named for ``role``, else one of its usual name."""
        usual = (name for name in USUAL.get(role, ()) if name in self.arrays.shapes)
        return self.columns.get(role) or next(usual, None)

    def _listing(self) -> str:
        return f"Its arrays are {', '.join(self.arrays.shapes)}."

    @contextmanager
    def naming(self, array: str) -> Iterator[None]:
        """Begin the message of an error with the file and the array."""
        try:
            yield
        except DataError as error:
            message = error.message.removeprefix(f"{self.path}, ")
            where = str(self.path) if not array or message.startswith("array ") else f"{self.path}, array {array!r}"
            raise DataError(f"{where}: {message}", error.hint) from None

    def _known(self, array: str, role: str) -> None:
        if array in self.arrays.shapes:
            return
        close = difflib.get_close_matches(array, list(self.arrays.shapes), n=1)
        guess = f"Did you mean {close[0]!r}?" if close else self._listing()
        raise DataError(f"{self.path} has no array {array!r} to read {role} from.", guess)

    def _check_stream(self, stream: str, array: str) -> None:
        self._known(array, f"the stream {stream!r}")
        shape = self.arrays.shapes[array]
        if not shape:
            self.arrays.read(array)  # says why it cannot be
        if len(shape) != 2:
            what = f"{self.path}: the array {array!r} has the shape [{', '.join(map(str, shape))}], not [N, D]."
            pool = "Pool the time axis first, for example with values.mean(axis=1)."
            raise DataError(
                what, pool if len(shape) == 3 else f"Arrays [N, D] are {', '.join(candidates(self.arrays))}."
            )


def candidates(arrays: Arrays) -> list[str]:
    """What could be a stream, with its width where that is known: ``audio [360, 69]``."""
    wide = {name: shape for name, shape in arrays.shapes.items() if len(shape) == 2}
    return [f"{name} [{shape[0]}, {shape[1]}]" if shape[1] else name for name, shape in wide.items()] or ["none"]


def _listed(values: NDArray[Any]) -> list[Any]:
    cells = values.tolist()
    return [one.decode() if isinstance(one, bytes) else one for one in cells] if isinstance(cells, list) else [cells]


def _text(cell: Any) -> str | None:
    return None if cell is None or cell != cell else str(cell).strip() or None
