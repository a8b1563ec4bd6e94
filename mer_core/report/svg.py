"""Small inline charts as SVG text. Colours are CSS classes of the page, so they follow its theme.

Lengths are CSS pixels; scores are drawn on an axis from 0 to 1. All text is escaped.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from mer_core.report.words import number

ROW = 24
LABEL = 104
AXIS = 262
RIGHT = 102


@dataclass(frozen=True, slots=True)
class Dot:
    """One row of a dot plot: a score with its bounds, and what stands left and right of it.

    ``marks`` are drawn as a column of filled or empty dots each (which modalities take part).
    """

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    right: str = ""
    marks: tuple[bool, ...] = ()
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of a bar chart: a share of the axis (0 to 1), its text, and ticks at other scores."""

    label: str
    value: float | None
    text: str
    ticks: tuple[tuple[str, float | None], ...] = ()
    title: str = ""


def tag(name: str, *children: object, **attributes: object) -> Markup:
    """An element; ``class_`` becomes ``class``, ``font_size`` ``font-size``; floats are shortened."""
    pairs = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _short(value))
        for key, value in attributes.items()
        if value is not None
    )
    inner = Markup("").join(escape(child) for child in children)
    return Markup("<{}{}>{}</{}>").format(Markup(name), pairs, inner, Markup(name))


def _short(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def picture(width: float, height: float, label: str, *children: object) -> Markup:
    """An SVG picture that shrinks with the page; ``label`` is read out by screen readers."""
    return tag(
        "svg",
        *children,
        viewBox=f"0 0 {width:g} {height:g}",
        width=f"{width:g}",
        height=f"{height:g}",
        role="img",
        aria_label=label,
    )


def text(x: float, y: float, content: str, kind: str = "t", anchor: str = "start") -> Markup:
    """A line of text whose middle is at height ``y``."""
    return tag("text", content, x=x, y=y + 4.0, class_=kind, text_anchor=None if anchor == "start" else anchor)


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    """A straight line."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=kind)


def width_of(content: str) -> int:
    """Width in columns: wide (Chinese) characters count two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in content)


def cut(content: str, columns: int = 15) -> str:
    """``content`` in at most ``columns`` columns, with an ellipsis where it was cut."""
    if width_of(content) <= columns:
        return content
    kept = ""
    for character in content:
        if width_of(kept + character) > columns - 1:
            break
        kept += character
    return kept + "…"


def _grid(left: float, top: float, bottom: float, span: float) -> list[Markup]:
    """Vertical lines at 0, .2, … 1 with their numbers below."""
    parts = []
    for step in range(6):
        x = left + span * step / 5
        parts += [line(x, top, x, bottom, "grid"), text(x, bottom + 12, f"{step / 5:g}", "axis", "middle")]
    return parts


def _chance(chance: float | None, left: float, top: float, bottom: float, span: float) -> list[Markup]:
    if chance is None:
        return []
    x = left + span * chance
    return [tag("line", tag("title", f"guessing: {number(chance)}"), x1=x, y1=top, x2=x, y2=bottom, class_="chance")]


def strip(value: float | None, low: float | None, high: float | None, chance: float | None) -> Markup:
    """One score on the axis: dot, interval, and a dashed line at chance."""
    left, span, middle = 8.0, 220.0, 14.0
    parts = [line(left, middle, left + span, middle, "rail")]
    for step in range(0, 11, 5):
        x = left + span * step / 10
        parts += [line(x, middle - 4, x, middle + 4, "rail"), text(x, 32, f"{step / 10:g}", "axis", "middle")]
    parts += _chance(chance, left, 3, 25, span) + _whisker(value, low, high, left, span, middle)
    return picture(236, 42, f"{number(value)}, interval {number(low)} to {number(high)}", *parts)


def _whisker(
    value: float | None, low: float | None, high: float | None, left: float, span: float, y: float, strong: bool = True
) -> list[Markup]:
    parts = []
    if low is not None and high is not None:
        parts.append(line(left + span * low, y, left + span * high, y, "whisker" if strong else "whisker weak"))
    if value is not None:
        parts.append(tag("circle", cx=left + span * value, cy=y, r=5, class_="dot" if strong else "dot weak"))
    return parts


def dot_plot(
    rows: Sequence[Dot], label: str, chance: float | None = None, heads: Sequence[tuple[str, str]] = ()
) -> Markup:
    """Rows of scores with their intervals. ``heads``: (name, CSS class) of each column of marks."""
    gap, top = 48.0, 22.0 if heads else 6.0
    left = len(heads) * gap + 12 if heads else float(LABEL)
    right = 52.0 if heads else float(RIGHT)
    bottom = top + ROW * len(rows) + 4
    parts = [text(gap * (i + 0.5), 8, cut(name, 8), "head", "middle") for i, (name, _) in enumerate(heads)]
    parts += _grid(left, top, bottom, AXIS) + _chance(chance, left, top, bottom, AXIS)
    for index, row in enumerate(rows):
        y = top + ROW * (index + 0.5) + 2
        parts += _marks(row, heads, gap, y) if heads else [_label(row.label, left - 10, y)]
        parts += _whisker(row.value, row.low, row.high, left, AXIS, y, row.strong or not heads)
        parts.append(text(left + AXIS + 16, y, row.right, "t strong" if row.strong else "t"))
    return picture(left + AXIS + right, bottom + 24, label, *parts)


def _label(content: str, x: float, y: float) -> Markup:
    return tag("g", tag("title", content), text(x, y, cut(content), "t", "end"))


def _marks(row: Dot, heads: Sequence[tuple[str, str]], gap: float, y: float) -> list[Markup]:
    taken = [gap * (i + 0.5) for i, mark in enumerate(row.marks) if mark]
    parts = [line(taken[0], y, taken[-1], y, "link")] if len(taken) > 1 else []
    for i, mark in enumerate(row.marks):
        parts.append(tag("circle", cx=gap * (i + 0.5), cy=y, r=6, class_=heads[i][1] if mark else "hollow"))
    return parts


def bar_chart(rows: Sequence[Bar], label: str, scored: bool = True, color: str = "bar") -> Markup:
    """Horizontal bars; with ``scored`` on a labelled axis from 0 to 1."""
    top, bottom = 6.0, 6.0 + ROW * len(rows) + 4
    parts = _grid(LABEL, top, bottom, AXIS) if scored else []
    for index, row in enumerate(rows):
        y = top + ROW * (index + 0.5) + 2
        parts += [_label(row.label, LABEL - 10, y), _bar(row, y, color)]
        parts += [_tick(kind, value, y) for kind, value in row.ticks if value is not None]
        parts.append(text(LABEL + AXIS + 16, y, row.text))
    return picture(LABEL + AXIS + RIGHT, bottom + (24 if scored else 0), label, *parts)


def _bar(row: Bar, y: float, color: str) -> Markup:
    length = max(1.5, AXIS * (row.value or 0.0))
    shape = tag("rect", x=LABEL, y=y - 7, width=length, height=14, rx=2, class_=color)
    return tag("g", tag("title", row.title or row.text), shape)


def _tick(kind: str, value: float, y: float) -> Markup:
    x = LABEL + AXIS * value
    if kind == "recall":
        return line(x, y - 9, x, y + 9, "tick")
    return tag("path", d=f"M{x:.1f} {y - 5:.1f}l5 5l-5 5l-5 -5z", class_="diamond")


Points = Sequence[tuple[int, float]]


def line_chart(lines: Sequence[Points], label: str, axis: str, chosen: Sequence[int | None] = ()) -> Markup:
    """One line of (epoch, value) per fold, epochs from 1; a dot marks each fold's chosen epoch."""
    left, top, span, height = 46.0, 22.0, 390.0, 160.0
    low, high = _extent([value for points in lines for _, value in points])
    longest = max((points[-1][0] for points in lines if points), default=1)

    def place(epoch: int, value: float) -> tuple[float, float]:
        across = (epoch - 1) / max(longest - 1, 1)
        return left + span * across, top + height * (1 - (value - low) / (high - low))

    parts: list[Markup] = []
    for share in (0.0, 0.5, 1.0):
        y, mark = top + height * (1 - share), _tidy(low + share * (high - low))
        parts += [line(left, y, left + span, y, "grid"), text(left - 6, y, mark, "axis", "end")]
    for points in lines:
        shown = " ".join("{:.1f},{:.1f}".format(*place(*point)) for point in _thinned(points))
        parts.append(tag("polyline", points=shown, class_="curve"))
    for points, best in zip(lines, chosen, strict=False):
        spots = [place(epoch, value) for epoch, value in points if epoch == best]
        parts += [tag("circle", cx=x, cy=y, r=3.5, class_="dot") for x, y in spots]
    below = top + height + 14
    parts += [text(left, below, "1", "axis", "middle")] if longest > 1 else []
    parts += [text(left + span, below, f"{longest:,}", "axis", "middle")]
    parts += [text(left + span / 2, below, "epoch", "axis", "middle"), text(0, 6, axis, "head")]
    return picture(left + span + 24, top + height + 28, label, *parts)


def _extent(values: Sequence[float]) -> tuple[float, float]:
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _tidy(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _thinned(points: Points, most: int = 200) -> Points:
    """At most about ``most`` of the points, the last one always among them."""
    step = max(1, len(points) // most)
    return [*points[:-1:step], *points[-1:]]


def scatter(points: Sequence[tuple[float, float]], label: str, across: str, up: str) -> Markup:
    """Points (across, up) on one scale for both axes, with the diagonal."""
    left, top, side = 46.0, 22.0, 260.0
    low, high = _extent([value for point in points for value in point])

    def place(value: float) -> float:
        return side * (value - low) / (high - low)

    parts: list[Markup] = []
    for share in (0.0, 0.5, 1.0):
        at, mark = side * share, _tidy(low + share * (high - low))
        parts += [line(left, top + side - at, left + side, top + side - at, "grid")]
        parts += [line(left + at, top, left + at, top + side, "grid")]
        parts += [text(left - 6, top + side - at, mark, "axis", "end")]
        parts += [text(left + at, top + side + 14, mark, "axis", "middle")]
    parts.append(line(left, top + side, left + side, top, "chance"))
    for x, y in points:
        parts.append(tag("circle", cx=left + place(x), cy=top + side - place(y), r=2.5, class_="spot"))
    parts += [text(0, 6, up, "head"), text(left + side / 2, top + side + 30, across, "axis", "middle")]
    return picture(left + side + 24, top + side + 40, label, *parts)
