"""Failures by what caused them: a hundred clips with one reason are one line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


class Failed(Protocol):
    """A failure of one clip, as the engine or a report has it."""

    @property
    def id(self) -> str:
        """The clip."""
        ...

    @property
    def stage(self) -> str:
        """Where it failed."""
        ...

    @property
    def reason(self) -> str:
        """Why."""
        ...

    @property
    def stream(self) -> str:
        """What it cost the clip."""
        ...


@dataclass(frozen=True, slots=True)
class Cause:
    """The clips that failed at one stage of the same streams for one reason."""

    stage: str
    stream: str
    reason: str
    ids: tuple[str, ...]

    @property
    def id(self) -> str:
        """The first of them."""
        return self.ids[0]

    @property
    def n(self) -> int:
        """How many there are."""
        return len(self.ids)


def causes(failures: Iterable[Failed]) -> list[Cause]:
    """Failures with equal stage, streams and reason as one; the most frequent first, then as they come."""
    ids: dict[tuple[str, str, str], list[str]] = {}
    for one in failures:
        ids.setdefault((one.stage, one.stream, one.reason), []).append(one.id)
    found = [Cause(*key, tuple(clips)) for key, clips in ids.items()]
    return sorted(found, key=lambda cause: -cause.n)
