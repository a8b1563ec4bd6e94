"""The part of a report that tells of a search for options."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from mer_core.report.parts import Number, Part, Score
from mer_core.report.words import bounds, count, number


class TrialLine(Part):
    """One draw. ``inner`` are its scores (WAF) on which it could be chosen, one for each fold, ``mean`` their mean.

    ``held_out`` is its WAF by plain cross-validation, on the clips that are scored: to look at, not to choose by.
    """

    trial: int
    draw: dict[str, Any]
    inner: tuple[Number, ...] = ()
    mean: Number = None
    held_out: Number = None
    chosen_by: tuple[int, ...] = ()
    """Folds, counted from 1, whose own training clips chose it."""
    kept: bool = False
    """The model that was saved was trained with it."""
    share: float = 1.0
    """Of the epochs, in the longest training that it was given."""
    seconds: Number = None
    error: str = ""


class Tuning(Part):
    """A search, nested in the folds: each fold chose its draw by parts of its own training clips.

    ``nested`` is the WAF that the report gives: of the chosen draws, trained again on whole training parts. ``before``
    is that of the very models which the choice was made by, ``optimistic`` the best of all draws on the same clips:
    chosen by the score that it has, as random searches are often reported. ``gap`` is that minus ``before``, paired.
    """

    asked: int
    trials: tuple[TrialLine, ...] = ()
    space: dict[str, str] = Field(default_factory=dict)
    inner: int = 1
    """Parts of each fold's training clips that were held out in turn."""
    halving: int = 0
    seed: int = 0
    kept: int
    """The trial whose draw the saved model was trained with."""
    nested: Score
    before: Score
    optimistic: Score
    best: int
    """The trial that the optimistic score is of."""
    gap: Score
    reused: int = 0
    """Trials that had been trained before, by a search that was killed or is repeated."""

    @property
    def names(self) -> tuple[str, ...]:
        """Options that were drawn."""
        return tuple(self.space)

    @property
    def ranked(self) -> tuple[TrialLine, ...]:
        """The best on inner parts first; those that were given more epochs before others."""
        return tuple(sorted(self.trials, key=lambda one: (-one.share, -(one.mean or 0.0), one.trial)))

    @property
    def different(self) -> int:
        """How many draws the folds chose between them."""
        return sum(bool(line.chosen_by) for line in self.trials)

    @property
    def final(self) -> TrialLine:
        """The trial whose draw was kept."""
        return next(line for line in self.trials if line.trial == self.kept)


def shown(draw: dict[str, Any]) -> str:
    """``hidden 64, lr 0.001``: options without their owner."""
    return ", ".join(f"{name.rpartition('.')[2]} {value}" for name, value in draw.items())


def search_facts(found: Tuning | None) -> dict[str, str]:
    """How it was searched, to read."""
    if found is None:
        return {}
    return {
        **{f"Drawn: {name}": values for name, values in found.space.items()},
        "Draws": f"{len(found.trials)}" + (f" of {found.asked} asked for" if found.asked > len(found.trials) else ""),
        "Inner parts": f"{found.inner} of 5 held out in turn, in each fold's training clips",
        "Successive halving": f"{count(found.halving, 'time')}, a third kept for three times the epochs"
        if found.halving
        else "no, every draw was trained to the end",
        "Trained before": count(found.reused, "trial") if found.reused else "none",
        "Seed": f"{found.seed}",
    }


def tuning_findings(found: Tuning | None) -> Iterator[str]:
    """What the search means for the score."""
    if found is None:
        return
    folds = len(found.trials[0].inner)
    same = "the same one" if found.different == 1 else f"{found.different} different ones"
    yield (
        f"Of {count(len(found.trials), 'draw')} each of {folds} folds chose one by its own training clips ({same});"
        f" the score is theirs, nested: no clip had a part in choosing what scores it. The model that was saved was"
        f" trained with draw {found.kept} ({shown(found.final.draw)}), the best on inner parts over all folds."
    )
    yield (
        f"The models of the search, which learnt without the inner parts, reach WAF {number(found.before.value)} with"
        f" the draws chosen there, and {number(found.optimistic.value)} with draw {found.best}, the best on the scored"
        f" clips themselves. {_told_of_gap(found.gap)}"
    )
    few = found.asked - len(found.trials)
    if few > 0:
        yield f"{count(found.asked, 'trial')} were asked for, and there are only {len(found.trials)} different draws."


def _told_of_gap(gap: Score) -> str:
    """What choosing on the scored clips did to the score of plain search."""
    by = f"{number(gap.value, sign=True)} (interval {bounds(gap)})"
    if gap.value is not None and gap.value <= 0:
        return (
            f"The latter was chosen on the scored clips, which brought it nothing here: {by}. Quote the nested score."
        )
    return f"The latter is optimistic, by {by}; do not quote it."
