"""Where batches are computed: in the calling thread on one device, or on several at once, a thread for each."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mer_core.engine.batches import Parked
from mer_core.engine.instances import Instances
from mer_core.engine.threads import POLL_SECONDS, Crew, Window
from mer_core.engine.types import Job

SPARE = 1
"""Batches that lie ready beside those being computed, so that no device waits for the calling thread."""


@dataclass(frozen=True, slots=True)
class Computed:
    """A batch of a job, and one answer for each clip in it."""

    job: Job
    batch: list[Parked]
    answers: list[Any]


Compute = Callable[[Instances, Job, list[Parked]], list[Any]]
"""Answers to a batch by an instance of its job, which is that of the device that is free."""


class Station:
    """One device: every batch is computed at once, by the calling thread."""

    def __init__(self, instances: Instances, compute: Compute) -> None:
        self._instances, self._compute = instances, compute

    def give(self, job: Job, batch: list[Parked]) -> Iterator[Computed]:
        """Have a batch computed; what has been computed since then or before, in any order."""
        yield Computed(job, batch, self._compute(self._instances, job, batch))

    def finished(self) -> Iterator[Computed]:
        """What has been computed meanwhile; waits for nothing."""
        return iter(())

    def rest(self) -> Iterator[Computed]:
        """All that was given and is not computed yet."""
        return iter(())

    def halt(self) -> None:
        """Begin no more batches."""

    def stop(self, patience: float) -> None:
        """Break off those begun, waiting up to ``patience`` seconds for it."""


class Stations(Station):
    """Several devices, each with instances of its own; a batch goes to whichever is free first.

    What a thread raises (a plugin that does not take its fitted state, say) is raised in the calling thread.
    """

    def __init__(self, devices: Sequence[Instances], compute: Compute) -> None:
        self._compute = compute
        self._limit = len(devices) + SPARE
        self._given = 0
        self._free: queue.SimpleQueue[Instances] = queue.SimpleQueue()
        for instances in devices:
            self._free.put(instances)
        self._orders: queue.SimpleQueue[tuple[Job, list[Parked]]] = queue.SimpleQueue()
        self._over = threading.Event()
        self._crew = Crew(len(devices), self._taken(), self._work, Window(1))
        self._results = self._crew.results()

    def give(self, job: Job, batch: list[Parked]) -> Iterator[Computed]:
        """As in :class:`Station`, but waits only while all devices are busy."""
        while self._given >= self._limit:
            yield self._next()
        self._orders.put((job, batch))
        self._given += 1
        yield from self.finished()

    def finished(self) -> Iterator[Computed]:
        """As in :class:`Station`."""
        while self._given and self._crew.ready:
            yield self._next()

    def rest(self) -> Iterator[Computed]:
        """As in :class:`Station`."""
        while self._given:
            yield self._next()

    def halt(self) -> None:
        """As in :class:`Station`."""
        self._over.set()
        self._crew.halt()

    def stop(self, patience: float) -> None:
        """As in :class:`Station`."""
        self._over.set()
        self._crew.stop(patience)

    def _next(self) -> Computed:
        found = next(self._results)
        self._given -= 1
        return found

    def _taken(self) -> Iterator[tuple[Job, list[Parked]]]:
        """Orders as they come, until there will be none."""
        while not self._over.is_set():
            try:
                yield self._orders.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue

    def _work(self, order: tuple[Job, list[Parked]]) -> Computed:
        instances = self._free.get()
        try:
            return Computed(*order, self._compute(instances, *order))
        finally:
            self._free.put(instances)
