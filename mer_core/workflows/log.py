"""A run's log: one JSON object per line, flushed at once, so that a killed run tells how far it came."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mer_core.errors import EnvironmentProblem, MerError
from mer_core.files import disk_full, writing


class RunLog:
    """Writes events to a new file and remembers how long each stage took (seconds)."""

    def __init__(self, file: Path, began: float | None = None) -> None:
        self.file = file
        self.began = time.monotonic() if began is None else began
        self.created = datetime.now(UTC).isoformat(timespec="seconds")
        self.timing: dict[str, float] = {}
        self.file.unlink(missing_ok=True)
        self.write("started")

    @property
    def seconds(self) -> float:
        """Since the log was opened."""
        return round(time.monotonic() - self.began, 3)

    def write(self, event: str, **facts: Any) -> None:
        """One line: UTC time, seconds since the start, the event and its facts."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {"time": now, "at": self.seconds, "event": event, **facts}
        with writing(self.file), self.file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line, ensure_ascii=False, default=str) + "\n")

    @contextmanager
    def stage(self, name: str, **facts: Any) -> Iterator[None]:
        """Log the beginning, the end or the failure of a stage, and time it."""
        began = time.monotonic()
        self.write(f"{name} started", **facts)
        with self.watch(name):
            yield
        self.finish(name, began)

    @contextmanager
    def watch(self, name: str) -> Iterator[None]:
        """Log the failure of ``name``, with the traceback of what nobody foresaw; the error then says where it is."""
        try:
            yield
        except BaseException as error:
            cause = error.__cause__ if isinstance(error, MerError) else error
            unforeseen = isinstance(cause, Exception | SystemExit) and not isinstance(cause, MerError)
            unforeseen = unforeseen and not disk_full(error)
            lines = {"traceback": "".join(traceback.format_exception(cause))} if unforeseen else {}
            with suppress(EnvironmentProblem):  # where the disk is full, the error that says so goes on
                self.write(f"{name} failed", error=f"{type(error).__name__}: {error}", **lines)
            if unforeseen and isinstance(error, MerError):
                error.hint = f"{error.hint} The traceback is in {self.file}.".strip()
            raise

    def finish(self, name: str, began: float, **facts: Any) -> None:
        """Log the end of a stage that began at ``began`` (monotonic seconds)."""
        self.timing[name] = round(time.monotonic() - began, 3)
        self.write(f"{name} finished", seconds=self.timing[name], **facts)
