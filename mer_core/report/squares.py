"""A square chart of two shares against each other, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from mer_core.report.svg import line, picture, tag, text

SIDE, LEFT, TOP = 190.0, 46.0, 20.0
LARGEST = 7.0
"""Radius of the largest spot, in pixels."""


@dataclass(frozen=True, slots=True)
class Spot:
    """A dot at ``x`` and ``y`` (0 to 1); ``size`` is its radius as a share of the largest one's."""

    x: float
    y: float
    size: float
    title: str


def square(spots: Sequence[Spot], label: str, across: str, up: str) -> Markup:
    """Dots, and the diagonal dashed."""
    parts: list[Markup] = [text(0, 6, up, "head")]
    for step in range(6):
        share = step / 5
        x, y = LEFT + SIDE * share, TOP + SIDE * (1 - share)
        parts += [line(x, TOP, x, TOP + SIDE, "grid"), line(LEFT, y, LEFT + SIDE, y, "grid")]
        parts += [
            text(x, TOP + SIDE + 12, f"{share:g}", "axis", "middle"),
            text(LEFT - 6, y, f"{share:g}", "axis", "end"),
        ]
    parts.append(line(LEFT, TOP + SIDE, LEFT + SIDE, TOP, "chance"))
    places = [(LEFT + SIDE * one.x, TOP + SIDE * (1 - one.y)) for one in spots]
    for one, (x, y) in zip(spots, places, strict=True):
        parts.append(tag("circle", tag("title", one.title), cx=x, cy=y, r=max(2.0, LARGEST * one.size), class_="dot"))
    parts.append(text(LEFT + SIDE / 2, TOP + SIDE + 28, across, "axis", "middle"))
    return picture(LEFT + SIDE + 20, TOP + SIDE + 40, label, *parts)
