"""What the supervised extractors of a run would cost, before anything is fitted."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from mer_core.config import RunConfig
from mer_core.data.dataset import ClipTable
from mer_core.data.folds import FoldPlan
from mer_core.engine import ExtractorJob
from mer_core.engine.plan import POOLED_BYTES
from mer_core.workflows.features import label_indices
from mer_core.workflows.jobs import build_jobs
from mer_core.workflows.learning import given_states
from mer_core.workflows.workspace import Workspace

GPU_OPERATIONS = 300e12
"""Floating-point operations per second that a large GPU reaches in half precision."""

GIVEN = "given"
"""What a fit is called that was made before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFits:
    """One supervised extractor: how often it is fitted, and how many clips pass through it for features.

    ``learning`` and ``operations`` are those of the fits and of the forward passes for features, 0 where the plugin
    does not say; ``learning_hours`` and ``gpu_hours`` the same at :data:`GPU_OPERATIONS`; ``bytes`` a guess of the
    features' size on disk.
    """

    stream: str
    extractor: str
    crossfit: str
    fits: int
    clips: int
    forwards: int
    learning: float
    operations: float
    learning_hours: float
    gpu_hours: float
    bytes: int

    def document(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


class _Fits(NamedTuple):
    """Of which kind the fits are, how many clips each learns from, and how often a clip passes through one of them."""

    kind: str
    lessons: tuple[int, ...]
    passes: int


def plan_fits(config: RunConfig, table: ClipTable, space: Workspace, folds: FoldPlan) -> list[PlannedFits]:
    """The fits of a run over ``folds``, by stream; nothing is fitted or looked up.

    Raises:
        MerError: a fit that was given is not there, or not one for this run.
    """
    jobs, _ = build_jobs(config, space.catalogue, table.targets.classes)
    given_states(config, jobs)
    return [_planned(job, config, table, folds) for job in jobs if job.spec.supervised]


def _planned(job: ExtractorJob, config: RunConfig, table: ClipTable, folds: FoldPlan) -> PlannedFits:
    fits = _Fits(GIVEN, (), 1) if config.streams[job.name].fitted else _fits(config, table, folds)
    forwards = len(table.clips) * fits.passes
    each, learning = operations(job), sum(learning_operations(job, clips) for clips in fits.lessons)
    return PlannedFits(
        stream=job.name,
        extractor=str(job.about["extractor"]),
        crossfit=fits.kind,
        fits=len(fits.lessons),
        clips=len(table.clips),
        forwards=forwards,
        learning=learning,
        operations=each * forwards,
        learning_hours=learning / GPU_OPERATIONS / 3600,
        gpu_hours=each * forwards / GPU_OPERATIONS / 3600,
        bytes=forwards * POOLED_BYTES,
    )


def operations(job: ExtractorJob) -> float:
    """What the plugin says of its work: floating-point operations per clip; 0 where it does not."""
    told = getattr(job.options, "operations", None)
    return float(told()) if callable(told) else 0.0


def learning_operations(job: ExtractorJob, clips: int) -> float:
    """What the plugin says of a fit to so many clips: floating-point operations; 0 where it does not."""
    told = getattr(job.options, "learning_operations", None)
    return float(told(clips)) if callable(told) else 0.0


def _fits(config: RunConfig, table: ClipTable, folds: FoldPlan) -> _Fits:
    labels = label_indices(table.clips, table.targets)
    tested = np.array([clip.split == "test" for clip in table.clips])
    everything = int(((labels >= 0) & ~tested).sum())
    kind, settings = config.fitting.crossfit, config.fitting
    if kind == "single" or not folds.folds:
        return _Fits("single", (everything,), 1)
    lessons = tuple(int((labels[fold.train] >= 0).sum()) for fold in folds.folds)
    again = (everything,) if settings.deploy == "refit" else ()  # one more, fitted to everything, for new clips
    inner = tuple(part for whole in lessons for part in _inner(whole, settings.inner)) if kind == "nested" else ()
    return _Fits(kind, (*lessons, *inner, *again), len(lessons) + len(again))


def _inner(clips: int, parts: int) -> tuple[int, ...]:
    return (clips * (parts - 1) // parts,) * parts
