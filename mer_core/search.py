"""What a search draws from: values of options, named in full or as a range. Light: no numpy.

The random search of MERBench (arXiv 2401.03429) draws hidden width, dropout and learning rate, each draw by itself.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mer_core.errors import UsageError
from mer_core.options import parse_value

DECADE = 10
"""A range whose upper end is so many times the lower one, or more, is drawn from by logarithm."""
PATIENCE = 1000
"""Draws in a row that were there already, after which no new ones are looked for."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A few values, each as likely as any other."""

    values: tuple[Any, ...]

    def draw(self, rng: random.Random) -> Any:
        """One of them."""
        return rng.choice(self.values)

    @property
    def count(self) -> int | None:
        """How many different ones there are."""
        return len(self.values)

    def __str__(self) -> str:
        return ", ".join(str(value) for value in self.values)


@dataclass(frozen=True, slots=True)
class Span:
    """All numbers between two, both included: whole ones where both are; even on a line, or on a logarithmic one."""

    low: float
    high: float
    log: bool
    whole: bool

    def draw(self, rng: random.Random) -> float | int:
        """One of them, to three digits."""
        if self.whole and not self.log:
            return rng.randint(int(self.low), int(self.high))
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        found = rng.uniform(low, high)
        found = math.exp(found) if self.log else found
        return round(found) if self.whole else min(max(float(f"{found:.3g}"), self.low), self.high)

    @property
    def count(self) -> int | None:
        """How many different ones there are; None where that is not counted."""
        return int(self.high) - int(self.low) + 1 if self.whole else None

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}{', by logarithm' if self.log else ''}"


Values = Listed | Span
Space = Mapping[str, Values]
"""By ``fusion.OPTION`` and ``trainer.OPTION``, in the order in which they are shown."""


def read_space(pairs: Sequence[str]) -> dict[str, dict[str, Values]]:
    """``["attention.hidden=64,128", "cv.lr=1e-4..1e-3"]`` by owner and option.

    Raises:
        UsageError: naming what is not of that form.
    """
    found: dict[str, dict[str, Values]] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        owner, dot, name = key.strip().rpartition(".")
        if not (equals and dot and owner and name and text.strip()):
            raise UsageError(f"--search {pair!r} is not OWNER.KEY=VALUES.", EXAMPLE)
        found.setdefault(owner, {})[name] = read_values(text, pair)
    return found


EXAMPLE = "For example: --search attention.hidden=64,128,256 --search cv.lr=1e-4..1e-3."


def read_values(text: str, where: str = "") -> Values:
    """``64,128``, ``1e-4..1e-3``, ``0.1..0.5`` or, with ``:log`` or ``:linear`` after it, a range of that kind.

    Raises:
        UsageError: naming ``where``.
    """
    if ".." not in text:
        return Listed(tuple(dict.fromkeys(parse_value(part.strip()) for part in text.split(",") if part.strip())))
    span, _, kind = text.partition(":")
    ends = [parse_value(part.strip()) for part in span.split("..")]
    numbers = [end for end in ends if isinstance(end, int | float) and not isinstance(end, bool)]
    known = kind.strip() in ("", "log", "linear")
    if not known or len(numbers) != len(ends) or len(ends) != 2 or not ends[0] < ends[1]:
        raise UsageError(f"--search {where or text!r}: that is no range.", "Write LOW..HIGH, LOW..HIGH:log or :linear.")
    low, high = numbers
    log = kind.strip() == "log" or (not kind and low > 0 and high / low >= DECADE)
    if log and low <= 0:
        raise UsageError(f"--search {where or text!r}: {low:g} has no logarithm.", "Begin above 0, or write :linear.")
    return Span(low, high, log, isinstance(low, int) and isinstance(high, int))


def size(space: Space) -> int | None:
    """How many different draws there are; None where they are without number."""
    counts = [values.count for values in space.values()]
    known = [count for count in counts if count is not None]
    return math.prod(known) if len(known) == len(counts) else None


def draw(space: Space, count: int, seed: int) -> list[dict[str, Any]]:
    """``count`` different draws, or all that there are where these are fewer. The same seed gives the same ones.

    A draw that came before is drawn again: trained with the same seed it would be the same model.
    """
    rng = random.Random(seed)
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    stuck = 0
    while len(found) < min(count, size(space) or count) and stuck < PATIENCE * count:
        one = {name: values.draw(rng) for name, values in space.items()}
        stuck += 1
        if tuple(one.values()) not in found:
            found[tuple(one.values())] = one
            stuck = 0
    return list(found.values())
