"""Numbers and counts as a reader wants them, and the sentences that say what a score is."""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mer_core.report.facts import Stream, Transcripts
    from mer_core.report.model import RunReport
    from mer_core.report.parts import Score
    from mer_core.report.sections import GroupLine, Section

SMALL = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
TITLES = {"cv": "Cross-validation", "val": "Validation split", "test": "Test split"}
SELECTIONS = {
    "last": "the last epoch was kept; nothing was chosen on the scored clips",
    "inner": "the epoch was chosen on a part of the training clips; nothing was chosen on the scored clips",
    "val": "the best epoch was chosen on the validation clips",
}


def number(value: float | None, digits: int = 3, sign: bool = False) -> str:
    """``0.612``, with a true minus sign; a dash where there is no number."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    return text.replace("-", "−") if float(text) else text.lstrip("+-")


def sentence(text: str) -> str:
    """``text`` with a capital at its start and a full stop at its end."""
    text = text.strip()
    return _capital(text) + ("" if not text or text[-1] in ".!?" else ".")


def count(n: int, noun: str, plural: str = "") -> str:
    """``1 clip``, ``1,200 clips``."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def size(n: float) -> str:
    """``12 kB``, ``3.4 MB``, ``1.2 GB``; whatever is not empty has at least 1 kB."""
    if n < 1e6:
        return f"{math.ceil(n / 1e3):,} kB"
    return f"{n / 1e6:.1f} MB" if n < 1e9 else f"{n / 1e9:.1f} GB"


def in_words(n: int) -> str:
    """``seven``; digits above twelve."""
    return SMALL[n] if 0 <= n < len(SMALL) else f"{n:,}"


def listed(items: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1] if items else "none"


def units(n: int, unit: str) -> str:
    """``8 speakers``; for another group column ``8 groups (show)``."""
    return count(n, unit) if unit in ("speaker", "clip") else f"{count(n, 'group')} ({unit})"


def bounds(score: Score) -> str:
    """``0.551 to 0.668``, or ``no interval``."""
    if score.low is None or score.high is None:
        return "no interval"
    return f"{number(score.low)} to {number(score.high)}"


MOST_NAMED = 12


def each_group(lines: Sequence[GroupLine]) -> str:
    """``8 0.42, 11 0.51``; of many the lowest, the middle and the highest: ``from 0.42 (8) to 0.93 (3), ...``."""
    if len(lines) <= MOST_NAMED:
        return ", ".join(f"{line.name} {number(line.waf, 2)}" for line in lines)
    ranked = sorted(lines, key=lambda line: line.waf or 0.0)
    low, middle, high = (
        f"{number(line.waf, 2)} ({line.name})" for line in (ranked[0], ranked[len(ranked) // 2], ranked[-1])
    )
    return f"from {low} to {high}, in the middle {middle}; all {len(lines)} are in report.json"


def percent(level: float) -> str:
    """``95%``."""
    return f"{100 * level:g}%"


def resampled(section: Section) -> str:
    """What the interval means: ``95% interval from 1,000 resamples of 8 speakers``."""
    drawn = units(section.n_units, section.unit)
    if section.waf.low is None:
        return f"no interval: there is only {drawn}"
    return f"{percent(section.level)} interval from {section.resamples:,} resamples of {drawn}"


def duration(seconds: float | None) -> str:
    """``2.4 h``, ``3 min 20 s``, ``12.3 s``."""
    if seconds is None:
        return "–"
    if seconds >= 3600:
        return f"{seconds / 3600:.1f} h"
    if seconds >= 60:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest} s"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def moment(created: str) -> str:
    """``2 January 2025, 03:04 UTC`` for an ISO 8601 time; other text stays as it is."""
    try:
        found = datetime.fromisoformat(created)
    except ValueError:
        return created
    zone = f" {found.tzname()}" if found.tzinfo else ""
    return f"{found.day} {MONTHS[found.month - 1]} {found.year}, {found:%H:%M}{zone}"


def wilson(right: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's score interval (1927) of a share of ``right`` out of ``n``."""
    share, spread = right / n, z * z / n
    centre = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def worth(n: int, class_counts: dict[str, int]) -> str:
    """What so few labelled clips are worth, in plain words."""
    right = round(0.7 * n)
    low, high = wilson(right, n)
    single = sum(found == 1 for found in class_counts.values())
    alone = (
        f" {_capital(in_words(single))} of the {in_words(len(class_counts))} classes {'has' if single == 1 else 'have'}"
        " a single labelled clip, so all that the model knows of such a class is one clip."
        if single
        else ""
    )
    return (
        f"{_capital(in_words(n))} labelled {'clip shows' if n == 1 else 'clips show'} that everything runs, from media"
        f" file to prediction, and next to nothing about how well emotions are recognised.{alone} Even a model that was"
        f" right on {in_words(right)} of {in_words(n)} new {'clip' if n == 1 else 'clips'} could have a true accuracy"
        f" anywhere from {100 * low:.0f}% to {100 * high:.0f}% (95% interval). About 100 labelled clips narrow that to"
        " ±10 percentage points, about 400 to ±5, if they come from many speakers."
    )


def transcripts(found: Transcripts) -> str:
    """``12 of 96 transcripts are machine-made (whisper-asr, openai/whisper-small)``, and how many clips stay mute."""
    made_by = ", ".join(filter(None, [found.deriver, found.model]))
    said = f"{found.machine_made:,} of {count(found.n, 'transcript')} {'is' if found.machine_made == 1 else 'are'}"
    parts = [f"{said} machine-made ({made_by})"]
    if found.silent:
        parts.append(f"no speech was recognised in {count(found.silent, 'more clip')}")
    if found.failed:
        parts.append(f"{count(found.failed, 'clip')} could not be transcribed")
    return "; ".join(parts)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def fitted(stream: Stream) -> str:
    """How an extractor that learns was fitted: ``fitted 5 times (fold)``, ``fitted elsewhere``; else empty."""
    if stream.fitted == "given":
        return "fitted elsewhere"
    return f"fitted {count(stream.fits, 'time')} ({stream.fitted})" if stream.fitted else ""


def title(report: RunReport, key: str) -> str:
    """``Cross-validation, 5 folds``, ``Validation split``, ``Test split``."""
    folds = len(report.folds.sizes) if report.folds else 0
    return f"{TITLES[key]}, {count(folds, 'fold')}" if key == "cv" and folds else TITLES[key]


def sections(report: RunReport) -> dict[str, Section]:
    """The sections that have scores, in reading order."""
    found = {"cv": report.metrics.cv, "val": report.metrics.val, "test": report.metrics.test}
    return {key: section for key, section in found.items() if section is not None}


def headline(report: RunReport) -> tuple[str, ...]:
    """One plain sentence per section, or why there is no score."""
    from mer_core.report.values import value_headlines

    lines = [_sentence(title(report, key), section) for key, section in sections(report).items()]
    lines += value_headlines(report.metrics.values)
    return tuple(lines) or (f"No score. {sentence(report.metrics.cv_reason or '')}".strip(),)


MARKS = {
    "": "",
    "optimistic": " OPTIMISTIC: the best epoch was chosen on the scored clips.",
    "contaminated": " CONTAMINATED: labels of scored clips had been learnt from.",
}
"""What a headline adds, by the mark of its section."""


def _sentence(name: str, section: Section) -> str:
    mark = MARKS[section.mark]
    return (
        f"{name}: WAF {number(section.waf.value)} ({bounds(section.waf)}; {resampled(section)}),"
        f" {count(section.n, 'clip')}.{mark}"
        if section.waf.low is not None
        else f"{name}: WAF {number(section.waf.value)} ({resampled(section)}), {count(section.n, 'clip')}.{mark}"
    )
