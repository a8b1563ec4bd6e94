"""What a run needs of each clip: which answers are stored already, which have to be made."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mer_core.engine.answers import Answer
from mer_core.engine.types import DeriverJob, ExtractorJob, Job
from mer_core.errors import MediaError, MerError, PluginError
from mer_core.inputs import FramesInput
from mer_core.store import FeatureStore, ShardLimits, Table, TableWriter
from mer_core.store.digests import ContentHasher, derived_digest, input_digest, source_digest
from mer_core.types import Clip, Derived, Failure, Features, Missing

FAILED = "failed"
"""Stands for the digest of an optional artefact that could not be made."""


@dataclass(slots=True)
class Needs:
    """One clip's state: ``keys`` are the digests known so far, by job name.

    ``derived`` maps an artefact to its content digest; ``pending`` are jobs without a stored
    answer, ``to_derive`` the derivers they wait for, in the order they must run.
    """

    keys: dict[str, str] = field(default_factory=dict)
    derived: dict[str, str] = field(default_factory=dict)
    pending: list[ExtractorJob] = field(default_factory=list)
    to_derive: list[DeriverJob] = field(default_factory=list)
    failed: dict[str, Failure] = field(default_factory=dict)


class Tables:
    """The tables of a run's jobs, and one writer for each that is written to."""

    def __init__(
        self, store: FeatureStore, jobs: Iterable[Job], keep_frames: bool, limits: ShardLimits | None = None
    ) -> None:
        jobs = list(jobs)
        own = [job for job in jobs if isinstance(job, ExtractorJob)]
        self._framed = {job.fingerprint for job in own if keep_frames or job.frames}
        self._tables = {job.fingerprint: store.table(job.fingerprint, job.about) for job in jobs}
        self._writers: dict[str, TableWriter] = {}
        self._added: set[tuple[str, str]] = set()
        self._limits = limits
        self._lock = threading.Lock()
        self._fresh: dict[str, set[str]] = {}

    def __getitem__(self, job: Job) -> Table:
        return self._tables[job.fingerprint]

    def known(self, job: Job, digest: str) -> bool:
        """The store has the answer, in the detail this run asks for."""
        return bool(self[job].known((digest,), frames=self.framed(job)))

    def framed(self, job: Job) -> bool:
        """Frames are kept of the job's answers: for it, or for another one that has the same answers."""
        return job.fingerprint in self._framed

    def fresh(self, job: Job, digest: str) -> bool:
        """The answer was made for this run, in one of its earlier passes."""
        return digest in self._fresh.get(job.fingerprint, ())

    def add(self, job: Job, digest: str, answer: Features | Missing | Derived) -> None:
        """Store an answer, once."""
        with self._lock:
            if (job.fingerprint, digest) in self._added:
                return
            self._added.add((job.fingerprint, digest))
            if job.fingerprint not in self._writers:
                self._writers[job.fingerprint] = self[job].writer(self.framed(job), self._limits)
            writer = self._writers[job.fingerprint]
        writer.add(digest, answer)

    def flush(self) -> None:
        """Everything added so far is on disk and can be read."""
        self.close()
        self.refresh()

    def refresh(self) -> None:
        """See what has been added since, here or by a process of this run."""
        for fingerprint, table in self._tables.items():
            self._fresh.setdefault(fingerprint, set()).update(table.refresh())

    def close(self, timeout: float | None = None) -> None:
        """End the writers, waiting at most ``timeout`` seconds for all of them."""
        writers, self._writers = self._writers, {}
        end = None if timeout is None else time.monotonic() + timeout
        first: MerError | None = None
        for writer in writers.values():
            try:
                writer.close(None if end is None else max(0.0, end - time.monotonic()))
            except MerError as error:  # the others write what they have all the same
                first = first or error
        if first is not None:
            raise first


class Lookup:
    """Compares clips with the store. Reading only; safe to use from several threads.

    Args:
        derivers: by artefact, in the order of :func:`order_derivers`.
    """

    def __init__(
        self, jobs: Sequence[ExtractorJob], derivers: Sequence[DeriverJob], tables: Tables, hasher: ContentHasher
    ) -> None:
        self.jobs, self.derivers, self.tables, self.hasher = jobs, derivers, tables, hasher

    def look(self, clip: Clip) -> Needs:
        """What the clip needs. A file that is not there fails the jobs that read it, and only those."""
        needs = Needs()
        jobs = [job.of(clip) for job in self.jobs if job.wants(clip)]
        derivers = wanted_derivers(jobs, self.derivers_of(clip))
        for deriver in derivers:
            key = self.key(clip, deriver, needs)
            content = self.tables[deriver].content(key) if key else None
            if content:
                needs.derived[deriver.name] = content
        for job in jobs:
            key = self.key(clip, job, needs)
            if job.name not in needs.failed and not (key and self.tables.known(job, key)):
                needs.pending.append(job)
        wanted = wanted_derivers(needs.pending, derivers)
        needs.to_derive = [job for job in wanted if job.name not in needs.derived]
        return needs

    def derivers_of(self, clip: Clip) -> list[DeriverJob]:
        """The derivers as ``clip`` needs them."""
        return [job.of(clip) for job in self.derivers]

    def key(self, clip: Clip, job: Job, needs: Needs, without: frozenset[str] = frozenset()) -> str | None:
        """The digest of the job's inputs, noted in ``needs``; None while artefacts are not derived.

        Artefacts in ``without`` failed, and the job goes on without them: their absence is part of the digest,
        why they are absent is not. They are not noted, so that the next run tries them again. A job whose
        files, or whose artefacts' files, are not there is noted as failed.
        """
        failed = [name for name in job.derived if name in needs.failed and name not in without]
        cause = needs.failed[failed[0]] if failed else None
        known = {**dict.fromkeys(without, FAILED), **needs.derived}
        try:
            if cause is None and all(name in known for name in job.derived):
                needs.keys[job.name] = input_digest(clip, job.inputs, known, self.hasher)
        except MediaError as error:
            cause = Failure(str(error), "decode")
        if cause is not None:
            needs.failed[job.name] = cause
        return needs.keys.get(job.name)

    def sources(self, clip: Clip, jobs: Iterable[Job]) -> dict[str, str]:
        """Fingerprint -> digest of what each job reads of the clip itself, for the crash journal."""
        return {job.fingerprint: source_digest(clip, job.inputs, self.hasher) for job in jobs}

    def answered(self, job: Job, clip: Clip, needs: Needs, answer: Answer) -> None:
        """Store an answer that is worth storing and note an artefact's digest."""
        if isinstance(answer, Failure):
            return
        self.tables.add(job, needs.keys[job.name], answer)
        if isinstance(job, DeriverJob) and not isinstance(answer, Features):
            needs.derived[job.name] = derived_digest(answer)


def order_derivers(jobs: Iterable[ExtractorJob], derivers: Mapping[str, DeriverJob]) -> list[DeriverJob]:
    """Derivers that ``jobs`` need, directly or through each other, each after those it reads.

    Raises:
        PluginError: nothing makes an artefact that is read, or two derivers wait for each other.
    """
    found: dict[str, DeriverJob] = {}

    def visit(job: Job, path: tuple[str, ...]) -> None:
        for name in job.of_silent.derived:
            if name in path:
                raise PluginError(f"the derivers {' and '.join(path)} wait for each other.", "Choose other ones.")
            if name not in derivers:
                raise PluginError(f"{job.name} reads {name!r}, and nothing here makes it.", "Name a deriver for it.")
            if name not in found:
                visit(derivers[name], (*path, name))
                found[name] = derivers[name]

    for job in jobs:
        visit(job, ())
    return list(found.values())


def wanted_derivers(jobs: Iterable[Job], derivers: Sequence[DeriverJob]) -> list[DeriverJob]:
    """Those of the ordered ``derivers`` that ``jobs`` need, in the same order."""
    names = {name for job in jobs for name in job.derived}
    for deriver in reversed(derivers):
        if deriver.name in names:
            names.update(deriver.derived)
    return [deriver for deriver in derivers if deriver.name in names]


def check_jobs(jobs: Sequence[ExtractorJob]) -> None:
    """Refuse what the engine cannot run.

    Raises:
        PluginError: a supervised extractor without a state, or one that wants a lazy stream in a batch.
    """
    for job in jobs:
        if job.spec.supervised and job.fitted is None:
            raise PluginError(
                f"{job.name} learns from labels, and nothing was fitted.",
                f"Run 'mer run', or 'mer finetune {job.spec.name}' and name its folder with --fitted.",
            )
        lazy = any(isinstance(item, FramesInput) and item.stream for item in job.inputs.values())
        if lazy and not job.spec.per_thread:
            raise PluginError(
                f"{job.name} wants its frames as a stream but works in batches.", "Set per_thread=True in its spec."
            )


def state_folder(state_dir: Path | None, store: FeatureStore) -> Path:
    """Where content hashes and crash journal lie."""
    return state_dir or store.root / "state"
