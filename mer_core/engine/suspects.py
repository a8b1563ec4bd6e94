"""Clips that were being worked on when a process died: tried one at a time in a process of their own.

The child is a fresh interpreter (never a fork) that stores what it makes and keeps a journal. If it
dies, the journal says of what; that clip is convicted and the next child goes on with the rest.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from io import RawIOBase
from pathlib import Path
from typing import Any, BinaryIO

from mer_core.engine.clip import ClipWorker, Pass
from mer_core.engine.instances import ThreadInstances
from mer_core.engine.journal import Begun, Crash, Journal, clip_identity, read_journal, record_crash
from mer_core.engine.lookup import Lookup, Tables
from mer_core.engine.types import DeriverJob, EngineSettings, ExtractorJob, Job
from mer_core.errors import MerError
from mer_core.protocols import Progress
from mer_core.store import FeatureStore, ShardLimits
from mer_core.store.digests import ContentHasher
from mer_core.types import Clip

POLL_SECONDS = 0.05
CHILD_LIMITS = ShardLimits(checkpoint=0.2)
CHILD_DEATHS = 2
"""Deaths alone in a child that convict a clip where nobody saw the child die (both were killed)."""
OWN_DEATHS = 1
"""Deaths alone in an ordinary process, after a first one in company."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a child is to do; travels by pickle."""

    clips: tuple[Clip, ...]
    jobs: tuple[ExtractorJob, ...]
    derivers: tuple[DeriverJob, ...]
    store: Path
    settings: EngineSettings
    state_dir: Path
    journal: Path
    crashes: Mapping[tuple[str, str], Crash]
    deaths: Mapping[str, int]
    alone: int


class Suspects:
    """Works off the suspects of a run before anything else is done.

    Args:
        order: a child's order without clips; its ``crashes`` are skipped from the start.
        journal: of this process; holds the suspects until they are cleared or convicted.
    """

    def __init__(self, order: Order, journal: Journal, progress: Progress) -> None:
        self._order, self._journal, self._progress = order, journal, progress
        self._crashes = dict(order.crashes)
        self._total = 0

    def clear(self, suspects: Sequence[Begun], clips: dict[str, Clip]) -> None:
        """Try every suspect, by identity in ``clips``, until all that does not kill has been done."""
        left = {begun.clip: begun for begun in suspects}
        self._total = len(left)
        for begun in suspects:
            if begun.convicted:
                self._convict(begun)
        while left:
            before = len(left), len(self._crashes)
            self._child(left, clips)
            if before == (len(left), len(self._crashes)):
                return self._here(left, clips)
        return None

    def _child(self, left: dict[str, Begun], clips: dict[str, Clip]) -> None:
        """One child, until it ends or dies; takes what it has settled out of ``left``."""
        order = self._ordered(left, clips)
        path = order.journal
        process = _start(order)
        try:
            while process.poll() is None:
                self._progress("recover", self._total - len(left) + _finished(path), self._total, "after a crash")
                time.sleep(POLL_SECONDS)
            self._settle(path, order, left, process.returncode)
        finally:
            process.kill()
            process.wait()
            path.unlink(missing_ok=True)
            path.with_suffix(".done").unlink(missing_ok=True)

    def _settle(self, path: Path, order: Order, left: dict[str, Begun], code: int) -> None:
        for clip in order.clips[: _finished(path)]:
            self._journal.end(left.pop(clip_identity(clip)).number)
        for begun in read_journal(path) if code and path.exists() else []:
            self._convict(begun)

    def _convict(self, begun: Begun) -> None:
        self._crashes.update(record_crash(self._order.state_dir, begun))

    def _ordered(self, left: dict[str, Begun], clips: dict[str, Clip]) -> Order:
        deaths = {name: begun.deaths for name, begun in left.items()}
        return replace(
            self._order, clips=tuple(clips[name] for name in left), crashes=dict(self._crashes), deaths=deaths
        )

    def _here(self, left: dict[str, Begun], clips: dict[str, Clip]) -> None:
        """No child can be had (the plugin lives in a notebook, say): one at a time in this process."""
        own = self._order.journal.with_suffix(".own.jsonl")
        order = replace(self._ordered(left, clips), journal=own, alone=OWN_DEATHS)
        work_alone(order, lambda: None)
        for begun in left.values():
            self._journal.end(begun.number)


def _start(order: Order) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-m", "mer_core.engine.child"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    assert process.stdin is not None
    try:
        for part in (sys.path, _pickled(order)):
            pickle.dump(part, process.stdin)
        process.stdin.flush()
    except BrokenPipeError:
        pass
    return process


def _pickled(order: Order) -> bytes:
    """Empty where a plugin's class cannot be named by module; the child then gives up at once."""
    try:
        return pickle.dumps(order)
    except (pickle.PicklingError, AttributeError, TypeError):
        return b""


def _finished(path: Path) -> int:
    """How many clips of its order a child has finished."""
    done = path.with_suffix(".done")
    return done.stat().st_size if done.exists() else 0


def work_alone(order: Order, finished: Callable[[], None]) -> None:
    """Work on one clip after the other, all in this thread, noting every step in the journal.

    Raises:
        MerError: a plugin cannot start, or the store cannot be written.
    """
    store = FeatureStore(order.store)
    jobs: tuple[Job, ...] = (*order.derivers, *order.jobs)
    tables = Tables(store, jobs, order.settings.keep_frames, CHILD_LIMITS)
    hasher = ContentHasher(order.state_dir, order.settings.verify)
    lookup = Lookup(order.jobs, order.derivers, tables, hasher)
    part = Pass(order.jobs, frozenset(job.name for job in jobs), order.alone)
    journal = Journal(order.state_dir, order.journal, [job.fingerprint for job in jobs])
    worker = ClipWorker(part, lookup, journal, _AnyDevice(order.settings.places[0]), order.crashes, deaths=order.deaths)
    try:
        for item in enumerate(order.clips):
            worker(item)
            finished()
    finally:
        tables.close()
        journal.close()


class _AnyDevice(ThreadInstances):
    """Cheap plugins on the CPU, the others on the run's device."""

    def __init__(self, device: str) -> None:
        super().__init__(device)
        self._cpu = ThreadInstances("cpu")

    def __getitem__(self, job: Job) -> Any:
        return self._cpu[job] if job.spec.per_thread else super().__getitem__(job)

    def start(self, job: Job) -> Any:
        return self._cpu.start(job) if job.spec.per_thread else super().start(job)


def serve(content: bytes, started: Callable[[Path], None]) -> int:
    """A child's work on a pickled order; the exit status. ``started`` receives the journal's path."""
    if not content:
        return 1
    order: Order = pickle.loads(content)
    started(order.journal)
    try:
        with open(order.journal.with_suffix(".done"), "ab", buffering=0) as done:
            work_alone(order, lambda: _tick(done))
    except MerError:
        return 1
    return 0


def _tick(done: RawIOBase | BinaryIO) -> None:
    done.write(b".")


def suspects_again(
    suspects: Sequence[Begun],
    clips: Mapping[str, Clip],
    crashes: Mapping[tuple[str, str], Crash],
    lookup: Lookup,
    journal: Journal,
) -> list[Begun]:
    """``suspects``, none of them convicted, and with them the clips whose work is to be skipped."""
    found = {begun.clip: replace(begun, deaths=0) for begun in suspects}
    for name, clip in clips.items():
        needs = lookup.look(clip)
        jobs: list[Job] = [*needs.pending, *needs.to_derive]
        if name not in found and any(work in crashes for work in lookup.sources(clip, jobs).items()):
            found[name] = Begun(journal.begin(clip), name, clip.id)
    return list(found.values())
