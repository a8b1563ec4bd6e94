"""The part of a report that tells of several seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mer_core.report.parts import Number, Part, Score
from mer_core.report.words import count, number

if TYPE_CHECKING:
    from mer_core.seed_scores import SeedScores


class SeedLine(Part):
    """The scores of one training."""

    seed: int
    waf: Number
    uar: Number
    accuracy: Number
    macro_f1: Number


class Seeds(Part):
    """Several trainings over the same folds, on the clips of a section.

    ``mean`` is the mean of their WAFs, ``together`` the WAF of their averaged predictions, which are those of the
    saved model. ``spread`` holds the standard deviation over the seeds (n - 1) of each score; it is no interval.
    """

    lines: tuple[SeedLine, ...]
    spread: dict[str, Number]
    mean: Score
    together: Score


def seeds(found: SeedScores | None) -> Seeds | None:
    """As the report writes them."""
    if found is None:
        return None
    lines = (
        SeedLine(seed=one.seed, waf=one.waf, uar=one.uar, accuracy=one.accuracy, macro_f1=one.macro_f1)
        for one in found.each
    )
    pair = [Score(value=one.value, low=one.low, high=one.high) for one in (found.mean, found.together)]
    return Seeds(lines=tuple(lines), spread=dict(found.spread), mean=pair[0], together=pair[1])


def told(found: Seeds) -> str:
    """``3 seeds: 0.61, 0.63, 0.60 (standard deviation 0.015); averaged predictions 0.64``."""
    each = ", ".join(number(line.waf) for line in found.lines)
    return (
        f"WAF of {count(len(found.lines), 'seed')}: {each} (mean {number(found.mean.value)}, standard deviation over"
        f" the seeds {number(found.spread.get('waf'))}); of their averaged predictions: {number(found.together.value)}"
    )
