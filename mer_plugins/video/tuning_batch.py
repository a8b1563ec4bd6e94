"""The pictures and targets of each step. All chance depends on seed, epoch and clip alone.

So a fit that was killed goes on with the same pictures, and neither the number of processes nor that of the parts in
which a step is computed changes what a clip looks like.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from mer_core.media.sampling import segment_indices
from mer_core.plugin import ImageArray, IntArray
from mer_plugins.video.tuning_frames import Store, ahead
from mer_plugins.video.tuning_group import Group
from mer_plugins.video.tuning_views import Views

ORDER, FRAMES, VIEW, PARTNERS, MIX = range(5)
"""What chance is for, as a part of its seed."""

THREADS, AHEAD = {"cuda": 4, "cpu": 1}, {"cuda": 16, "cpu": 2}
"""Threads that prepare frames, and clips that are prepared before they are needed."""


@dataclass(frozen=True, slots=True)
class Mixing:
    """Whether pairs of clips are mixed (Beta(mixup, mixup)), or joined by a rectangle (Beta(cutmix, cutmix))."""

    mixup: float = 0.0
    cutmix: float = 0.0

    def __bool__(self) -> bool:
        return self.mixup > 0 or self.cutmix > 0


@dataclass(frozen=True, slots=True)
class Job:
    """A clip whose frames are wanted as epoch ``epoch`` shows them (-1: without chance), and its partner."""

    clip: int
    partner: int = -1
    epoch: int = -1


@dataclass(frozen=True, slots=True)
class Step:
    """One step: ``rows`` of all processes together, and this process's ``parts`` of it, made one after the other.

    A part is pictures [b, T, 3, h, w] and targets [b, C] that sum to 1.
    """

    rows: IntArray
    parts: Iterator[tuple[Tensor, Tensor]]


class Batches:
    """Makes the steps of each epoch over clips with ``labels`` [N] of ``classes`` classes, T ``frames`` of each."""

    def __init__(
        self,
        store: Store,
        views: Views,
        labels: IntArray,
        classes: int,
        *,
        frames: int,
        size: int,
        at_once: int,
        smoothing: float = 0.0,
        mixing: Mixing | None = None,
        seed: int = 0,
        device: str = "cpu",
        group: Group | None = None,
    ) -> None:
        self.store, self.views, self.mixing = store, views, mixing or Mixing()
        self.labels, self.classes, self.smoothing = labels, classes, smoothing
        self.frames, self.at_once, self.seed, self.device = frames, at_once, seed, device
        self.group = group or Group()
        self.size = size * self.group.size
        kind = device.partition(":")[0]
        self._threads, self._ahead = THREADS.get(kind, 1), AHEAD.get(kind, 2)

    def steps(self, rows: IntArray) -> int:
        """Steps of an epoch over ``rows``."""
        return math.ceil(len(rows) / self.size)

    def epoch(self, epoch: int, rows: IntArray, first: int = 0) -> Iterator[Step]:
        """The steps of an epoch from number ``first`` on. Each one's parts are taken before the next step is."""
        order = self._rng(ORDER, epoch).permutation(rows)
        steps = [order[start : start + self.size] for start in range(0, len(order), self.size)]
        jobs = [self._jobs(epoch, number, steps[number]) for number in range(first, len(steps))]
        made = ahead(self._seen, (job for step in jobs for job in step), self._threads, self._ahead)
        try:
            for number, step in enumerate(jobs, first):
                yield Step(steps[number], self._parts(made, len(step), self._mix(epoch, number)))
        finally:
            made.close()  # type: ignore[attr-defined]

    def plain(self, rows: IntArray) -> Iterator[tuple[Tensor, Tensor]]:
        """This process's share of ``rows`` without chance: pictures [b, T, 3, h, w] and labels [b]."""
        jobs = [Job(int(rows[place])) for place in self.group.mine(len(rows))]
        made = ahead(self._seen, jobs, self._threads, self._ahead)
        while found := list(islice(made, self.at_once)):
            shown = [(job, one) for job, one, _ in found if len(one)]
            if shown:
                pictures = torch.stack([self.views.middle(one, self.device) for _, one in shown])
                yield pictures, torch.tensor([int(self.labels[job.clip]) for job, _ in shown], device=self.device)

    def _jobs(self, epoch: int, number: int, rows: IntArray) -> list[Job]:
        partners = self._rng(PARTNERS, epoch, number).permutation(rows) if self.mixing else np.full(len(rows), -1)
        return [Job(int(rows[one]), int(partners[one]), epoch) for one in self.group.mine(len(rows))]

    def _seen(self, job: Job) -> tuple[Job, ImageArray, ImageArray | None]:
        """In a thread: the frames of a clip and of its partner that the step shows."""
        return (
            job,
            self._chosen(job.clip, job.epoch),
            self._chosen(job.partner, job.epoch) if job.partner >= 0 else None,
        )

    def _chosen(self, clip: int, epoch: int) -> ImageArray:
        found = self.store.clip(clip)
        if not len(found):
            return found
        rng = self._rng(FRAMES, epoch, clip) if epoch >= 0 else None
        return np.asarray(found[segment_indices(len(found), self.frames, rng)])

    def _parts(self, made: Iterator[Any], count: int, mix: Mix | None) -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, count, self.at_once):
            found = list(islice(made, min(self.at_once, count - start)))
            shown = [self._shown(job, one, other, mix) for job, one, other in found if len(one)]
            if shown:
                yield torch.stack([one for one, _ in shown]), torch.stack([one for _, one in shown])

    def _shown(self, job: Job, frames: ImageArray, other: ImageArray | None, mix: Mix | None) -> tuple[Tensor, Tensor]:
        found, target = self._view(job.clip, job.epoch, frames), self._target(job.clip)
        if mix is None or other is None or not len(other):
            return found, target
        share, found = mix.of(found, self._view(job.partner, job.epoch, other))
        return found, share * target + (1 - share) * self._target(job.partner)

    def _view(self, clip: int, epoch: int, frames: ImageArray) -> Tensor:
        return self.views.random(frames, self.device, self._rng(VIEW, epoch, clip))

    def _target(self, clip: int) -> Tensor:
        """[C]: the label, of which a share is spread over all classes."""
        one = F.one_hot(torch.tensor(int(self.labels[clip])), self.classes).float()
        return ((1 - self.smoothing) * one + self.smoothing / self.classes).to(self.device)

    def _mix(self, epoch: int, number: int) -> Mix | None:
        if not self.mixing:
            return None
        rng = self._rng(MIX, epoch, number)
        joined = self.mixing.cutmix > 0 and (self.mixing.mixup <= 0 or rng.random() < 0.5)
        alpha = self.mixing.cutmix if joined else self.mixing.mixup
        return Mix(float(rng.beta(alpha, alpha)), joined, rng.random(2))

    def _rng(self, purpose: int, *what: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, purpose, *what])


@dataclass(frozen=True, slots=True)
class Mix:
    """How all pairs of a step are mixed: ``share`` of the first; by a rectangle around ``centre`` if ``joined``."""

    share: float
    joined: bool
    centre: NDArray[np.float64]

    def of(self, one: Tensor, other: Tensor) -> tuple[float, Tensor]:
        """The share of ``one`` that is left, and the mixture [T, 3, h, w]."""
        if not self.joined:
            return self.share, self.share * one + (1 - self.share) * other
        sides, cut = one.shape[-2:], math.sqrt(1 - self.share)
        middles = [int(length * place) for length, place in zip(sides, self.centre, strict=True)]
        halves = [int(length * cut) // 2 for length in sides]
        (top, left), (low, right) = (
            [
                min(max(middle + sign * half, 0), length)
                for middle, half, length in zip(middles, halves, sides, strict=True)
            ]
            for sign in (-1, 1)
        )
        found = one.clone()
        found[..., top:low, left:right] = other[..., top:low, left:right]
        return 1 - (low - top) * (right - left) / (sides[0] * sides[1]), found
