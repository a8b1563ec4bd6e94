"""Which frames of a video to take: by segments, by presentation time, or all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from mer_core.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

TOLERANCE = 6e-4
"""Slack (seconds) when comparing presentation times: Matroska rounds them to milliseconds."""


def segment_indices(total: int, count: int, rng: np.random.Generator | None = None) -> list[int]:
    """Indices of ``count`` frames, one from each of ``count`` equal segments of ``total`` frames.

    Without ``rng`` the centres of the segments, ``floor(i*N/T + N/(2T))``; with it, a random frame
    of each segment. A video shorter than ``count`` repeats frames. (TSN sampling as in ViFi-CLIP's
    SampleFrames, clip length 1.)

    Raises:
        UsageError: ``total`` or ``count`` is below 1.
    """
    if total < 1 or count < 1:
        raise UsageError(
            f"cannot take {count} of {total} frames.", "Ask for at least one frame of a video that has one."
        )
    if rng is None:
        return [(2 * i + 1) * total // (2 * count) % total for i in range(count)]
    width = total // count
    if width == 0:
        return [round(i * total / count) % total for i in range(count)]
    return [i * width + int(rng.integers(width)) for i in range(count)]


class Picker(Protocol):
    """Decides frame by frame, in order of time, which ones to take."""

    @property
    def done(self) -> bool:
        """No later frame can be wanted."""
        ...

    def wants(self, time: float) -> int:
        """How many copies of the frame at ``time`` (seconds) are wanted; 0 for none."""
        ...

    def take(self, time: float) -> None:
        """The frame at ``time`` was taken."""
        ...


class RatePicker:
    """The first frame of each period of ``1 / fps`` seconds, all frames where ``fps`` is None.

    Periods are counted from time 0, so nothing drifts, a variable frame rate is honoured, and no
    frame is taken twice where the video has fewer.

    Raises:
        UsageError: ``fps`` is not above 0.
    """

    done = False

    def __init__(self, fps: float | None) -> None:
        if fps is not None and not fps > 0:
            raise UsageError(f"{fps} frames per second cannot be taken.", "Give fps a number above 0.")
        self._fps = fps
        self._taken = -1

    def wants(self, time: float) -> int:
        """1 if no frame of this period was taken yet."""
        return int(self._fps is None or self._period(time, self._fps) > self._taken)

    def take(self, time: float) -> None:
        """This period is served."""
        if self._fps is not None:
            self._taken = self._period(time, self._fps)

    @staticmethod
    def _period(time: float, fps: float) -> int:
        return int((time + TOLERANCE) * fps)


class TimePicker:
    """The frames at the given times (seconds, sorted; one that repeats is wanted as often).

    A frame that never comes is replaced by the next that does.
    """

    def __init__(self, times: Sequence[float]) -> None:
        self._times = list(times)
        self._next = 0

    @property
    def done(self) -> bool:
        """Every time was served."""
        return self._next == len(self._times)

    def wants(self, time: float) -> int:
        """How many of the times are due."""
        due = self._next
        while due < len(self._times) and self._times[due] <= time + 1e-6:
            due += 1
        return due - self._next

    def take(self, time: float) -> None:
        """The times that were due are served."""
        self._next += self.wants(time)
