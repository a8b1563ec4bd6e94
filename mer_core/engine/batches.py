"""Batches of clips of similar length, for extractors that work on many clips at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mer_core.types import Clip, Sample

LOOKAHEAD = 4
"""Batches' worth of clips gathered before the first batch is cut, so that lengths match well."""


@dataclass(frozen=True, slots=True)
class Parked:
    """A decoded clip that waits for its batch: store digest, playing time (seconds), bytes held."""

    index: int
    clip: Clip
    digest: str
    sample: Sample
    seconds: float
    nbytes: int


class Batcher:
    """Gathers clips for one extractor; ``budget`` is the padded length of a batch in seconds."""

    def __init__(self, budget: float) -> None:
        self._budget = budget
        self._waiting: list[Parked] = []

    def push(self, parked: Parked) -> None:
        """Add a clip."""
        self._waiting.append(parked)

    def ready(self) -> list[list[Parked]]:
        """Full batches, once enough clips wait to cut them by length; the shortest clips wait on."""
        if sum(parked.seconds for parked in self._waiting) < LOOKAHEAD * self._budget:
            return []
        *full, rest = self._cut()
        self._waiting = rest
        return full

    def rest(self) -> list[list[Parked]]:
        """Everything that waits."""
        batches, self._waiting = self._cut(), []
        return batches

    def _cut(self) -> list[list[Parked]]:
        groups = cut_by_length([parked.seconds for parked in self._waiting], self._budget)
        return [[self._waiting[place] for place in group] for group in groups]


def cut_by_length(seconds: Sequence[float], budget: float) -> list[list[int]]:
    """Indices in groups, longest clips first, each group's size times longest clip within ``budget``."""
    groups: list[list[int]] = []
    for place in sorted(range(len(seconds)), key=lambda i: -seconds[i]):
        if groups and (len(groups[-1]) + 1) * seconds[groups[-1][0]] <= budget:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups
