"""Plugin instances, made when they are first needed; those of a supervised extractor serve all its fits in turn."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

from mer_core.engine.answers import make_instance
from mer_core.engine.types import MEBIBYTE, ExtractorJob, Job
from mer_core.errors import MerError, PluginError, StoreError


class Instances:
    """Instances on ``device`` for one thread, by job.

    Jobs that differ by their fitted state alone share an instance; it is brought into a job's state when it is asked
    for under another one.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._made: dict[str, Any] = {}
        self._state: dict[str, str] = {}

    def __getitem__(self, job: Job) -> Any:
        """The instance, in the job's state.

        Raises:
            PluginError: it cannot be made, or does not take the state.
        """
        instance = self.start(job)
        if isinstance(job, ExtractorJob) and job.fitted and self._state.get(job.shared) != job.fingerprint:
            self._state.pop(job.shared, None)  # whatever it is in where restoring breaks off
            restore(job, instance, job.fitted)
            self._state[job.shared] = job.fingerprint
        return instance

    def start(self, job: Job) -> Any:
        """The instance in whatever state it is; what cannot start says so here."""
        if job.shared not in self._made:
            self._made[job.shared] = make_instance(job, self._device)
        return self._made[job.shared]


class ThreadInstances:
    """Instances on ``device``, others in each thread."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._local = threading.local()

    def __getitem__(self, job: Job) -> Any:
        return self._own[job]

    def start(self, job: Job) -> Any:
        """As :meth:`Instances.start`, of the calling thread."""
        return self._own.start(job)

    @property
    def _own(self) -> Instances:
        found: Instances = self._local.__dict__.setdefault("found", Instances(self._device))
        return found


class States:
    """The arrays of fitted states, the last ones kept up to so many bytes: fits take turns with every batch."""

    def __init__(self, limit: int = 256 * MEBIBYTE) -> None:
        self._limit = limit
        self._kept: OrderedDict[tuple[Path, int, int], dict[str, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def load(self, file: Path) -> dict[str, Any]:
        """Copies of the arrays in ``file``, which whoever gets them may change.

        Raises:
            OSError, SafetensorError: the file is not there or damaged.
        """
        from safetensors.numpy import load_file

        facts = file.stat()
        key = (file.resolve(), facts.st_size, facts.st_mtime_ns)
        with self._lock:
            found = self._kept.pop(key, None)
            if found is not None:
                self._kept[key] = found
        if found is None:
            found = load_file(file)
            self._keep(key, found)
        return {name: array.copy() for name, array in found.items()}

    def _keep(self, key: tuple[Path, int, int], found: dict[str, Any]) -> None:
        with self._lock:
            self._kept[key] = found
            while sum(size for _, size, _ in self._kept) > self._limit:
                self._kept.popitem(last=False)


STATES = States()


def restore(job: Job, instance: Any, file: Path) -> None:
    """Bring ``instance`` into the state that was fitted earlier and saved in ``file``.

    Raises:
        StoreError: the file is not there or damaged.
        PluginError: the plugin does not take it (a MerError of its own passes as it is).
    """
    from safetensors import SafetensorError

    try:
        state = STATES.load(file)
    except (OSError, SafetensorError) as error:
        raise StoreError(
            f"the fitted state {file} cannot be read: {error}.", f"Remove {file.parent} to fit it again."
        ) from error
    try:
        instance.restore(state)
    except MerError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise PluginError(
            f"{job.spec.name} does not take the state {file} ({reason}).", f"Remove {file.parent} to fit it again."
        ) from error
