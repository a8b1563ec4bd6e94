"""A file of arrays as clips: which array holds ids, labels, groups, splits and streams, and what is wrong with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mer_core.data.array_files import Arrays
from mer_core.data.dataset import ClipTable
from mer_core.data.splits import UNUSED_LABEL_SPLIT, read_split
from mer_core.errors import DataError
from mer_core.feature_set import StreamData, TargetSpec
from mer_core.types import SPLITS, Clip
from mer_core.workflows.arrays import compose
from mer_core.workflows.frame_arrays import bits_within
from mer_core.workflows.label_arrays import LabelArrays
from mer_core.workflows.named_arrays import NO_SPLIT, ROLES, NamedArrays
from mer_core.workflows.target_arrays import NO_TARGETS, TargetArrays


@dataclass(frozen=True)
class FeatureTable(NamedArrays):
    """Arrays of N rows, one per clip.

    Args:
        streams: stream -> array.
        targets: values and votes that were asked for.
    """

    streams: Mapping[str, str]
    targets: TargetArrays = NO_TARGETS

    def check(self) -> None:
        """Make sure that all arrays that were named are there, and are one row per clip.

        Raises:
            DataError: naming file, array and the close match.
        """
        for role, array in self.columns.items():
            if role in ROLES and not (role == "split" and array == NO_SPLIT):
                self.known(array, ROLES[role])
        votes = self.targets.vote_array(self.named("label"))
        for flag, array in (("--votes", votes), *(("--values", one) for one in self.targets.arrays.values())):
            if array:
                self.known(array, f"what {flag} names")
        for stream, array in self.streams.items():
            self._check_stream(stream, array)
            learnt = {self.named("label"): "labels", votes: "votes"}
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
        roles = [self.named(role) for role in ("label", "id", "group", "split")]
        votes = self.targets.vote_array(self.named("label"))
        wanted = (*self.streams.values(), *roles, votes, *self.targets.arrays.values())
        named = [name for name in dict.fromkeys(wanted) if name and name != NO_SPLIT]
        if not named:
            raise DataError(f"{self.path} has no array of labels.", f"Name it: --column label=ARRAY. {self.listing()}")
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
        name = self.named("id")
        with self.naming(name or ""):
            return compose({"row": np.zeros((self.count, 1))}, ids=self.cells(name) if name else None).ids

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
        labels, votes, classes, notes = LabelArrays(self, self.targets, self.count).read(label_map or {})
        values, numbers = self.targets.read_values(self.arrays, self.count)
        splits, told = self._splits()
        meta = {name: self.cells(name) for name in self._others()}
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

    def _splits(self) -> tuple[list[str | None], list[str]]:
        array = self.named("split")
        if array is None or array == NO_SPLIT:
            return [None] * self.count, []
        found = [self._split(array, row, _text(cell)) for row, cell in enumerate(self.cells(array))]
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
        used = {self.named(role) for role in ("id", "label", "split", "classes")} | {*self.targets.arrays.values()}
        columns = [name for name, shape in self.arrays.shapes.items() if shape == (self.count,) and name not in used]
        return [name for name in columns if name == self.columns.get("group") or self._plain(name)]

    def _plain(self, name: str) -> bool:
        return self.arrays.read(name).dtype.kind in "OSUiub"

    def _check_stream(self, stream: str, array: str) -> None:
        self.known(array, f"the stream {stream!r}")
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


def _text(cell: Any) -> str | None:
    return None if cell is None or cell != cell else str(cell).strip() or None
