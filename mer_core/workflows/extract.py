"""Manifest -> clips whose features are missing -> engine -> store -> pooled streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Unpack

from mer_core.config import RunConfig
from mer_core.configure import make_config
from mer_core.data.dataset import ClipTable
from mer_core.engine import DeriverJob, EngineSettings, ExtractorJob, ExtractPlan, ExtractReport
from mer_core.engine import extract as run_engine
from mer_core.engine import plan as plan_engine
from mer_core.feature_set import FeatureSet, StreamData, StreamInfo
from mer_core.fitted import load_state
from mer_core.frame_pooling import level_of, vector_pooling
from mer_core.frames import as_level
from mer_core.registry import Catalogue
from mer_core.report.facts import Transcripts
from mer_core.settings import Settings, refuse_unknown
from mer_core.store import FeatureStore, Table
from mer_core.uploads import Upload
from mer_core.workflows.data import clip_groups, load_data
from mer_core.workflows.features import feature_set
from mer_core.workflows.fitted import refuse_other_options, with_state
from mer_core.workflows.given import given_streams
from mer_core.workflows.jobs import Jobs, build_jobs
from mer_core.workflows.lost import why_empty
from mer_core.workflows.remarks import find_remarks
from mer_core.workflows.transcripts import count_transcripts
from mer_core.workflows.uploads import announce_uploads, find_uploads
from mer_core.workflows.workspace import Workspace, open_workspace, pick_device, pick_devices


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """What an extraction left: the clips, their pooled streams and the engine's account.

    ``about`` says by stream and by artefact what its fingerprint digests; ``transcripts`` counts machine-made texts
    where clips without text are transcribed. ``learners`` are supervised extractors, whose streams
    are not there yet. ``remarks`` are what plugins said of the clips beforehand.
    """

    config: RunConfig
    table: ClipTable
    features: FeatureSet
    report: ExtractReport
    fingerprints: dict[str, str]
    warnings: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    about: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    uploads: tuple[Upload, ...] = ()
    transcripts: Transcripts | None = None
    learners: tuple[ExtractorJob, ...] = ()
    derivers: Mapping[str, DeriverJob] = field(default_factory=dict)


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
    remarks: tuple[str, ...] | None = None,
    learning: bool = False,
) -> Extraction:
    """Like :func:`extract`, for clips that are already loaded, and for jobs that may be built already.

    Args:
        remarks: what plugins said of the clips, if they have been asked.
        learning: set supervised extractors aside, for :func:`mer_core.workflows.learning.learn`; otherwise each
            must have been fitted before.
    """
    if config.data.features:
        return _given(config, table, FeatureStore(space.cache.features).packed)
    jobs, derivers = built = built or build_jobs(config, space.catalogue, table.targets.classes)
    everything = jobs
    jobs, learners = part_learners(config, jobs, learning)
    store = FeatureStore(space.cache.features)
    settings = engine_settings(config, space, shard, keep_frames)
    remarks = find_remarks(built, table.clips) if remarks is None else remarks
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
        fingerprints={job.name: job.fingerprint for job in everything},
        warnings=tuple(warnings),
        remarks=remarks,
        about={job.name: job.about for job in (*everything, *derivers.values())},
        uploads=uploads,
        transcripts=count_transcripts(config, table.clips, report, space.catalogue),
        learners=tuple(learners),
        derivers=derivers,
    )


def _given(config: RunConfig, table: ClipTable, packs: Path) -> Extraction:
    """The features of a feature table, for which no media are opened."""
    found = given_streams(config.data, [clip.id for clip in table.clips], packs)
    return Extraction(
        config=config,
        table=table,
        features=feature_set(table, found.streams, clip_groups(table.clips, config.folds.group)),
        report=found.report,
        fingerprints=found.fingerprints,
        warnings=found.warnings,
    )


def part_learners(
    config: RunConfig, jobs: Sequence[ExtractorJob], learning: bool
) -> tuple[list[ExtractorJob], list[ExtractorJob]]:
    """Jobs that can be extracted at once, and those that have to be fitted first.

    Args:
        learning: count those among the latter, too, that were fitted elsewhere (``--fitted``).
    """
    if learning:
        return [job for job in jobs if not job.spec.supervised], [job for job in jobs if job.spec.supervised]
    given = {name: choice.fitted for name, choice in config.streams.items() if choice.fitted}
    return [_given_state(job, Path(given[job.name])) if job.name in given else job for job in jobs], []


def _given_state(job: ExtractorJob, folder: Path) -> ExtractorJob:
    state = load_state(folder)
    found = with_state(job, state)
    refuse_other_options(job, state)
    return found


Forecast = tuple[ExtractPlan, tuple[Upload, ...], tuple[str, ...]]
"""What would be done, what would be sent, and what plugins remark on the clips."""


def plan_extraction(config: RunConfig, table: ClipTable, space: Workspace) -> Forecast:
    """What :func:`extract_clips` would do, without doing it; supervised extractors left out."""
    jobs, derivers = built = build_jobs(config, space.catalogue, table.targets.classes)
    remarks = find_remarks(built, table.clips)
    store, settings = FeatureStore(space.cache.features), engine_settings(config, space)
    plan = plan_engine(table.clips, part_learners(config, jobs, True)[0], derivers, store, settings)
    return plan, find_uploads(built, table.clips, store, settings), remarks


def engine_settings(
    config: RunConfig, space: Workspace, shard: tuple[int, int] | None = None, keep_frames: bool = False
) -> EngineSettings:
    """How the engine works for this run, here."""
    device = pick_device(config.device)
    return EngineSettings(
        device=device,
        devices=pick_devices(space.devices, device),
        workers=space.workers,
        keep_frames=keep_frames,
        shard=shard,
        verify=space.verify,
        retry=space.retry,
        state_dir=space.cache.state,
    )


def _pooled(
    config: RunConfig, jobs: list[ExtractorJob], report: ExtractReport, store: FeatureStore, catalogue: Catalogue
) -> tuple[dict[str, StreamData], list[str]]:
    """The streams by name; one that no clip has is left out and named."""
    streams, warnings = dict[str, StreamData](), list[str]()
    for job in jobs:
        table = store.table(job.fingerprint, job.about)
        data = _stream(job, table, report.keys[job.name], config.streams[job.name].pooling)
        if data.present.any():
            streams[job.name] = data
        else:
            warnings.append(left_out(job.name, report, config, catalogue))
    return streams, warnings


def _stream(job: ExtractorJob, table: Table, keys: Sequence[str | None], pooling: str) -> StreamData:
    """One stream's vectors or frames; what a supervised extractor makes is one frame at most."""
    info = StreamInfo(name=job.name, modality=job.spec.modality, dim=0, level=level_of(pooling))
    if job.frames:
        frames, offsets = table.framed(keys, pooling)
        return StreamData(replace(info, dim=int(frames.shape[1])), frames, offsets[:, 1] > offsets[:, 0], offsets)
    values, present = table.pooled(keys, vector_pooling(pooling))
    vectors = StreamInfo(name=job.name, modality=job.spec.modality, dim=int(values.shape[1]))
    return as_level(StreamData(vectors, values, present), info)


def left_out(stream: str, report: ExtractReport, config: RunConfig, catalogue: Catalogue) -> str:
    """That no clip has ``stream``, and why."""
    why, remedy = why_empty(stream, report, config, catalogue)
    return f"No clip has {stream}{f' ({why})' if why else ''}; the stream is left out. {remedy}".strip()
