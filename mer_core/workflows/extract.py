"""Manifest -> clips whose features are missing -> engine -> store -> pooled streams."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Unpack

from mer_core.config import RunConfig
from mer_core.configure import make_config
from mer_core.data.dataset import ClipTable
from mer_core.engine import EngineSettings, ExtractorJob, ExtractPlan, ExtractReport
from mer_core.engine import extract as run_engine
from mer_core.engine import plan as plan_engine
from mer_core.registry import Catalogue
from mer_core.settings import Settings, refuse_unknown
from mer_core.store import FeatureStore
from mer_core.types import FeatureSet, StreamInfo
from mer_core.uploads import Upload
from mer_core.workflows.data import clip_groups, load_data
from mer_core.workflows.features import feature_set
from mer_core.workflows.jobs import Jobs, build_jobs
from mer_core.workflows.lost import why_empty
from mer_core.workflows.uploads import announce_uploads, find_uploads
from mer_core.workflows.workspace import Workspace, open_workspace, pick_device


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """What an extraction left: the clips, their pooled streams and the engine's account.

    ``about`` says by stream and by artefact what its fingerprint digests.
    """

    config: RunConfig
    table: ClipTable
    features: FeatureSet
    report: ExtractReport
    fingerprints: dict[str, str]
    warnings: tuple[str, ...] = ()
    about: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    uploads: tuple[Upload, ...] = ()


def extract(
    data: str | Path | None = None,
    *,
    space: Workspace | None = None,
    shard: tuple[int, int] | None = None,
    keep_frames: bool = False,
    **settings: Unpack[Settings],
) -> Extraction:
    """Extract the features of every clip that lacks them, and pool them.

    Args:
        data: manifest, folder, media file or data set name; None for the built-in sample.
        shard: ``(i, n)``, 1-based: only every n-th clip, so that several machines fill one store.
        keep_frames: store frame-level features too, not only their statistics.
        settings: see :class:`mer_core.settings.Settings` (``modalities=["speech", "text"]`` ...).

    Raises:
        MerError: before any work starts; single bad clips end up in ``report.failures``.
    """
    refuse_unknown(settings, "extract", ("data", "space", "shard", "keep_frames"))
    space = space or open_workspace()
    config = make_config(space.catalogue, data=data, **settings)
    table = load_data(config.data, space)
    return extract_clips(config, table, space, shard=shard, keep_frames=keep_frames)


def extract_clips(
    config: RunConfig,
    table: ClipTable,
    space: Workspace,
    *,
    shard: tuple[int, int] | None = None,
    keep_frames: bool = False,
    built: Jobs | None = None,
) -> Extraction:
    """Like :func:`extract`, for clips that are already loaded, and for jobs that may be built already."""
    jobs, derivers = built = built or build_jobs(config, space.catalogue, table.targets.classes)
    store = FeatureStore(space.cache.features)
    settings = _settings(config, space, shard, keep_frames)
    uploads = find_uploads(built, table.clips, store, settings)
    announce_uploads(uploads, space)
    groups = clip_groups(table.clips, config.folds.group)
    report = run_engine(table.clips, jobs, derivers, store, settings, space.progress)
    streams, warnings = _pooled(config, jobs, report, store, space.catalogue)
    return Extraction(
        config=config,
        table=table,
        features=feature_set(table, streams, groups),
        report=report,
        fingerprints={job.name: job.fingerprint for job in jobs},
        warnings=tuple(warnings),
        about={job.name: job.about for job in (*jobs, *derivers.values())},
        uploads=uploads,
    )


def plan_extraction(config: RunConfig, table: ClipTable, space: Workspace) -> tuple[ExtractPlan, tuple[Upload, ...]]:
    """What :func:`extract_clips` would do, and what it would send, without doing it."""
    jobs, derivers = built = build_jobs(config, space.catalogue, table.targets.classes)
    store, settings = FeatureStore(space.cache.features), _settings(config, space, None, False)
    plan = plan_engine(table.clips, jobs, derivers, store, settings)
    return plan, find_uploads(built, table.clips, store, settings)


def _settings(config: RunConfig, space: Workspace, shard: tuple[int, int] | None, keep_frames: bool) -> EngineSettings:
    return EngineSettings(
        device=pick_device(config.device),
        workers=space.workers,
        keep_frames=keep_frames,
        shard=shard,
        verify=space.verify,
        retry=space.retry,
        state_dir=space.cache.state,
    )


def _pooled(
    config: RunConfig, jobs: list[ExtractorJob], report: ExtractReport, store: FeatureStore, catalogue: Catalogue
) -> tuple[dict[str, Any], list[str]]:
    """Streams as ``{name: (info, values, present)}``; a stream that no clip has is left out and named."""
    streams, warnings = {}, []
    for job in jobs:
        pooling = config.streams[job.name].pooling
        values, present = store.table(job.fingerprint, job.about).pooled(report.keys[job.name], pooling)
        if not present.any():
            why, remedy = why_empty(job.name, report, config, catalogue)
            warnings.append(
                f"No clip has {job.name}{f' ({why})' if why else ''}; the stream is left out. {remedy}".strip()
            )
            continue
        info = StreamInfo(name=job.name, modality=job.spec.modality, dim=int(values.shape[1]))
        streams[job.name] = (info, values, present)
    return streams, warnings
