"""The frames of the clips that are learnt from: prepared once, kept within bounds, fetched ahead."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import TypeVar

import numpy as np

from mer_core.plugin import ImageArray, MerError, Sample
from mer_plugins.image.preprocess import Recipe

_Job = TypeVar("_Job")
_Found = TypeVar("_Found")

NONE = np.empty((0, 1, 1, 3), np.uint8)
"""The frames of a clip that has none."""


class Store:
    """Frames uint8 [F, h, w, 3] by the clip's number, as ``recipe`` makes them of the samples' own.

    What was made is kept, up to ``limit`` bytes: as files below ``folder``, which a later fit finds again, or in
    memory where there is no folder. The rest is made anew each time.

    Attributes:
        lost: numbers of clips without a frame, with the reason.
    """

    def __init__(self, samples: Sequence[Sample], recipe: Recipe, limit: int, folder: Path | None = None) -> None:
        self.lost: dict[int, str] = {}
        self._samples, self._recipe = samples, recipe
        self._left, self._folder = limit, folder
        self._memory: dict[int, ImageArray] = {}
        self._asking, self._counting = Lock(), Lock()
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._left -= sum(file.stat().st_size for file in folder.glob("*.npy"))

    def clip(self, number: int) -> ImageArray:
        """All frames of a clip; :data:`NONE` where there are none. May be called from several threads."""
        found = self._kept(number)
        if found is None:
            found = self._made(number)
            if len(found) and self._room(found.nbytes):
                self._keep(number, found)
        return found

    def _made(self, number: int) -> ImageArray:
        with self._asking:
            try:
                images = self._samples[number].frames().images
            except (MerError, TypeError) as error:  # TypeError: there is a Missing in place of frames
                self.lost[number] = str(error)
                return NONE
        if not len(images):
            self.lost[number] = "no frame"
            return NONE
        return np.stack([self._recipe.cut(image) for image in images])

    def _kept(self, number: int) -> ImageArray | None:
        if self._folder is None:
            return self._memory.get(number)
        try:
            found: ImageArray = np.load(self._folder / f"{number}.npy", mmap_mode="r")
        except (OSError, ValueError, EOFError):
            return None
        return found

    def _room(self, size: int) -> bool:
        with self._counting:
            fits = size <= self._left
            self._left -= size if fits else 0
        return fits

    def _keep(self, number: int, found: ImageArray) -> None:
        if self._folder is None:
            self._memory[number] = found
            return
        part = self._folder / f"{number}.{os.getpid()}"
        try:
            with part.open("wb") as file:
                np.save(file, found)
            os.replace(part, self._folder / f"{number}.npy")
        except OSError:  # a full disk: frames are made anew instead
            part.unlink(missing_ok=True)
            self._left = 0

    def clear(self) -> None:
        """Forget what was kept."""
        self._memory.clear()
        if self._folder is None or not self._folder.is_dir():
            return
        for file in self._folder.iterdir():
            file.unlink(missing_ok=True)
        self._folder.rmdir()


def ahead(work: Callable[[_Job], _Found], jobs: Iterable[_Job], threads: int, depth: int) -> Iterator[_Found]:
    """What ``work`` makes of each job, in order; up to ``depth`` are begun before they are asked for."""
    waiting: deque[Future[_Found]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for job in jobs:
            waiting.append(pool.submit(work, job))
            if len(waiting) > depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
