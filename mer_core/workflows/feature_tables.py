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
from mer_core.data.votes import majority, merged, normalise_with_votes
from mer_core.errors import DataError
from mer_core.feature_set import StreamData, TargetSpec
from mer_core.report.words import count
from mer_core.types import SPLITS, Clip
from mer_core.workflows.arrays import compose
from mer_core.workflows.frame_arrays import bits_within
from mer_core.workflows.target_arrays import NO_TARGETS, TargetArrays

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
        targets: values and votes that were asked for.
    """

    arrays: Arrays
    streams: Mapping[str, str]
    columns: Mapping[str, str]
    targets: TargetArrays = NO_TARGETS

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
        votes = self._vote_array()
        for flag, array in (("--votes", votes), *(("--values", one) for one in self.targets.arrays.values())):
            if array:
                self._known(array, f"what {flag} names")
        for stream, array in self.streams.items():
            self._check_stream(stream, array)
            learnt = {self._named("label"): "labels", votes: "votes"}
            learnt |= dict.fromkeys(self.targets.arrays.values(), "values")
            if array in learnt:
                what = f"{self.path}: the array {array!r} is a stream and the {learnt[array]}"
                raise DataError(f"{what}, so the {learnt[array]} would be given away.", "Take it out of --streams.")

    @cached_property
    def count(self) -> int:
        """N.

        Raises:
            DataError: two arrays differ in it.
        """
        roles = [self._named(role) for role in ("label", "id", "group", "split")]
        wanted = (*self.streams.values(), *roles, self._vote_array(), *self.targets.arrays.values())
        named = [name for name in dict.fromkeys(wanted) if name and name != NO_SPLIT]
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

    def stream(self, stream: str) -> StreamData:
        """The stream; absent are rows of NaN, and those whose bit in ``has_NAME`` is 0.

        Of an array [N, T, D], rows of NaN are padding, and so is what lies behind the first ``NAME_length`` frames.

        Raises:
            DataError: no numbers, a bit set where the row is empty, or a length that the array does not have.
        """
        array = self.streams[stream]
        mask = self._beside(array, f"has_{array}", f"{array}_present")
        lengths = self._beside(array, f"{array}_length", f"{array}_lengths")
        with self.naming(array):
            values, bits = self.arrays.read(array), None if mask is None else self.arrays.read(mask)
            if lengths is not None and values.ndim == 3:
                bits = bits_within(self.arrays.read(lengths), bits, values.shape[:2], lengths)
            return compose({stream: values if bits is None else (values, bits)}).table[stream]

    def _beside(self, array: str, *names: str) -> str | None:
        """The first of the arrays ``names`` that is there and is no stream itself."""
        there = (name for name in names if name in self.arrays.shapes and name not in self.streams.values())
        return next(there, None)

    def clips(self, label_map: Mapping[str, str] | None = None) -> ClipTable:
        """The clips, without media; other text and whole numbers of N rows are columns of theirs.

        Raises:
            DataError: naming file, array and row.
        """
        labels, votes, classes, notes = self._classed(label_map or {})
        values, numbers = self.targets.read_values(self.arrays, self.count)
        splits, told = self._splits()
        meta = {name: self._cells(name) for name in self._others()}
        clips = []
        for row, id in enumerate(self.ids):
            own = {name: cells[row] for name, cells in meta.items()}
            hidden = splits[row] == UNUSED_LABEL_SPLIT
            known = {} if hidden else {n: v for n, v in zip(values, numbers[row].tolist(), strict=True) if v == v}
            clips.append(
                Clip(
                    id=id,
                    label=None if hidden else labels[row],
                    speaker=_text(own.pop("speaker", None)),
                    split=splits[row],
                    values=known,
                    votes={} if hidden or votes is None else votes[row],
                    meta={**own, "label": labels[row]} if hidden and labels[row] is not None else own,
                )
            )
        spec = TargetSpec(classes, values, votes is not None)
        return ClipTable(tuple(clips), spec, self.path, (*notes, *told))

    def _classed(
        self, label_map: Mapping[str, str]
    ) -> tuple[list[str | None], list[dict[str, float]] | None, tuple[str, ...], tuple[str, ...]]:
        """[N] labels, [N] votes by class (None where none were asked for), the classes, and what was done."""
        array = self._vote_array()
        if not array:
            labels, _, classes, notes = self._labels(label_map)
            return labels, None, classes, notes
        with self.naming(array):
            table = self.targets.read_votes(self.arrays, array, self.count)
        names = self._class_names([0]) or tuple(map(str, range(table.shape[1])))
        self._fits(names, table.shape[1], array)
        labels, mapping, classes, notes = self._labels(label_map, names)
        voted, table = merged(table, names, mapping)
        classes = (*voted, *(name for name in classes if name not in voted))
        best, told = majority(array, table, learnt=True)
        own = [None if place is None else voted[place] for place in best]
        if self._named("label") in (None, array):
            labels, notes = own, (*notes, *told)
        else:
            notes = (*notes, *_compared(array, labels, own))
            labels = [mine if label is None else label for label, mine in zip(labels, own, strict=True)]
        return labels, [_shared(voted, row) for row in table.tolist()], classes, notes

    def _vote_array(self) -> str:
        """The array of votes that are learnt from; "" where none were asked for."""
        return self.targets.vote_array(self._named("label"))

    def _labels(
        self, label_map: Mapping[str, str], beside: Sequence[str] = ()
    ) -> tuple[list[str | None], dict[str, str], tuple[str, ...], tuple[str, ...]]:
        """[N] names, how each is spelt, the classes that occur in their order, and what was done.

        Args:
            beside: further names of classes.
        """
        array = self._named("label")
        if array is None or (beside and array == self._vote_array()):
            mapping, told = normalise_with_votes((), beside, label_map)
            return [None] * self.count, mapping, (), told
        values, notes = self.arrays.read(array), list[str]()
        votes = values.ndim == 2 and values.shape[1] > 1
        if votes:
            with self.naming(array):
                cells, notes = majority(array, values)
        else:
            cells = _listed(values.reshape(-1) if values.ndim == 2 else values)
        names = self._class_names(cells)
        if votes and names:
            self._fits(names, values.shape[1], array)
        with self.naming(array):
            found = compose({"row": np.zeros((self.count, 1))}, cells, classes=names)
        order = found.targets.classes
        mapping, told = normalise_with_votes(order, beside, label_map)
        spelt = [mapping[order[index]] or None if index >= 0 else None for index in found.labels]
        classes = tuple(dict.fromkeys(mapping[one] for one in order if mapping[one] in set(spelt)))
        return spelt, mapping, classes, (*notes, *told)

    def _fits(self, names: Sequence[str], columns: int, array: str) -> None:
        """Refuse votes whose columns are not as many as there are names of classes."""
        if len(names) != columns:
            what = f"it has {columns} columns of votes, and there are {len(names)} names of classes."
            with self.naming(array):
                raise DataError(what, "Name the array that has them: --column classes=ARRAY.")

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
        used = {self._named(role) for role in ("id", "label", "split", "classes")} | {*self.targets.arrays.values()}
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
        if len(shape) not in (2, 3):
            shown = ", ".join(map(str, shape))
            what = f"{self.path}: the array {array!r} has the shape [{shown}], neither [N, D] nor [N, T, D]."
            raise DataError(what, f"Arrays of such shapes are {', '.join(candidates(self.arrays))}.")


def candidates(arrays: Arrays) -> list[str]:
    """What could be a stream, with its width where that is known: ``audio [360, 69]``."""
    wide = {name: shape for name, shape in arrays.shapes.items() if len(shape) in (2, 3)}
    return [f"{name} [{', '.join(map(str, shape))}]" if shape[1] else name for name, shape in wide.items()] or ["none"]


def _shared(names: Sequence[str], votes: Sequence[float]) -> dict[str, float]:
    return {name: number for name, number in zip(names, votes, strict=True) if number}


def _compared(array: str, labels: Sequence[str | None], votes: Sequence[str | None]) -> list[str]:
    """Remarks on labels that are not those of the votes beside them."""
    pairs = [(label, voted) for label, voted in zip(labels, votes, strict=True) if voted is not None]
    other, filled = (sum(test) for test in zip(*((bool(a) and a != b, a is None) for a, b in pairs), strict=True))
    notes = [f"the label is not the majority of the votes in {array!r}: {count(other, 'clip')}"] if other else []
    return [*notes, *([f"{count(filled, 'clip')} without a label: it is the majority of the votes"] if filled else [])]


def _listed(values: NDArray[Any]) -> list[Any]:
    cells = values.tolist()
    return [one.decode() if isinstance(one, bytes) else one for one in cells] if isinstance(cells, list) else [cells]


def _text(cell: Any) -> str | None:
    return None if cell is None or cell != cell else str(cell).strip() or None
