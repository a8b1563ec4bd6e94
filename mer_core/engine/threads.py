"""Threads that decode ahead of whoever computes, within a window of bytes.

No executor: its threads are joined at exit, which hangs after Ctrl-C. These are daemons, and the
caller waits for them in short steps, so that an interrupt is noticed at once.
"""

from __future__ import annotations

import ctypes
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

POLL_SECONDS = 0.1


class Window:
    """Counts the bytes that wait; new clips are begun only below ``limit``.

    A clip's size is known once it is decoded, so every thread may overshoot by one clip.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._room = threading.Condition()

    @property
    def full(self) -> bool:
        """No new clip is begun."""
        return self._used >= self._limit

    def add(self, nbytes: int) -> None:
        """Bytes that wait from now on."""
        with self._room:
            self._used += nbytes

    def remove(self, nbytes: int) -> None:
        """Bytes that have been worked off."""
        with self._room:
            self._used -= nbytes
            self._room.notify_all()

    def wait(self, stopped: Callable[[], bool]) -> None:
        """Until there is room, or ``stopped``."""
        with self._room:
            while self.full and not stopped():
                self._room.wait(POLL_SECONDS)


@dataclass(frozen=True, slots=True)
class _Raised:
    error: BaseException


class _Ended:
    pass


class _Interrupted(BaseException):
    """Raised in a worker thread from outside; no ``except Exception`` stops it."""


def _interrupt(thread: threading.Thread) -> None:
    if thread.ident is not None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(_Interrupted))


class Crew(Generic[ItemT, ResultT]):
    """``count`` daemon threads that call ``work(item)`` for all ``items``, begun at once."""

    def __init__(self, count: int, items: Iterable[ItemT], work: Callable[[ItemT], ResultT], window: Window) -> None:
        self._items = iter(items)
        self._work, self._window = work, window
        self._next, self._stop = threading.Lock(), threading.Event()
        self._out: queue.SimpleQueue[ResultT | _Raised | _Ended] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._run, name=f"mer-worker-{n}", daemon=True) for n in range(count)]
        self._busy: set[threading.Thread] = set()
        self._guard = threading.Lock()
        for thread in self._threads:
            thread.start()

    @property
    def ready(self) -> bool:
        """The next of :meth:`results` is there already."""
        return not self._out.empty()

    def results(self, idle: Callable[[], None] = lambda: None) -> Iterator[ResultT]:
        """Results as they come, in any order; ``idle`` is called while there are none.

        Raises:
            Exception: whatever ``work`` raised.
        """
        running = len(self._threads)
        while running:
            try:
                found = self._out.get(timeout=POLL_SECONDS)
            except queue.Empty:
                idle()
                continue
            if isinstance(found, _Raised):
                raise found.error
            if isinstance(found, _Ended):
                running -= 1
            else:
                yield found

    def halt(self) -> None:
        """Begin no more items, and interrupt the threads, without waiting for them."""
        self._stop.set()
        with self._guard:  # a thread that has left has perhaps given its number to another one
            for thread in self._busy:
                _interrupt(thread)

    def stop(self, patience: float) -> None:
        """Begin no more items; break off those begun, waiting up to ``patience`` seconds for it.

        A thread inside C++ code when the interpreter ends brings the process down with it, so the
        threads are interrupted: each leaves its item at the next step of Python code.
        """
        end = time.monotonic() + patience
        self.halt()
        while self._busy and time.monotonic() < end:
            time.sleep(POLL_SECONDS / 5)
            self.halt()
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _run(self) -> None:
        try:
            try:
                self._work_off()
            finally:
                self._leave()
        except _Interrupted:  # while it left
            self._leave()

    def _work_off(self) -> None:
        with self._guard:
            self._busy.add(threading.current_thread())
        try:
            for item in self._taken():
                self._out.put(self._work(item))
        except _Interrupted:
            raise
        except BaseException as error:
            self._out.put(_Raised(error))

    def _leave(self) -> None:
        """Be interrupted no more. An interrupt that was under way arrives here at the latest."""
        me = threading.current_thread()
        with self._guard:
            here = me in self._busy
            self._busy.discard(me)
        if here:
            self._out.put(_Ended())

    def _taken(self) -> Iterator[ItemT]:
        while True:
            self._window.wait(self._stop.is_set)
            with self._next:
                if self._stop.is_set():
                    return
                try:
                    item = next(self._items)
                except StopIteration:
                    return
            yield item
