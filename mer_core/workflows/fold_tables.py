"""The features of several fits put together: one table per fold, and one account of all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mer_core.engine import ClipFailure, ExtractorJob, ExtractReport
from mer_core.fitted import FittedState
from mer_core.types import StreamData, StreamInfo
from mer_core.workflows.fitted import with_state

if TYPE_CHECKING:
    from mer_core.aliases import IntArray

MARK = "#"
"""Between a stream's name and the number of its fit, in the names of jobs."""


@dataclass(frozen=True, slots=True)
class Part:
    """One fit: which clips it learns from, and whose features it makes (None: everybody's) in fold ``fold``.

    ``inner`` fits make features of clips that the fold learns from, and of no others.
    """

    fold: int | None
    train: IntArray
    answers: IntArray | None = None
    inner: bool = False


Fitted = tuple[Part, FittedState]
"""What was learnt, and from what."""


def stream_of(name: str) -> str:
    """``video:emovclip`` of ``video:emovclip#3``."""
    return name.partition(MARK)[0]


def jobs_of(job: ExtractorJob, fits: Sequence[Fitted], ids: Sequence[str]) -> list[ExtractorJob]:
    """One fitted job per part."""
    found = []
    for number, (part, state) in enumerate(fits):
        only = None if part.answers is None else frozenset(ids[row] for row in part.answers)
        found.append(with_state(job, state, f"{job.name}{MARK}{number}", only))
    return found


def assemble(
    job: ExtractorJob, parts: Sequence[Part], columns: Iterable[tuple[NDArray[np.float32], NDArray[np.bool_]]]
) -> dict[int | None, StreamData]:
    """The stream by fold; under None what stands for it where there is no fold: the mean over the folds.

    Args:
        columns: of each part, values [N, D] and presence [N] of the clips that it answered.
    """
    found: dict[int | None, StreamData] = {}
    for part, (values, present) in zip(parts, columns, strict=True):
        if part.fold in found:
            mine = found[part.fold]
            values = np.where(present[:, None], values, mine.values)
            present = np.logical_or(present, mine.present)
        info = StreamInfo(name=job.name, modality=job.spec.modality, dim=int(values.shape[1]))
        found[part.fold] = StreamData(info, values, present)
    if None not in found:
        found[None] = _mean(list(found.values()))
    return found


def _mean(folds: Sequence[StreamData]) -> StreamData:
    present = np.stack([data.present for data in folds])
    total = np.zeros_like(folds[0].values)
    for data in folds:
        total += np.where(data.present[:, None], data.values, 0)
    counts = np.maximum(present.sum(axis=0), 1)[:, None]
    values = (total / counts).astype(np.float32)
    return StreamData(folds[0].info, values, np.asarray(present.any(axis=0), dtype=np.bool_))


def merged(report: ExtractReport, found: ExtractReport) -> ExtractReport:
    """``report`` with the streams of ``found``, whose jobs are fits of them."""
    names = dict.fromkeys(stream_of(name) for name in found.keys)

    def jobs(stream: str) -> list[str]:
        return [name for name in found.keys if stream_of(name) == stream]

    keys = {name: _first([found.keys[job] for job in jobs(name)]) for name in names}
    missing = {name: {k: v for job in jobs(name) for k, v in found.missing[job].items()} for name in names}

    def most(counts: Mapping[str, int]) -> dict[str, int]:
        return {name: max(counts[job] for job in jobs(name)) for name in names}

    return replace(
        report,
        keys={**report.keys, **keys},
        failures=(*report.failures, *_once(found.failures)),
        missing={**report.missing, **missing},
        extracted={**report.extracted, **most(found.extracted)},
        reused={**report.reused, **most(found.reused)},
        nonfinite={**report.nonfinite, **most(found.nonfinite)},
        derived=dict(Counter(report.derived) + Counter(found.derived)),
        seconds=report.seconds + found.seconds,
        media_hours=report.media_hours + found.media_hours,
    )


def _first(columns: Sequence[Sequence[str | None]]) -> list[str | None]:
    """Of each clip, the first key that there is."""
    return [next((key for key in each if key), None) for each in zip(*columns, strict=True)]


def _once(failures: Sequence[ClipFailure]) -> list[ClipFailure]:
    """Failures of fits as failures of their streams."""
    found: dict[tuple[str, str, str, str], ClipFailure] = {}
    for one in failures:
        streams = ",".join(dict.fromkeys(stream_of(name) for name in one.stream.split(",")))
        found.setdefault((one.id, one.stage, one.reason, streams), replace(one, stream=streams))
    return list(found.values())
