"""The part of a report that tells of continuous targets, and of predicted distributions beside raters' votes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from mer_core.report.parts import Number, Part, Score
from mer_core.report.words import TITLES, bounds, count, number, units

if TYPE_CHECKING:
    from mer_core.evaluation import Interval
    from mer_core.evaluation_values import ValueEvaluation, VoteEvaluation

MOST_POINTS = 500
"""More clips than this are thinned out for the picture; the scores are those of all."""


class ValueScore(Part):
    """One continuous target of a section. Errors are in its own units; ``ccc`` is Lin's concordance.

    ``constant`` is the RMSE of always answering the mean of the scored clips. A correlation that is undefined is null,
    and ``reason`` says why. ``points`` are pairs (true, predicted) of the scored clips, thinned out where there are
    many.
    """

    name: str
    n: int
    mae: Score
    rmse: Score
    pearson: Score
    ccc: Score
    constant: Number = None
    unit: str
    n_units: int
    resamples: int
    level: float = 0.95
    note: str = ""
    reason: str = ""
    points: tuple[tuple[Number, Number], ...] = ()


class VoteScore(Part):
    """Predicted distributions beside the shares of raters who chose each class; means over clips, smaller is better.

    ``cross_entropy`` is in nats, at best ``entropy``; ``total_variation`` and ``jensen_shannon`` (bits) are from 0 to
    1. ``constant`` are the scores of always answering the mean of these clips' votes.
    """

    n: int
    cross_entropy: Score
    total_variation: Score
    jensen_shannon: Score
    entropy: Number = None
    constant: dict[str, Number] = Field(default_factory=dict)
    unit: str
    n_units: int
    resamples: int
    level: float = 0.95
    note: str = ""


VALUE_NAMES = {"mae": "MAE", "rmse": "RMSE", "pearson": "Pearson", "ccc": "CCC"}
VOTE_NAMES = {
    "cross_entropy": "Cross entropy (nats)",
    "total_variation": "Total variation",
    "jensen_shannon": "Jensen-Shannon (bits)",
}


def value_score(found: ValueEvaluation) -> ValueScore:
    """As the report writes it."""
    step = max(1, -(-found.n // MOST_POINTS))
    pairs = zip(found.truth[::step].tolist(), found.predicted[::step].tolist(), strict=True)
    return ValueScore(
        name=found.name,
        n=found.n,
        **_scores(found.scores),
        constant=found.constant,
        unit=found.unit,
        n_units=found.n_units,
        resamples=found.resamples,
        level=found.level,
        note=found.note,
        reason=found.reason,
        points=tuple((_short(true), _short(guess)) for true, guess in pairs),
    )


def vote_score(found: VoteEvaluation) -> VoteScore:
    """As the report writes it."""
    return VoteScore(
        n=found.n,
        **_scores(found.scores),
        entropy=found.entropy,
        constant=dict(found.constant),
        unit=found.unit,
        n_units=found.n_units,
        resamples=found.resamples,
        level=found.level,
        note=found.note,
    )


def _scores(found: Mapping[str, Interval]) -> dict[str, Score]:
    return {name: Score(value=one.value, low=one.low, high=one.high) for name, one in found.items()}


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def value_findings(values: Mapping[str, tuple[ValueScore, ...]]) -> Iterator[str]:
    """What to know before a correlation is quoted."""
    for key, found in values.items():
        for one in found:
            name = f"{TITLES.get(key, key)}, {one.name}"
            if one.reason:
                yield f"{name}: there is no correlation, since {one.reason}."
            elif one.pearson.low is not None and one.pearson.low <= 0 <= (one.pearson.high or 0.0):
                yield (
                    f"{name}: the interval of Pearson's correlation ({bounds(one.pearson)}) includes 0. These clips do"
                    " not show that the model has learnt anything of it."
                )
            elif one.pearson.high is not None and one.pearson.high < 0:
                yield f"{name}: predictions go against the true values (Pearson {bounds(one.pearson)})."
            if one.pearson.value is not None and one.n_units < 10 and one.unit != "clip":
                yield f"{name}: with only {units(one.n_units, one.unit)} the interval is rough and rather too narrow."


def value_headlines(values: Mapping[str, tuple[ValueScore, ...]]) -> Iterator[str]:
    """A sentence per value."""
    for key, found in values.items():
        for one in found:
            yield (
                f"{TITLES.get(key, key)}, {one.name}: CCC {number(one.ccc.value)} ({bounds(one.ccc)}), Pearson"
                f" {number(one.pearson.value)}, RMSE {number(one.rmse.value)}, {count(one.n, 'clip')}."
            )


def rows_of(one: ValueScore | VoteScore) -> list[tuple[str, Score, float | None]]:
    """Name, score and what always answering the mean would score (None: unknown), for a table."""
    if isinstance(one, ValueScore):
        constant = {"rmse": one.constant, "ccc": 0.0}
        return [(title, getattr(one, key), constant.get(key)) for key, title in VALUE_NAMES.items()]
    return [(title, getattr(one, key), one.constant.get(key)) for key, title in VOTE_NAMES.items()]
