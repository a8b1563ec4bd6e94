"""A run's choice of targets beside one label per clip: columns or arrays of values, and of raters' votes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from mer_core.errors import UsageError

Names = str | Sequence[str]
"""``"valence,arousal"`` or ``["valence", "sentiment=label"]``."""

TAKEN = {"id", "start", "end", "split", "seen", "fold", "label", "prediction", "transcript", "votes"}
"""Columns of a file of predictions, in which values are columns too."""


def listed_names(given: Names | None) -> list[str]:
    """``"a, b"`` -> ``["a", "b"]``; a list as it is, without white space."""
    parts = (given or "").split(",") if isinstance(given, str | None) else given
    return [part.strip() for part in parts if part.strip()]


def value_columns(asked: Names) -> dict[str, str]:
    """Name of a value -> the column or array that holds it; ``sentiment=label`` reads ``label`` as ``sentiment``.

    Raises:
        UsageError: a name twice, or one that cannot be a column of predictions.
    """
    found: dict[str, str] = {}
    for item in listed_names(asked):
        name, equals, column = (part.strip() for part in item.partition("="))
        column = column if equals else name
        if not name or not column or name in found:
            what = f"--values: {name!r} is there twice." if name in found else f"--values: {item!r} names no column."
            raise UsageError(what, "Write for example --values valence,arousal.")
        if name.casefold() in TAKEN or re.match("(p|has)_", name) or name.endswith("_true"):
            what = f"--values: a value cannot be called {name!r}, as predictions have such a column."
            raise UsageError(what, f"Give it another name: --values sentiment={column}.")
        found[name] = column
    return found


def with_targets(data: Mapping[str, Any], values: Names | None, votes: Names | None) -> dict[str, Any]:
    """A run's ``data`` with the values and votes that were asked for now, or that it had before; "" asks for none.

    Raises:
        UsageError: naming the flag.
    """
    asked: dict[str, Any] = {}
    if values is not None:
        value_columns(values)
        asked["values"] = listed_names(values)
    if votes is not None:
        asked["votes"] = listed_names(votes)
    return {**data, **asked}
