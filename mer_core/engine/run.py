"""One extraction from the first clip to the last: passes, batches, streams."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, islice
from typing import Any

from mer_core.engine.answers import answer_batch, check_answer
from mer_core.engine.batches import Batcher, Parked
from mer_core.engine.clip import ClipResult, ClipWorker, Pass, made
from mer_core.engine.instances import Instances, ThreadInstances
from mer_core.engine.journal import Crash, Journal
from mer_core.engine.ledger import Ledger
from mer_core.engine.lookup import Lookup, Tables
from mer_core.engine.stations import Computed, Station, Stations
from mer_core.engine.threads import Crew, Window
from mer_core.engine.types import EngineSettings, ExtractorJob, Job
from mer_core.errors import MerError
from mer_core.inputs import FramesInput
from mer_core.protocols import Progress
from mer_core.spec import ExtractorSpec
from mer_core.types import Clip, Failure, Sample

PATIENCE_SECONDS = 0.8
"""How long an interrupted extraction waits for its threads."""

Item = tuple[int, Clip]


class Extraction:
    """Runs passes over ``items``, the ``(index, clip)`` pairs of this process's share of the clips."""

    def __init__(
        self,
        items: Sequence[Item],
        lookup: Lookup,
        ledger: Ledger,
        journal: Journal,
        crashes: dict[tuple[str, str], Crash],
        settings: EngineSettings,
        progress: Progress,
    ) -> None:
        self._items, self._lookup, self._ledger, self._journal = items, lookup, ledger, journal
        self._crashes, self._settings, self._progress = crashes, settings, progress
        self._tables: Tables = lookup.tables
        self._devices = [Instances(device) for device in settings.places]
        self._instances = self._devices[0]
        self._cheap = frozenset(job.name for job in (*lookup.derivers, *lookup.jobs) if job.spec.per_thread)
        one_opencv_thread((*lookup.derivers, *lookup.jobs))

    def run(self) -> None:
        """All passes: one per deriver that works in batches, the main one, one per streaming extractor."""
        streaming = [job for job in self._lookup.jobs if streams(job)]
        for deriver in self._lookup.derivers:
            if deriver.name not in self._cheap:
                self._pass((deriver,), deriver.name)
        self._pass(tuple(job for job in self._lookup.jobs if job not in streaming), "extract")
        for job in streaming:
            self._stream_pass(job)
        self._tables.flush()

    def _pass(self, targets: tuple[Job, ...], title: str, items: Sequence[Item] | None = None) -> None:
        if not targets:
            return
        window = Window(self._settings.window_bytes)
        batches = _Batches(targets, window)
        crew, station = self._crew(targets, self._items if items is None else items, window), self._station()
        with stopped(station, crew):
            for result in crew.results(idle=lambda: self._relieve(station, batches, window)):
                self._ledger.take(result)
                batches.push(result)
                self._start(targets, result)
                self._answer(station, batches.ready())
                self._relieve(station, batches, window)
                self._tell(title)
            self._answer(station, batches.rest(), title)
            self._settle(station.rest(), title)
        self._tables.flush()

    def _station(self) -> Station:
        """Where a pass computes."""
        several = len(self._devices) > 1
        return Stations(self._devices, self._compute) if several else Station(self._instances, self._compute)

    def _crew(self, targets: tuple[Job, ...], items: Sequence[Item], window: Window) -> Crew[Item, ClipResult]:
        """Threads that decode ``items`` for ``targets``."""
        part = Pass(targets, self._cheap)
        worker = ClipWorker(
            part, self._lookup, self._journal, ThreadInstances("cpu"), self._crashes, self._ledger.underived
        )

        def work(item: Item) -> ClipResult:
            result = worker(item)
            window.add(sum(parked.nbytes for parked in result.parked.values()))
            return result

        self._ledger.begin_pass()
        return Crew(min(self._settings.worker_count, max(len(items), 1)), items, work, window)

    def _start(self, targets: tuple[Job, ...], result: ClipResult) -> None:
        """Make what has its first clip now: what cannot start says so before all are decoded."""
        for job in targets:
            for instances in self._devices if job.name in result.parked else ():
                instances.start(job)

    def _relieve(self, station: Station, batches: _Batches, window: Window) -> None:
        """A full window stops the decoding: then work off what waits, full batches or not."""
        self._settle(station.finished())
        if window.full:
            self._answer(station, batches.rest())

    def _answer(self, station: Station, batches: Iterator[tuple[Job, list[Parked]]], title: str = "") -> None:
        for job, batch in batches:
            self._settle(station.give(job, batch), title)

    def _compute(self, instances: Instances, job: Job, batch: list[Parked]) -> list[Any]:
        """One answer per clip; several devices call this at the same time."""
        instance = instances[job]
        with self._journal.during(parked.clip for parked in batch):
            return answer_batch(job, instance, [parked.sample for parked in batch])

    def _settle(self, computed: Iterator[Computed], title: str = "") -> None:
        """Book what has been computed."""
        for done in computed:
            for parked, answer in zip(done.batch, done.answers, strict=True):
                self._book(done.job, parked, answer)
            if title:
                self._tell(title)

    def _book(self, job: Job, parked: Parked, answer: Any) -> None:
        if not isinstance(answer, Failure):
            self._tables.add(job, parked.digest, answer)
        self._ledger.answered(parked.index, made(job, answer), parked.digest)

    def _stream_pass(self, job: ExtractorJob) -> None:
        """An extractor that sees all clips in one go; what it leaves unanswered goes in batches."""
        waiting: dict[str, Parked] = {}
        settled: set[int] = set()
        window = Window(self._settings.window_bytes)
        crew = self._crew((job,), self._items, window)
        with stopped(crew):
            samples = self._samples(job, crew, window, waiting, settled)
            first = list(islice(samples, 1))
            if first:  # where nothing is left to do, the extractor is not even made
                self._stream(job, chain(first, samples), waiting, settled)
        self._tables.flush()
        left = [item for item in self._items if item[0] not in settled]
        if left:
            self._pass((job,), job.name, left)

    def _stream(
        self, job: ExtractorJob, samples: Iterator[Sample], waiting: dict[str, Parked], settled: set[int]
    ) -> None:
        """Book what the extractor answers until it ends or raises."""
        instance = self._instances[job]
        if hasattr(instance, "tell"):
            instance.tell = lambda note: self._tell(job.name, note)
        try:
            for name, answer in instance.extract_stream(samples):
                parked = waiting.pop(name, None)
                if parked is not None:
                    self._book(job, parked, check_answer(job, int(instance.dim), answer))
                    settled.add(parked.index)
                self._tell(job.name)
        except MerError:
            raise
        except Exception:  # the batches find the clip that caused it
            pass

    def _samples(
        self,
        job: Job,
        crew: Crew[Item, ClipResult],
        window: Window,
        waiting: dict[str, Parked],
        settled: set[int],
    ) -> Iterator[Sample]:
        """Decoded clips as they come, noted in ``waiting``; the others are ``settled``."""
        for result in crew.results():
            parked = result.parked.get(job.name)
            self._ledger.take(result)
            self._tell(job.name)
            if parked is None:
                settled.add(result.index)
                continue
            waiting[parked.sample.id] = replace(parked, sample=Sample(parked.sample.id, {}))
            window.remove(parked.nbytes)
            yield parked.sample

    def _tell(self, title: str, note: str = "") -> None:
        said = ", ".join(filter(None, [note, self._ledger.note()]))
        self._progress(title, self._ledger.done, len(self._items), said)


@contextmanager
def stopped(*threads: Station | Crew[Item, ClipResult]) -> Iterator[None]:
    """Tells all ``threads`` to stop when the block is left, and waits for them together."""
    try:
        yield
    finally:
        end = time.monotonic() + PATIENCE_SECONDS
        for one in threads:
            one.halt()
        for one in threads:
            one.stop(max(0.0, end - time.monotonic()))


DERIVER_BATCH_SECONDS = 60.0


class _Batches:
    """The clips that wait, by job, and their bytes in the window."""

    def __init__(self, targets: Sequence[Job], window: Window) -> None:
        self._window = window
        self._jobs = {job.name: job for job in targets}
        self._batchers = {job.name: Batcher(_budget(job)) for job in targets}

    def push(self, result: ClipResult) -> None:
        for name, parked in result.parked.items():
            self._batchers[name].push(parked)

    def ready(self) -> Iterator[tuple[Job, list[Parked]]]:
        for name, batcher in self._batchers.items():
            yield from self._released(name, batcher.ready())

    def rest(self) -> Iterator[tuple[Job, list[Parked]]]:
        for name, batcher in self._batchers.items():
            yield from self._released(name, batcher.rest())

    def _released(self, name: str, batches: list[list[Parked]]) -> Iterator[tuple[Job, list[Parked]]]:
        while batches:
            batch = batches.pop(0)
            yield self._jobs[name], batch
            self._window.remove(sum(parked.nbytes for parked in batch))


def _budget(job: Job) -> float:
    return job.spec.batch_seconds if isinstance(job.spec, ExtractorSpec) else DERIVER_BATCH_SECONDS


def streams(job: Job) -> bool:
    """The extractor prefers to see all clips in one pass."""
    return isinstance(job, ExtractorJob) and not job.spec.per_thread and hasattr(job.extractor_class, "extract_stream")


def one_opencv_thread(jobs: Sequence[Job]) -> None:
    """OpenCV's own threads off where frames are decoded: many threads call it at once already."""
    if "cv2" in sys.modules or any(isinstance(i, FramesInput) for job in jobs for i in job.inputs.values()):
        import cv2

        cv2.setNumThreads(1)
