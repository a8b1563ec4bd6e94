"""The part of a report that tells whether modalities stand in each other's way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mer_core.report.parts import Part, Score
from mer_core.report.words import bounds, number

if TYPE_CHECKING:
    from mer_core.evaluation import Interval, SubsetScore


@dataclass(frozen=True, slots=True, kw_only=True)
class Alone:
    """A model trained on one modality, over the fusion's folds, clips and options; or the ``reason`` there is none.

    Args:
        waf: of its out-of-fold predictions.
        shortfall: that minus the WAF of the fusion when it is given this modality alone, paired.
        gain: WAF of the fusion minus ``waf``, paired.
    """

    modality: str
    waf: Interval | None = None
    shortfall: Interval | None = None
    gain: Interval | None = None
    reason: str = ""


class Rival(Part):
    """One modality beside the others; every score is WAF on the same held-out clips, every difference is paired.

    ``alone`` is a model trained on it alone (None unless that was asked for), ``masked`` the fusion given it alone,
    ``without`` the fusion given all others. ``shortfall`` is alone minus masked: above 0, the fusion makes less of the
    modality than could be made of it. ``gain`` is the fusion minus alone, ``added`` the fusion minus without.
    """

    modality: str
    masked: Score | None = None
    without: Score | None = None
    added: Score | None = None
    alone: Score | None = None
    shortfall: Score | None = None
    gain: Score | None = None

    @property
    def under_used(self) -> bool:
        """More can be made of the modality than the fusion makes of it, beyond chance."""
        return self.shortfall is not None and (self.shortfall.low or 0) > 0


def rivals(modalities: Sequence[str], subsets: Iterable[SubsetScore], alone: Iterable[Alone] = ()) -> tuple[Rival, ...]:
    """A line for each of ``modalities``, from subsets that are scored already and models trained alone, if any."""
    scored = {frozenset(one.modalities): one for one in subsets}
    trained = {one.modality: one for one in alone}
    everything = max(scored, key=len, default=frozenset())
    if len(everything) < 2:
        return ()
    return tuple(
        _rival(name, scored.get(frozenset({name})), scored.get(everything - {name}), trained.get(name))
        for name in modalities
        if name in everything
    )


def _rival(name: str, masked: SubsetScore | None, without: SubsetScore | None, alone: Alone | None) -> Rival:
    return Rival(
        modality=name,
        masked=_score(masked.waf if masked else None),
        without=_score(without.waf if without else None),
        added=_score(without.gain if without else None),
        alone=_score(alone.waf if alone else None),
        shortfall=_score(alone.shortfall if alone else None),
        gain=_score(alone.gain if alone else None),
    )


def _score(found: Interval | None) -> Score | None:
    return None if found is None else Score(value=found.value, low=found.low, high=found.high)


def sentences(found: Sequence[Rival]) -> Iterator[str]:
    """What models trained alone say about the fusion, where it is more than chance could explain."""
    for one in found:
        if one.under_used and one.alone and one.masked:
            yield (
                f"{one.modality.capitalize()} is under-used: trained on it alone, a model reaches WAF"
                f" {number(one.alone.value)}; the fusion, given {one.modality} alone, {number(one.masked.value)}"
                f" (difference {difference(one.shortfall)}). Modality dropout is meant for that (--modality-dropout)."
            )
        if one.gain is not None and one.gain.high is not None and one.gain.high < 0 and one.alone:
            yield (
                f"The fusion loses to a model of {one.modality} alone: WAF {number(one.alone.value)} (fusion minus"
                f" alone {difference(one.gain)})."
            )


def score(found: Score | None, sign: bool = False) -> str:
    """``0.612, 0.551 to 0.668``; a dash where there is none."""
    if found is None or found.value is None:
        return "–"
    return number(found.value, sign=sign) + ("" if found.low is None else f", {bounds(found)}")


def difference(found: Score | None) -> str:
    """``+0.105, 0.020 to 0.190``; a dash where there is none."""
    return score(found, sign=True)
