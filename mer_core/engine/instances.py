"""Plugin instances, made when they are first needed; those of a supervised extractor serve all its fits in turn."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from mer_core.engine.answers import make_instance
from mer_core.engine.types import ExtractorJob, Job
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
        found: Instances = self._local.__dict__.setdefault("found", Instances(self._device))
        return found[job]


def restore(job: Job, instance: Any, file: Path) -> None:
    """Bring ``instance`` into the state that was fitted earlier and saved in ``file``.

    Raises:
        StoreError: the file is not there or damaged.
        PluginError: the plugin does not take it (a MerError of its own passes as it is).
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        state = load_file(file)
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
