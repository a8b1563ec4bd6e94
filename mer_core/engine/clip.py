"""One clip in one worker thread: look up, derive, decode, extract what is cheap, park the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from mer_core.engine.answers import (
    Answer,
    answer_batch,
    decoded_bytes,
    media_time,
    nonfinite_cells,
    playing_time,
    unusable,
)
from mer_core.engine.batches import Parked
from mer_core.engine.instances import ThreadInstances
from mer_core.engine.journal import Crash, Journal, clip_identity
from mer_core.engine.lookup import Lookup, Needs, wanted_derivers
from mer_core.engine.types import DeriverJob, ExtractorJob, Job
from mer_core.inputs import DerivedInput, Input, Transcribed, derived_names
from mer_core.media.decode import ClipReader
from mer_core.types import Clip, Derived, Failure, Features, Missing, Sample

Mark = Callable[[str, Iterable[Job]], None]


@dataclass(frozen=True, slots=True)
class Made:
    """An answer made now, without its values."""

    job: str
    failure: Failure | None = None
    missing: str | None = None
    nonfinite: int = 0


def made(job: Job, answer: Answer) -> Made:
    """The account of ``answer``."""
    return Made(
        job.name,
        answer if isinstance(answer, Failure) else None,
        answer.reason if isinstance(answer, Missing) else None,
        nonfinite_cells(answer),
    )


@dataclass(slots=True)
class ClipResult:
    """What became of one clip in one pass; ``seconds`` of media were decoded if it was ``opened``.

    ``derived`` are the content digests of its artefacts. ``without`` lists, by job, the optional artefacts that
    failed and that the job goes on without.
    """

    index: int
    clip: Clip
    keys: dict[str, str] = field(default_factory=dict)
    reused: list[str] = field(default_factory=list)
    made: list[Made] = field(default_factory=list)
    derived: dict[str, str] = field(default_factory=dict)
    failed: dict[str, Failure] = field(default_factory=dict)
    without: dict[str, list[Failure]] = field(default_factory=dict)
    parked: dict[str, Parked] = field(default_factory=dict)
    opened: bool = False
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Pass:
    """What one walk over the clips is to answer, and which jobs run in the worker threads.

    ``alone`` says that one clip is worked on at a time, because one of them may kill the process:
    that many deaths convict a clip; 0 in a normal pass.
    """

    targets: tuple[Job, ...]
    inline: frozenset[str]
    alone: int = 0


class ClipWorker:
    """Works on one clip at a time; one object serves all threads of a pass.

    Args:
        crashes: work to skip, by (fingerprint, source digest).
        underived: artefacts that failed in an earlier pass, by (clip id, name).
        deaths: how often clips (by identity) have killed a process while alone.
    """

    def __init__(
        self,
        part: Pass,
        lookup: Lookup,
        journal: Journal,
        instances: ThreadInstances,
        crashes: Mapping[tuple[str, str], Crash] | None = None,
        underived: Mapping[tuple[str, str], Failure] | None = None,
        deaths: Mapping[str, int] | None = None,
    ) -> None:
        self._part, self._lookup, self._journal, self._instances = part, lookup, journal, instances
        self._crashes, self._underived, self._deaths = crashes or {}, underived or {}, deaths or {}

    def __call__(self, item: tuple[int, Clip]) -> ClipResult:
        """Do all that this pass does with a clip in a thread.

        Raises:
            MerError: something that concerns more than this clip (a plugin cannot start, disk full).
        """
        index, clip = item
        needs = self._lookup.look(clip)
        result = ClipResult(index, clip, needs.keys, derived=needs.derived, failed=needs.failed)
        pending = self._pending(needs)
        waiting = {job.name for job in needs.pending}
        names = [job.name for job in self._part.targets if not isinstance(job, DeriverJob) and job.wants(clip)]
        result.reused = [name for name in names if name not in waiting and name not in needs.failed]
        derivers = wanted_derivers(pending, self._lookup.derivers_of(clip))
        self._skip_crashing(clip, [*pending, *(job for job in derivers if job in needs.to_derive)], needs)
        pending = [job for job in pending if job.name not in needs.failed]
        if pending:
            self._work(result, needs, pending, wanted_derivers(pending, derivers))
        return result

    def _pending(self, needs: Needs) -> list[Job]:
        candidates: list[Job] = [*needs.to_derive, *needs.pending]
        return [job for job in candidates if job in self._part.targets]

    def _skip_crashing(self, clip: Clip, jobs: Sequence[Job], needs: Needs) -> None:
        for job in jobs if self._crashes else ():
            if job.name in needs.failed:
                continue
            (work,) = self._lookup.sources(clip, [job]).items()
            if work in self._crashes:
                needs.failed[job.name] = Failure(self._crashes[work].reason, "crash")

    def _work(self, result: ClipResult, needs: Needs, pending: list[Job], derivers: list[DeriverJob]) -> None:
        for job in (*derivers, *pending):
            if self._inline(job):
                self._instances.start(job)
        with self._risk(result.clip) as mark, ClipReader(result.clip) as reader:
            derived: dict[str, Derived | Missing | Failure] = {}
            for deriver in derivers:
                derived[deriver.name] = self._derived(deriver, result, needs, reader, derived, mark)
            unanswered = [job for job in pending if not self._settled(job, result, needs, derived)]
            if not unanswered:
                return
            mark("decoding", unanswered)
            inputs = decode_together(reader, unanswered, derived)
            result.opened, result.seconds = True, max(media_time(found) for found in inputs.values())
            for job in unanswered:
                self._finish(job, result, needs, inputs[job.name], mark)

    def _derived(
        self,
        job: DeriverJob,
        result: ClipResult,
        needs: Needs,
        reader: ClipReader,
        derived: Mapping[str, Derived | Missing | Failure],
        mark: Mark,
    ) -> Derived | Missing | Failure:
        """The artefact: from the store, or made here, or why not."""
        if job.name in needs.failed:
            return needs.failed[job.name]
        if job.name in needs.derived:
            stored = self._lookup.tables[job].get(needs.keys[job.name])
            return stored if isinstance(stored, Derived | Missing) else Failure("was pruned meanwhile", job.name)
        if not self._inline(job):
            return self._underived.get((result.clip.id, job.name), Failure("was not derived", job.name))
        if self._lookup.key(result.clip, job, needs) is None:
            return needs.failed.get(job.name) or _first_failure(job, derived)
        mark("decoding", [job])
        inputs = decode_together(reader, [job], derived)[job.name]
        mark(job.name, [job])
        answer = self._answer(job, result.clip, inputs)
        self._lookup.answered(job, result.clip, needs, answer)
        result.made.append(made(job, answer))
        return Failure("features, not an artefact", job.name) if isinstance(answer, Features) else answer

    def _settled(
        self, job: Job, result: ClipResult, needs: Needs, derived: Mapping[str, Derived | Missing | Failure]
    ) -> bool:
        """Now that artefacts are derived: the job's digest is known, or it fails, or is stored already."""
        lost = {name: found for name in optional_artefacts(job) if isinstance(found := derived.get(name), Failure)}
        key = self._lookup.key(result.clip, job, needs, frozenset(lost))
        if lost and key is not None:
            result.without[job.name] = list(lost.values())
        if key is None:
            needs.failed.setdefault(job.name, _first_failure(job, derived))
            return True
        if isinstance(job, DeriverJob) or not self._lookup.tables.known(job, key):
            return False
        result.reused.append(job.name)
        return True

    def _finish(self, job: Job, result: ClipResult, needs: Needs, inputs: Mapping[str, Any], mark: Mark) -> None:
        inputs = forgiven(inputs, optional_inputs(job))
        if self._inline(job) or unusable(inputs, optional_inputs(job)) is not None:
            mark(job.name, [job])
            answer = self._answer(job, result.clip, inputs)
            self._lookup.answered(job, result.clip, needs, answer)
            result.made.append(made(job, answer))
            return
        sample = Sample(result.clip.id, inputs)
        result.parked[job.name] = Parked(
            result.index, result.clip, needs.keys[job.name], sample, playing_time(inputs), decoded_bytes(inputs)
        )

    def _answer(self, job: Job, clip: Clip, inputs: Mapping[str, Any]) -> Answer:
        absent = unusable(inputs, optional_inputs(job))
        return absent or answer_batch(job, self._instances[job], [Sample(clip.id, inputs)])[0]

    def _inline(self, job: Job) -> bool:
        return job.name in self._part.inline

    @contextmanager
    def _risk(self, clip: Clip) -> Iterator[Mark]:
        deaths = self._deaths.get(clip_identity(clip), 0) if self._part.alone else 0
        number = self._journal.begin(clip, deaths, self._part.alone)

        def mark(stage: str, jobs: Iterable[Job]) -> None:
            if self._part.alone:
                self._journal.stage(number, stage, self._lookup.sources(clip, jobs))

        try:
            yield mark
        finally:
            self._journal.end(number)


def optional_inputs(job: Job) -> frozenset[str]:
    """Names of the inputs that may be missing."""
    return frozenset(name for name, item in job.inputs.items() if isinstance(item, DerivedInput) and item.optional)


def optional_artefacts(job: Job) -> frozenset[str]:
    """Names of the derived artefacts that only inputs read which may be missing."""
    return frozenset(set(job.derived) - derived_where_required(job))


def derived_where_required(job: Job) -> set[str]:
    """Names of the derived artefacts that an input needs; without a transcript, an extractor's text is missing."""
    optional = optional_inputs(job)
    if isinstance(job, ExtractorJob):
        optional |= {name for name, item in job.inputs.items() if isinstance(item, Transcribed)}
    return set(derived_names({name: item for name, item in job.inputs.items() if name not in optional}))


def forgiven(inputs: Mapping[str, Any], optional: frozenset[str]) -> dict[str, Any]:
    """``inputs``, those that may be missing as missing where they failed."""
    return {
        name: Missing(value.reason) if name in optional and isinstance(value, Failure) else value
        for name, value in inputs.items()
    }


def decode_together(
    reader: ClipReader, jobs: Sequence[Job], derived: Mapping[str, Derived | Missing | Failure]
) -> dict[str, dict[str, Any]]:
    """The decoded inputs of each job, by job name; equal inputs are decoded once and shared."""
    names: dict[Input, str] = {}
    for job in jobs:
        for item in job.inputs.values():
            names.setdefault(item, str(len(names)))
    try:
        found: Mapping[str, Any] = reader.decode({name: item for item, name in names.items()}, derived)
    except Exception as error:  # the reader promises not to raise; one clip never stops the rest
        found = dict.fromkeys(names.values(), Failure(f"{type(error).__name__}: {error}", "decode"))
    return {job.name: {name: found[names[item]] for name, item in job.inputs.items()} for job in jobs}


def _first_failure(job: Job, derived: Mapping[str, Derived | Missing | Failure]) -> Failure:
    failures = (derived.get(name) for name in job.derived)
    return next((f for f in failures if isinstance(f, Failure)), Failure("an artefact was not derived", "decode"))
