"""Small feature sets for looking at trainers. The same arguments give the same numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mer_core.feature_set import FeatureSet, Fold, StreamData, StreamInfo, TargetSpec
from mer_core.frames import frames_of, take_clips

TARGETS = TargetSpec(("neutral", "happy", "sad"))
DIMS: Mapping[str, int] = {"speech:a": 5, "speech:b": 4, "text:c": 3}
"""Two streams of one modality and one of another, by width."""


def feature_set(
    count: int, *, signal: float = 3.0, absent: float = 0.0, folds: int = 0, unlabelled: int = 0, seed: int = 0
) -> FeatureSet:
    """``count`` labelled clips, as many of each class as of any other, then ``unlabelled`` ones of the first class.

    Args:
        signal: distance of the class centres from zero, in deviations of the noise; 0: labels mean nothing.
        absent: chance that a clip lacks a stream; values behind it are zero.
        folds: number of folds over the labelled clips.
    """
    rng = np.random.default_rng(seed)
    classes = len(TARGETS.classes)
    truth = np.concatenate([rng.permutation(np.arange(count) % classes), np.zeros(unlabelled, np.int64)])
    table = {name: _stream(name, dim, truth, signal, absent, rng) for name, dim in DIMS.items()}
    labels = truth.copy()
    labels[count:] = -1
    labels.flags.writeable = False
    ids = tuple(f"clip{number}" for number in range(len(truth)))
    return FeatureSet(ids=ids, targets=TARGETS, labels=labels, table=table, folds=_folds(count, folds))


def _stream(
    name: str, dim: int, truth: NDArray[np.int64], signal: float, absent: float, rng: np.random.Generator
) -> StreamData:
    centres = rng.normal(size=(len(TARGETS.classes), dim))
    centres *= signal / np.linalg.norm(centres, axis=1, keepdims=True)
    present = rng.random(len(truth)) >= absent
    values = (centres[truth] + rng.normal(size=(len(truth), dim))).astype(np.float32)
    values[~present] = 0
    return StreamData(StreamInfo(name, name.partition(":")[0], dim), values, present)


def _folds(count: int, folds: int) -> tuple[Fold, ...]:
    rows = np.arange(count)
    return tuple(Fold(rows[rows % folds != fold], rows[rows % folds == fold]) for fold in range(folds))


def one_fold(data: FeatureSet, learnt: int) -> FeatureSet:
    """``data`` with a single fold that learns from the first ``learnt`` clips and is scored on the others."""
    rows = np.arange(len(data.ids))
    return dataclasses.replace(data, folds=(Fold(rows[:learnt], rows[learnt:]),))


def relabelled(data: FeatureSet, rows: NDArray[np.int64]) -> FeatureSet:
    """``data`` with other labels for the clips ``rows``: each gets the next class."""
    labels = data.labels.copy()
    labels[rows] = (labels[rows] + 1) % len(data.targets.classes)
    labels.flags.writeable = False
    return dataclasses.replace(data, labels=labels)


def valued(data: FeatureSet) -> FeatureSet:
    """``data`` with a continuous target about 100 that follows from a stream, unknown for every fifth clip."""
    signal = np.nan_to_num(next(iter(data.table.values())).values.astype(np.float64)).sum(axis=1, keepdims=True)
    values = 100 + 20 * signal
    values[::5] = np.nan
    targets = TargetSpec(data.targets.classes, ("valence",), data.targets.votes)
    return dataclasses.replace(data, targets=targets, values=values)


def soiled(data: FeatureSet) -> FeatureSet:
    """``data`` with NaN, infinity and 1e9 where a stream is absent."""
    return dataclasses.replace(data, table={name: _soiled(part) for name, part in data.table.items()})


def _soiled(part: StreamData) -> StreamData:
    values = part.values.copy()
    kept = frames_of(part, np.arange(len(part.present)))
    rows = np.setdiff1d(np.arange(len(values)), kept)
    values[rows] = np.resize(np.array([np.nan, 1e9, np.inf], np.float32), len(rows))[:, None]
    return dataclasses.replace(part, values=values)


def copied(data: FeatureSet) -> dict[str, StreamData]:
    """The table of ``data`` in arrays of its own."""
    return {
        name: dataclasses.replace(part, values=part.values.copy(), present=part.present.copy())
        for name, part in data.table.items()
    }


def part_of(table: Mapping[str, StreamData], rows: NDArray[np.int64] | slice) -> dict[str, StreamData]:
    """The clips ``rows`` of every stream."""
    return {name: take_clips(part, np.arange(len(part.present))[rows]) for name, part in table.items()}


def framed(data: FeatureSet, longest: int = 5, seed: int = 0) -> FeatureSet:
    """``data`` with 1 to ``longest`` frames a clip, each its vector and noise; between clips lie frames of nobody."""
    rng = np.random.default_rng(seed)
    return dataclasses.replace(data, table={name: _framed(part, longest, rng) for name, part in data.table.items()})


def _framed(part: StreamData, longest: int, rng: np.random.Generator) -> StreamData:
    counts = rng.integers(1, longest + 1, len(part.present))
    ends = np.cumsum(counts + 1)
    values = np.full((int(ends[-1]), part.info.dim), np.nan, np.float32)
    offsets = np.stack([ends - counts, ends], axis=1)
    for (start, end), vector in zip(offsets.tolist(), part.values, strict=True):
        values[start:end] = vector + rng.normal(0, 0.5, (end - start, part.info.dim))
    return StreamData(dataclasses.replace(part.info, level="frame"), values, part.present, offsets)
