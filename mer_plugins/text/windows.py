"""Long texts in windows of tokens, and windows in batches of similar length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Window:
    """A model reads the tokens ``start`` to ``stop`` of a text; the states of ``first`` to ``last`` are used."""

    start: int
    stop: int
    first: int
    last: int

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def used(self) -> slice:
        """Which of the window's own states are used."""
        return slice(self.first - self.start, self.last - self.start)


def windows(count: int, size: int, causal: bool = False) -> list[Window]:
    """Cover ``count`` tokens with windows of at most ``size``, each token's state used once.

    Neighbours share a quarter of a window or more. Where a model reads in both directions, the next window
    takes over in the middle of a quarter; where it is ``causal``, at its end: what was read earlier has seen more.
    """
    if count <= size:
        return [Window(0, count, 0, count)]
    shared = size // 4
    margin = 0 if causal else shared // 2
    found: list[Window] = []
    first = 0
    for start in (*range(0, count - size, size - shared), count - size):
        stop = start + size
        last = stop if stop == count else stop - margin
        found.append(Window(start, stop, first, last))
        first = last
    return found


def batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Indices in groups, longest first, each group's size times its longest length within ``budget``.

    A length beyond the budget is a group of its own.
    """
    groups: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if groups and (len(groups[-1]) + 1) * lengths[groups[-1][0]] <= budget:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups
