"""The part of a report that tells whether probabilities mean what they say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mer_core.report.parts import Number, Part, Score
from mer_core.report.words import bounds, number, percent

if TYPE_CHECKING:
    from mer_core.calibration import Calibration as Measured

CLEAR = 0.05
"""Smaller differences between probability and share right are not worth a sentence."""


class ReliabilityBin(Part):
    """Answers with a probability above ``low`` and up to ``high``: their mean probability and the share right."""

    low: float
    high: float
    n: float
    confidence: Number
    accuracy: Number


class Calibration(Part):
    """How well the probabilities of a section fit what happened; see :class:`mer_core.calibration.Calibration`."""

    ece: Number
    by_chance: Number
    """The ``ece`` that a perfectly calibrated model with these probabilities would have on so few clips."""
    brier: Number
    nll: Number
    confidence: Number
    """Mean probability of the likeliest class."""
    accuracy: Number
    gap: Score
    """``confidence`` minus ``accuracy``: above 0, the model is overconfident."""
    bins: tuple[ReliabilityBin, ...] = ()

    @property
    def verdict(self) -> str:
        """``overconfident``, ``underconfident``, or nothing where the difference is small or may be chance."""
        gap = self.gap
        if gap.value is None or gap.low is None or gap.high is None or abs(gap.value) < CLEAR:
            return ""
        return "overconfident" if gap.low > 0 else "underconfident" if gap.high < 0 else ""


def calibration(found: Measured | None) -> Calibration | None:
    """As the report writes it."""
    if found is None:
        return None
    bins = (
        ReliabilityBin(low=one.low, high=one.high, n=round(one.n, 2), confidence=one.confidence, accuracy=one.accuracy)
        for one in found.bins
    )
    return Calibration(
        **{name: getattr(found, name) for name in ("ece", "by_chance", "brier", "nll", "confidence", "accuracy")},
        gap=Score(value=found.gap, low=found.low, high=found.high),
        bins=tuple(bins),
    )


def told(found: Calibration) -> str:
    """``ECE 0.120 (0.030 by chance alone), mean probability 0.82, 0.70 right; Brier 0.5, log loss 1.1``."""
    return (
        f"ECE {number(found.ece)} ({number(found.by_chance)} by chance alone): mean probability"
        f" {number(found.confidence, 2)}, {number(found.accuracy, 2)} right; Brier score {number(found.brier)},"
        f" log loss {number(found.nll)}"
    )


def finding(name: str, found: Calibration | None, level: float, calibrated: bool | None) -> Iterator[str]:
    """A sentence on a model that is clearly over- or underconfident.

    Args:
        name: of the section.
        calibrated: whether temperatures were fitted; None for a trainer that has no such option.
    """
    if found is None or not found.verdict:
        return
    hint = {True: " Its members have temperatures, fitted on training clips.", None: ""}
    hint[False] = " The option --calibrate fits a temperature for each member, on training clips."
    yield (
        f"{name}: the probabilities are {found.verdict}: {number(found.confidence, 2)} on average, where"
        f" {number(found.accuracy, 2)} of the answers are right (difference {number(found.gap.value, sign=True)},"
        f" {percent(level)} interval {bounds(found.gap)}).{hint[calibrated]}"
    )
