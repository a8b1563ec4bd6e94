"""The writing end of a feature store table: an asynchronous writer that loses seconds at most."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from mer_core.errors import MerError, StoreError
from mer_core.store.shards import Row, make_row, write_shard
from mer_core.types import Derived, Features, Missing


@dataclass(frozen=True, slots=True)
class ShardLimits:
    """When a shard is closed: rows, bytes, or seconds since its first row.

    An open shard is also written every ``checkpoint`` seconds, each time replacing the file of the
    time before: a killed process loses that much, and the store still ends up with few files.
    """

    rows: int = 256
    bytes: int = 64 * 2**20
    seconds: float = 20.0
    checkpoint: float = 2.0


QUEUE_ROWS = 64
"""Rows that may wait for the disk before ``add`` blocks: a bound on memory, not on speed."""


class TableWriter:
    """Adds answers to one table; a thread of its own writes them. A context manager.

    Args:
        folder: the table's folder.
        keep_frames: keep frame-level values and times, not only their statistics.
        limits: when shards are closed.
        written: called in the writer's thread with the path of every finished file.
    """

    def __init__(
        self,
        folder: Path,
        keep_frames: bool = False,
        limits: ShardLimits | None = None,
        written: Callable[[Path], None] = lambda path: None,
    ) -> None:
        self._folder, self._keep_frames, self._written = folder, keep_frames, written
        self._limits = limits or ShardLimits()
        self._queue: queue.Queue[Row | None] = queue.Queue(QUEUE_ROWS)
        self._error: MerError | None = None
        self._open = _OpenShard(folder)
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="mer-writer", daemon=True)
        self._thread.start()

    def add(self, digest: str, answer: Features | Missing | Derived) -> None:
        """Store ``answer`` under ``digest``; returns before it is on disk. Any thread may call this.

        Raises:
            StoreError: an earlier row could not be written.
        """
        row = make_row(digest, answer, self._keep_frames)
        while True:
            self._raise()
            if self._closed:
                raise StoreError(f"the writer of {self._folder} is closed.", "Open another one.")
            try:
                return self._queue.put(row, timeout=0.5)
            except queue.Full:
                continue

    def close(self, timeout: float | None = None) -> None:
        """Write what is left and end the thread, waiting at most ``timeout`` seconds.

        Raises:
            StoreError: something could not be written.
        """
        if not self._closed:
            self._closed = True
            with contextlib.suppress(queue.Full):
                self._queue.put(None, timeout=timeout)
        self._thread.join(timeout)
        self._raise()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            while self._take(self._wait()):
                pass
            self._save()
        except MerError as error:
            self._error = error
        except Exception as error:
            self._error = StoreError(f"writing features to {self._folder} failed: {error}.", "See mer doctor.")
        self._drain()

    def _take(self, seconds: float | None) -> bool:
        """Handle the next row or due write; False at the end."""
        try:
            row = self._queue.get(timeout=seconds)
        except queue.Empty:
            self._save()
        else:
            if row is None:
                return False
            self._open.add(row)
        if self._open.due(self._limits.checkpoint):
            self._save()
        if self._open.full(self._limits):
            self._save()
            self._open = _OpenShard(self._folder)
        return True

    def _wait(self) -> float | None:
        return max(self._open.unsaved_until(self._limits.checkpoint), 0.0) if self._open.unsaved else None

    def _save(self) -> None:
        if self._open.unsaved:
            self._written(self._open.save())

    def _drain(self) -> None:
        """After an error, let no caller wait for room in the queue."""
        while self._error is not None and not self._closed:
            try:
                self._queue.get(timeout=0.5)
            except queue.Empty:
                continue

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _OpenShard:
    """The rows of the shard being filled, and the file that holds those saved so far."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rows: list[Row] = []
        self._bytes = 0
        self._began = self._saved_at = time.monotonic()
        self._saved_rows = 0
        self._path: Path | None = None

    @property
    def unsaved(self) -> int:
        return len(self._rows) - self._saved_rows

    def add(self, row: Row) -> None:
        now = time.monotonic()
        if not self._rows:
            self._began = now
        if not self.unsaved:
            self._saved_at = now
        self._rows.append(row)
        self._bytes += row.nbytes

    def unsaved_until(self, checkpoint: float) -> float:
        """Seconds until the oldest unsaved row has waited ``checkpoint``."""
        return self._saved_at + checkpoint - time.monotonic()

    def due(self, checkpoint: float) -> bool:
        return self.unsaved > 0 and self.unsaved_until(checkpoint) <= 0

    def full(self, limits: ShardLimits) -> bool:
        old = bool(self._rows) and time.monotonic() - self._began >= limits.seconds
        return old or len(self._rows) >= limits.rows or self._bytes >= limits.bytes

    def save(self) -> Path:
        """Write all rows to a new file, then remove the one it replaces."""
        before, self._path = self._path, write_shard(self._folder, self._rows)
        self._saved_rows, self._saved_at = len(self._rows), time.monotonic()
        if before is not None:
            before.unlink(missing_ok=True)
        return self._path
