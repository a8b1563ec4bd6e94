"""Rates of modality dropout and weights of classes as they are written: numbers, or one by name. Light: no torch."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mer_core.plugin import OptionError


def read_rates(value: Any) -> float | dict[str, float]:
    """``0.3``, ``"0.3"``, ``{"speech": 0.2}`` or ``"speech=0.2,text=0.5"`` as numbers.

    Raises:
        ValueError: it is none of these, or a rate is outside [0, 1).
    """
    if isinstance(value, str) and "=" in value:
        value = dict(_pairs(value))
    if isinstance(value, Mapping):
        if not value:
            raise ValueError("no rate is given; write 0 to switch it off")
        return {str(name).strip(): _rate(one) for name, one in value.items()}
    return _rate(value)


def read_weights(value: Any) -> Any:
    """``"sad=2,happy=0.5"`` or ``{"sad": 2}`` as numbers by class; anything else as it is.

    Raises:
        ValueError: a weight is no number above 0.
    """
    if isinstance(value, str) and "=" in value:
        value = dict(_pairs(value))
    if not isinstance(value, Mapping):
        return value
    if not value:
        raise ValueError("no weight is given; write off, balanced, or sad=2,happy=0.5")
    return {str(name).strip(): _weight(name, one) for name, one in value.items()}


def _weight(name: Any, value: Any) -> float:
    try:
        found = float("x" if isinstance(value, bool) else value)
    except (TypeError, ValueError):
        raise ValueError(f"{value!r} is no weight of {name}; write sad=2,happy=0.5") from None
    if not (found > 0 and math.isfinite(found)):
        raise ValueError(f"the weight of {name} is {found:g}, and must be above 0")
    return found


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for part in text.split(","):
        name, equals, rate = part.partition("=")
        if not (equals and name.strip()):
            raise ValueError(f"{part!r} is not of the form NAME=NUMBER")
        yield name.strip(), rate


def _rate(value: Any) -> float:
    try:
        found = float("x" if isinstance(value, bool) else value)
    except (TypeError, ValueError):
        raise ValueError(f"{value!r} is no rate; write 0.3, or speech=0.2,text=0.5") from None
    if not 0 <= found < 1:
        raise ValueError(f"{found:g} is outside [0, 1)")
    return found


def rates_of(given: float | Mapping[str, float], units: Mapping[str, str]) -> tuple[list[float], list[str]]:
    """A rate for each of ``units`` (name -> modality), and the names given that are none of them.

    A modality's rate is that of each of its streams, unless the stream has one of its own; what is not named stays.

    Raises:
        OptionError: a name that is nearly that of a unit.
    """
    if not isinstance(given, Mapping):
        return [given] * len(units), []
    known = [*units, *dict.fromkeys(units.values())]
    foreign = [name for name in given if name not in known]
    for name in foreign:
        _refuse_near(name, known)
    return [given.get(unit, given.get(modality, 0.0)) for unit, modality in units.items()], foreign


def _refuse_near(name: str, known: Sequence[str]) -> None:
    close = difflib.get_close_matches(name, known, n=1)
    if name.partition(":")[0] in known:
        raise OptionError(
            f"cv.modality_dropout: there is no stream {name!r}, or modalities go as a whole.",
            "Name modalities, or add -o cv.modality_dropout_by=stream.",
        )
    if close:
        raise OptionError(f"cv.modality_dropout: there is no modality {name!r}.", f"Did you mean {close[0]!r}?")
