"""The features of several fits put together: one table per fold, and one account of all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mer_core.engine import ClipFailure, ExtractorJob, ExtractReport
from mer_core.errors import PluginError
from mer_core.feature_set import StreamData, StreamInfo
from mer_core.fitted import FittedState
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
        columns: of each part, values [N, D] and presence [N] of the clips that it answered; arrays that nobody else
            keeps, D 0 where it answered none. One part's at a time, so that not all are in memory.

    Raises:
        PluginError: the number of columns depends on the fit.
    """
    tables: dict[int | None, tuple[NDArray[np.float32], NDArray[np.bool_]]] = {}
    for part, (values, present) in zip(parts, columns, strict=True):
        mine = tables.get(part.fold)
        tables[part.fold] = _both(job, *mine, values, present) if mine else (values, present)
    dim = _width(job, [values for values, _ in tables.values()])
    info = StreamInfo(name=job.name, modality=job.spec.modality, dim=dim)
    found = {
        fold: StreamData(info, values if values.shape[1] else np.zeros((len(present), dim), np.float32), present)
        for fold, (values, present) in tables.items()
    }
    if None not in found:
        found[None] = _mean(list(found.values()))
    return found


def _both(
    job: ExtractorJob,
    values: NDArray[np.float32],
    present: NDArray[np.bool_],
    more: NDArray[np.float32],
    there: NDArray[np.bool_],
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Two parts of one fold, the second into the first."""
    _width(job, [values, more])
    if not values.shape[1]:
        return more, there
    if more.shape[1]:
        values[there] = more[there]
    return values, present | there


def _width(job: ExtractorJob, tables: Sequence[NDArray[np.float32]]) -> int:
    """The number of columns that all have but those that are empty."""
    widths = sorted({values.shape[1] for values in tables} - {0})
    if len(widths) > 1:
        what = f"{job.spec.name} returned {widths[0]} columns after one fit and {widths[-1]} after another."
        raise PluginError(what, "Its dim must not depend on what was learnt.")
    return widths[0] if widths else 0


def _mean(folds: Sequence[StreamData]) -> StreamData:
    if len(folds) == 1:
        return folds[0]
    total = np.zeros_like(folds[0].values)
    counts = np.zeros((len(total), 1), np.float32)
    for data in folds:
        np.add(total, data.values, out=total, where=data.present[:, None])
        counts += data.present[:, None]
    total /= np.maximum(counts, 1)
    return StreamData(folds[0].info, total, counts[:, 0] > 0)


def merged(report: ExtractReport, found: ExtractReport) -> ExtractReport:
    """``report`` with the streams of ``found``, whose jobs are fits of them."""
    names = dict.fromkeys(stream_of(name) for name in found.keys)

    def jobs(stream: str) -> list[str]:
        return [name for name in found.keys if stream_of(name) == stream]

    keys = {name: _first([found.keys[job] for job in jobs(name)]) for name in names}
    missing = {name: {k: v for job in jobs(name) for k, v in found.missing[job].items()} for name in names}

    def most(counts: Mapping[str, int]) -> dict[str, int]:
        return {name: max(counts[job] for job in jobs(name)) for name in names}

    held = {
        name: tuple(dict.fromkeys((*report.held.get(name, ()), *found.held.get(name, ()))))
        for name in dict.fromkeys((*report.held, *found.held))
    }
    return replace(
        report,
        keys={**report.keys, **keys},
        failures=tuple(_once((*report.failures, *found.failures))),
        missing={**report.missing, **missing},
        extracted={**report.extracted, **most(found.extracted)},
        reused={**report.reused, **most(found.reused)},
        nonfinite={**report.nonfinite, **most(found.nonfinite)},
        derived=dict(Counter(report.derived) + Counter(found.derived)),
        held=held,
        underived={
            name: {clip: why for part in (report, found) for clip, why in part.underived.get(name, {}).items()}
            for name in held
        },
        seconds=report.seconds + found.seconds,
        media_hours=report.media_hours + found.media_hours,
    )


def _first(columns: Sequence[Sequence[str | None]]) -> list[str | None]:
    """Of each clip, the first key that there is."""
    return [next((key for key in each if key), None) for each in zip(*columns, strict=True)]


def _once(failures: Sequence[ClipFailure]) -> list[ClipFailure]:
    """One row per clip and cause, with the streams in place of their fits."""
    found: dict[tuple[str, str, str], ClipFailure] = {}
    for one in failures:
        fits = one.stream.split(",")
        reason = one.reason
        for name in fits:
            reason = reason.replace(name, stream_of(name))
        before = found.get((one.id, one.stage, reason))
        names = [*(before.stream.split(",") if before else ()), *map(stream_of, fits)]
        streams = ",".join(dict.fromkeys(names))
        found[one.id, one.stage, reason] = replace(before or one, stream=streams, reason=reason)
    return list(found.values())
