"""Features that somebody has already, in place of extraction: their clips, and their streams clip by clip."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mer_core.config import DataChoice
from mer_core.data.array_files import ARRAY_SUFFIXES, open_arrays
from mer_core.data.dataset import ClipTable, load_clips
from mer_core.data.feature_folders import FeatureFolder
from mer_core.engine import ExtractReport
from mer_core.errors import DataError
from mer_core.feature_set import StreamData
from mer_core.frames import take_clips
from mer_core.report.words import count
from mer_core.workflows.feature_tables import FeatureTable
from mer_core.workflows.frame_arrays import pooled_frames
from mer_core.workflows.target_arrays import NO_TARGETS, TargetArrays

if TYPE_CHECKING:
    from mer_core.aliases import IntArray

NOTHING_TO_EXTRACT = "nothing to extract features from"
"""In a remark on a manifest without media, which does not matter here."""


BLOCK = 4096
"""Rows that are digested at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Streams over N clips, as :func:`mer_core.workflows.features.feature_set` takes them, and an account of them."""

    streams: dict[str, StreamData]
    report: ExtractReport
    fingerprints: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def holds_clips(choice: DataChoice) -> bool:
    """Whether the clips are the rows of a feature table, rather than of a manifest beside it."""
    return choice.source == choice.features or (not choice.features and Path(choice.source).suffix.lower() == ".npz")


def given_clips(choice: DataChoice, manifest: Path | None) -> ClipTable:
    """The clips of a feature table, or of the ``manifest`` beside it; the table's arrays are checked, not read.

    Raises:
        DataError: naming the file, the array or folder, the row and the remedy.
    """
    found = open_features(choice)
    if manifest is None:
        if isinstance(found, FeatureFolder):
            what = f"{found.path} is a folder of features, which has no labels."
            raise DataError(what, "Name a table of labels: --data label.csv --column id=name --column label=emotion.")
        return found.clips(choice.label_map)
    table = load_clips(manifest, choice.columns, choice.label_map, choice.values, choice.votes)
    return replace(table, notes=tuple(note for note in table.notes if NOTHING_TO_EXTRACT not in note))


def open_features(choice: DataChoice) -> FeatureTable | FeatureFolder:
    """The feature table or folder of a run, its streams known to be there.

    Raises:
        DataError: it is not there or cannot be read, or has no such array.
    """
    path = Path(choice.features or choice.source).expanduser()
    if path.is_dir():
        folder = FeatureFolder(path)
        folder.check(list(choice.streams.values()))
        return folder
    own = holds_clips(choice)
    targets = TargetArrays(choice.values, choice.votes) if own else NO_TARGETS
    found = FeatureTable(open_arrays(path), choice.columns if own else {}, choice.streams, targets)
    found.check()
    return found


def given_streams(choice: DataChoice, ids: Sequence[str], packs: Path) -> Given:
    """Each stream's values of the clips ``ids``; a clip that the table does not have lacks them all.

    Args:
        packs: a folder in which the frames of many files are packed into one.

    Raises:
        DataError: the table has none of the clips, or a stream cannot be read.
    """
    source = open_features(choice)
    rows = None if isinstance(source, FeatureFolder) else _rows(source, ids)
    streams, prints, missing, warnings = {}, {}, {}, []
    for name, array in choice.streams.items():
        if isinstance(source, FeatureFolder):
            data = source.stream(name, array, ids, choice.pooling, packs)
        else:
            data = pooled_frames(_taken(source.stream(name), rows), choice.pooling)
        streams[name] = data
        prints[name] = _fingerprint(data)
        missing[name] = {ids[row]: f"no features in {array}" for row in np.flatnonzero(~data.present).tolist()}
        warnings += _zeros(array, data)
    keys: dict[str, list[str | None]] = {name: [None] * len(ids) for name in streams}
    return Given(
        streams={name: data for name, data in streams.items() if data.present.any()},
        report=ExtractReport(keys=keys, missing=missing),
        fingerprints=prints,
        warnings=(*warnings, *(f"No clip has {name}; the stream is left out." for name in _empty(streams))),
    )


def feature_ids(choice: DataChoice) -> tuple[str, ...]:
    """The clips of a feature table, for prediction: no labels are needed.

    Raises:
        DataError: as :func:`open_features`.
    """
    found = open_features(choice)
    return found.ids_of(list(choice.streams.values())) if isinstance(found, FeatureFolder) else found.ids


def _rows(source: FeatureTable, ids: Sequence[str]) -> IntArray | None:
    """[N] row of each clip in the table, -1 where it has none; None where they are its rows as they are."""
    if tuple(ids) == source.ids:
        return None
    place = {id: row for row, id in enumerate(source.ids)}
    found = np.asarray([place.get(id, -1) for id in ids], dtype=np.int64)
    if (found < 0).all():
        raise DataError(
            f"{source.path} has none of the clips: the first is {source.ids[0]!r}, the data begin with {ids[0]!r}.",
            "Name the array of its clips' names (id or ids), and the column of the table: --column id=name.",
        )
    return found


def _taken(data: StreamData, rows: IntArray | None) -> StreamData:
    if rows is None:
        return data
    found = take_clips(data, rows)
    return replace(found, present=np.asarray(found.present & (rows >= 0)))


def _zeros(array: str, data: StreamData) -> list[str]:
    """A remark on clips of zeros, by which other tools say that a clip lacks a modality."""
    if data.offsets is None:
        zeros = int((data.present & ~data.values.any(axis=1)).sum())
    else:
        spans = data.offsets[data.present].tolist()
        zeros = sum(not data.values[start:end].any() for start, end in spans)
    if not zeros:
        return []
    said = f"{array}: {count(zeros, 'clip')} with features that are all 0, which count as present"
    return [f"{said}. If they stand for clips without it, make them NaN."]


def _empty(streams: Mapping[str, StreamData]) -> list[str]:
    return [name for name, data in streams.items() if not data.present.any()]


def _fingerprint(data: StreamData) -> str:
    found = hashlib.sha256(str(data.values.shape).encode())
    for start in range(0, len(data.values), BLOCK):
        found.update(data.values[start : start + BLOCK].tobytes())
    found.update(data.present.tobytes())
    if data.offsets is not None:
        found.update(data.offsets.tobytes())
    return found.hexdigest()[:24]


__all__ = ["ARRAY_SUFFIXES", "Given", "feature_ids", "given_clips", "given_streams", "holds_clips", "open_features"]
