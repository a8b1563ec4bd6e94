"""What an extraction would do, and how much disk it would need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from mer_core.engine.lookup import Lookup, Needs
from mer_core.engine.types import ExtractorJob, ExtractPlan, Job, StreamPlan, Unreadable
from mer_core.errors import MediaError
from mer_core.store import FeatureStore, TableInfo
from mer_core.types import Clip

POOLED_BYTES = 8 * 1024
FRAME_BYTES = 400_000
"""Guesses for a clip of a plugin never run before: 1,024 columns, and 200 frames of them."""


def estimate(clips: Sequence[Clip], lookup: Lookup, store: FeatureStore) -> ExtractPlan:
    """Count, for every job, the clips to extract and those stored already."""
    extract: Counter[str] = Counter()
    reuse: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    again: Counter[str] = Counter()
    unreadable: list[Unreadable] = []
    for clip in clips:
        needs = lookup.look(clip)
        todo = _todo(needs)
        extract.update(todo)
        again.update(job.name for job in needs.pending if _stored(job, needs, lookup))
        failed.update(list(needs.failed))
        unreadable += _unreadable(clip, needs, lookup)
        reuse.update(list(needs.derived))
        reuse.update(job.name for job in lookup.jobs if job.name in needs.keys and job.name not in todo)
    tables = store.tables()

    def part(job: Job) -> StreamPlan:
        frames = lookup.tables.framed(job) and isinstance(job, ExtractorJob) and job.level == "frame"
        each = bytes_per_clip(job, tables, frames)
        guess = FRAME_BYTES if frames else POOLED_BYTES
        size = int(extract[job.name] * (guess if each is None else each))
        return StreamPlan(
            extract=extract[job.name],
            reuse=reuse[job.name],
            unreadable=failed[job.name],
            bytes=size,
            guessed=each is None,
            again=again[job.name],
        )

    return ExtractPlan(
        clips=len(clips),
        streams={job.name: part(job) for job in lookup.jobs},
        derived={job.name: part(job) for job in lookup.derivers},
        unreadable=tuple(unreadable),
    )


def _unreadable(clip: Clip, needs: Needs, lookup: Lookup) -> list[Unreadable]:
    """The first file of a clip that jobs failed for; nothing where none did."""
    files = [path for path in (clip.video, clip.audio) if path is not None] if needs.failed else []
    whole = all(job.name in needs.failed for job in lookup.jobs if job.wants(clip))
    return [Unreadable(clip.id, path, whole) for path in files if not _readable(path, lookup)][:1]


def _readable(path: Path, lookup: Lookup) -> bool:
    try:
        lookup.hasher.file(path)
    except MediaError:
        return False
    return True


def _stored(job: Job, needs: Needs, lookup: Lookup) -> bool:
    """Statistics of the answer are there."""
    return bool(lookup.tables[job].known((needs.keys.get(job.name, ""),)))


def waiting(clips: Iterable[Clip], lookup: Lookup) -> dict[str, list[Clip]]:
    """By job, the clips that it has to answer still."""
    found: dict[str, list[Clip]] = {job.name: [] for job in (*lookup.jobs, *lookup.derivers)}
    for clip in clips:
        for name in _todo(lookup.look(clip)):
            found[name].append(clip)
    return found


def _todo(needs: Needs) -> set[str]:
    return {job.name for job in (*needs.pending, *needs.to_derive)}


def bytes_per_clip(job: Job, tables: Iterable[TableInfo], frames: bool) -> float | None:
    """From what is stored of the same plugin, the same fingerprint before others; None if nothing is."""
    name = str(job.about.get("extractor") or job.about.get("deriver") or "")
    alike = [t for t in tables if t.rows and (t.fingerprint == job.fingerprint or (name and t.name == name))]
    alike = [t for t in alike if bool(t.frames) == frames]
    best = max(alike, key=lambda t: (t.fingerprint == job.fingerprint, t.rows), default=None)
    return None if best is None else best.bytes / best.rows
