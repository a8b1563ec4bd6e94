"""How long sound is cut into windows that a speech encoder can take, and which frames of them count.

Plain arithmetic over numbers of samples and frames; nothing here imports numpy or torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any


@dataclass(frozen=True, slots=True)
class Grid:
    """The frames of a stack of convolutions without padding: one sees ``window`` samples, the next begins ``hop`` on.

    Floors of floors are one floor, so the whole stack has the closed form of a single convolution.
    """

    window: int
    hop: int

    @classmethod
    def of(cls, config: Any) -> Grid:
        """Of a published config (``conv_kernel``, ``conv_stride``): 400 and 320 samples in HuBERT and its kin."""
        window, hop = 1, 1
        for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
            window += (kernel - 1) * hop
            hop *= stride
        return cls(window, hop)

    def frames(self, samples: int) -> int:
        """Number of frames of so many samples; 0 where there is not one."""
        return max(0, (samples - self.window) // self.hop + 1)

    def centre(self, frame: int, rate: float) -> float:
        """Middle of frame ``frame`` in seconds, at ``rate`` Hz."""
        return (frame * self.hop + self.window / 2) / rate

    def samples(self, first: int, last: int) -> slice:
        """The samples that the frames ``first`` up to (not with) ``last`` see."""
        return slice(first * self.hop, (last - 1) * self.hop + self.window)


@dataclass(frozen=True, slots=True)
class Window:
    """Frames ``first`` up to ``last`` are computed together, of which ``keep`` up to ``end`` count."""

    first: int
    last: int
    keep: int
    end: int

    @property
    def kept(self) -> slice:
        """The frames that count, numbered within the window."""
        return slice(self.keep - self.first, self.end - self.first)


def windows(frames: int, chunk: int, overlap: int) -> list[Window]:
    """Windows of ``chunk`` frames with ``overlap`` more on both sides, whose frames do not count.

    What fits into one window goes whole. Of more, all windows have the same length: the last one ends with the
    sound and reaches back for its context, so that no frame lacks it and nothing is padded. Each frame
    counts in exactly one window.
    """
    size = chunk + 2 * overlap
    if frames <= size:
        return [Window(0, frames, 0, frames)]
    number = 1 + ceil((frames - size) / chunk)
    found: list[Window] = []
    for k in range(number):
        first = min(k * chunk, frames - size)
        keep = found[-1].end if found else 0
        end = frames if k == number - 1 else first + size - overlap
        found.append(Window(first, first + size, keep, end))
    return found


def by_length(lengths: Sequence[int], budget: int, slack: float) -> Iterable[list[int]]:
    """Indices of ``lengths`` in batches, long ones first.

    A batch has at most ``budget`` samples, padding included (or one member), and none in it is shorter
    than the longest by more than the share ``slack``.
    """
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        longest = lengths[batch[0]] if batch else 0
        if batch and ((len(batch) + 1) * longest > budget or lengths[index] < (1 - slack) * longest):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
