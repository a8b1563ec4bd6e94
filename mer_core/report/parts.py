"""What every part of a report is made of: numbers that may be missing, and scores."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict


def finite(value: Any) -> Any:
    """``value``, or None in place of a number that is NaN or infinite."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(finite)]
"""A finite number, or None where there is none (null in JSON)."""


class Part(BaseModel):
    """Base of everything in a report: never changes, ignores keys of newer versions."""

    model_config = ConfigDict(
        extra="ignore", frozen=True, populate_by_name=True, protected_namespaces=(), use_attribute_docstrings=True
    )


class Score(Part):
    """A score and the bounds of its interval (None where no interval exists)."""

    value: Number
    low: Number = None
    high: Number = None
