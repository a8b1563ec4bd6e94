"""Which chart shows which part of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from mer_core.feature_set import MODALITIES
from mer_core.report.calibration import Calibration
from mer_core.report.facts import Curve, Presence
from mer_core.report.model import RunReport
from mer_core.report.parts import Score
from mer_core.report.rounds import SelfTraining
from mer_core.report.sections import GroupLine, Section
from mer_core.report.squares import Spot, square
from mer_core.report.svg import Bar, Dot, bar_chart, dot_plot, line_chart, scatter, strip
from mer_core.report.values import ValueScore
from mer_core.report.words import number

MOST_SUBSETS = 31
MOST_GROUPS = 40


def score_strip(score: Score, chance: float | None = None) -> Markup:
    """One score with its interval on an axis from 0 to 1."""
    return strip(score.value, score.low, score.high, chance)


def class_bars(section: Section) -> Markup:
    """F1 of each class as a bar, recall and precision as marks on it."""
    rows = [
        Bar(
            label=one.name,
            value=one.f1,
            text=f"{number(one.f1, 2)}  (n = {one.n:,})",
            ticks=(("recall", one.recall), ("precision", one.precision)),
            title=f"F1 {number(one.f1)}, precision {number(one.precision)}, recall {number(one.recall)}",
        )
        for one in section.classes
    ]
    return bar_chart(rows, "F1, precision and recall of each class")


def group_dots(lines: Sequence[GroupLine], what: str, chance: float | None) -> Markup:
    """WAF of each speaker, or of each fold; of many, the lowest and the highest ones."""
    prefix, half = "fold " if what == "fold" else "", MOST_GROUPS // 2
    ranked = sorted(lines, key=lambda one: one.waf or 0.0)
    shown = lines if len(lines) <= MOST_GROUPS else [*ranked[:half], *ranked[-half:]]
    rows = [
        Dot(label=prefix + one.name, value=one.waf, right=f"{number(one.waf, 2)}  (n = {one.n:,})") for one in shown
    ]
    return dot_plot(rows, f"WAF of each {what}", chance)


def round_dots(found: SelfTraining) -> Markup:
    """WAF of each round of self-training."""
    rows = [
        Dot(
            label=f"round {one.round}",
            value=one.waf.value,
            low=one.waf.low,
            high=one.waf.high,
            right=number(one.waf.value),
            strong=one.round == found.kept,
        )
        for one in found.rounds
    ]
    return dot_plot(rows, "WAF of each round", None)


def value_scatter(found: ValueScore) -> Markup:
    """Predicted against true values."""
    points = [(true, guess) for true, guess in found.points if true is not None and guess is not None]
    return scatter(points, f"{found.name}: predicted against true values", f"true {found.name}", "predicted")


def reliability(found: Calibration) -> Markup:
    """Share right against probability, a dot for each bin that has answers."""
    most = max([one.n for one in found.bins], default=1) or 1
    spots = [
        Spot(
            one.confidence,
            one.accuracy,
            (one.n / most) ** 0.5,
            f"{one.low:.1f} to {one.high:.1f}: {count_of(one.n)}, probability {number(one.confidence, 2)} on average,"
            f" {number(one.accuracy, 2)} right",
        )
        for one in found.bins
        if one.n and one.confidence is not None and one.accuracy is not None
    ]
    return square(spots, "Share of right answers by their probability", "probability of the answer", "share right")


def count_of(n: float) -> str:
    """``12 answers``; a mean over seeds with one decimal."""
    return f"{n:,.0f} answers" if n == round(n) else f"{n:,.1f} answers"


def modality_class(name: str) -> str:
    """CSS class of a modality's colour."""
    return f"m-{name}" if name in MODALITIES else "m-other"


def subset_dots(report: RunReport, chance: float | None) -> Markup:
    """WAF of each subset of modalities, best first; the full set is drawn strong."""
    ranked = sorted(report.subsets, key=lambda one: -(one.waf or 0.0))[:MOST_SUBSETS]
    rows = [
        Dot(
            label=" + ".join(one.modalities),
            value=one.waf,
            low=one.low,
            high=one.high,
            right=number(one.waf),
            marks=tuple(name in one.modalities for name in report.modalities),
            strong=set(one.modalities) == set(report.modalities),
        )
        for one in ranked
    ]
    heads = [(name, modality_class(name)) for name in report.modalities]
    return dot_plot(rows, "WAF of each subset of modalities", chance, heads)


def presence_bars(rows: Sequence[Presence]) -> Markup:
    """Share of clips that have each modality."""
    bars = []
    for one in rows:
        total = max(one.present + one.missing, 1)
        bars.append(Bar(one.modality, one.present / total, f"{one.present:,} of {one.present + one.missing:,}"))
    return bar_chart(bars, "Clips that have each modality", scored=False, color="bar soft")


def count_bars(counts: Mapping[str, int], label: str) -> Markup:
    """Counts as bars, the largest filling the width."""
    largest = max([*counts.values(), 1])
    bars = [Bar(name, n / largest, f"{n:,}") for name, n in counts.items()]
    return bar_chart(bars, label, scored=False, color="bar soft")


def loss_curves(curves: Sequence[Curve]) -> Markup:
    """Training loss over the epochs, a line per fold."""
    return line_chart([_points(one.loss) for one in curves], "Training loss by epoch", "Training loss")


def waf_curves(curves: Sequence[Curve]) -> Markup:
    """WAF that selection looked at, a line per fold, with the chosen epochs."""
    lines = [_points(one.waf, one.waf_epochs) for one in curves]
    return line_chart(lines, "WAF by epoch", "WAF that the epoch was chosen by", [one.chosen for one in curves])


def _points(values: Sequence[float | None], epochs: Sequence[int] = ()) -> list[tuple[int, float]]:
    pairs = zip(epochs or range(1, len(values) + 1), values, strict=False)
    return [(epoch, value) for epoch, value in pairs if value is not None]
