"""What the supervised extractors of a run would cost, before anything is fitted."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mer_core.config import RunConfig
from mer_core.data.dataset import ClipTable
from mer_core.data.folds import plan_folds
from mer_core.engine import ExtractorJob
from mer_core.engine.plan import POOLED_BYTES
from mer_core.workflows.data import clip_groups
from mer_core.workflows.features import label_indices
from mer_core.workflows.jobs import build_jobs
from mer_core.workflows.workspace import Workspace

GPU_OPERATIONS = 300e12
"""Floating-point operations per second that a large GPU reaches in half precision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFits:
    """One supervised extractor: how often it is fitted, and how many clips pass through it for features.

    ``operations`` are those of the forward passes, 0 where the plugin does not say; ``gpu_hours`` at
    :data:`GPU_OPERATIONS`; ``bytes`` a guess of the features' size on disk.
    """

    stream: str
    extractor: str
    crossfit: str
    fits: int
    clips: int
    forwards: int
    operations: float
    gpu_hours: float
    bytes: int

    def document(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def plan_fits(config: RunConfig, table: ClipTable, space: Workspace) -> list[PlannedFits]:
    """The fits of a run, by stream; nothing is fitted or looked up."""
    jobs, _ = build_jobs(config, space.catalogue, table.targets.classes)
    return [_planned(job, config, table) for job in jobs if job.spec.supervised]


def _planned(job: ExtractorJob, config: RunConfig, table: ClipTable) -> PlannedFits:
    given = bool(config.streams[job.name].fitted)
    kind, fits, models = ("given", 0, 1) if given else _fits(config, table)
    forwards = len(table.clips) * models
    each = operations(job)
    return PlannedFits(
        stream=job.name,
        extractor=str(job.about["extractor"]),
        crossfit=kind,
        fits=fits,
        clips=len(table.clips),
        forwards=forwards,
        operations=each * forwards,
        gpu_hours=each * forwards / GPU_OPERATIONS / 3600,
        bytes=forwards * POOLED_BYTES,
    )


def operations(job: ExtractorJob) -> float:
    """What the plugin says of its work: floating-point operations per clip; 0 where it does not."""
    told = getattr(job.options, "operations", None)
    return float(told()) if callable(told) else 0.0


def _fits(config: RunConfig, table: ClipTable) -> tuple[str, int, int]:
    """Of which kind and how many the fits are, and how often each clip passes through one of them."""
    clips = table.clips
    splits = [clip.split for clip in clips]
    labels = label_indices(clips, table.targets)
    labels = np.where([split == "test" for split in splits], -1, labels)
    choice = config.folds
    plan = plan_folds(labels, clip_groups(clips, choice.group), splits, k=choice.k, seed=config.seed, kind=choice.kind)
    folds = len(plan.folds)
    if config.fitting.crossfit == "single" or not folds:
        return "single", 1, 1
    again = 1 if config.fitting.deploy == "refit" else 0  # one more, fitted to everything, for new clips
    if config.fitting.crossfit == "nested":
        return "nested", folds * (1 + config.fitting.inner) + again, folds + again
    return "fold", folds + again, folds + again
