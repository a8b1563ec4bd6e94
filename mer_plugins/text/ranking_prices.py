"""What OpenAI asked for a million tokens when these figures were read, to tell a cost beforehand. Light.

USD, without discounts. OpenAI lists them at openai.com/api/pricing and on the page of each model; a month is one in
which they are attested. They may have changed since, so whoever tells a cost by them tells the month, too.
Snapshots (``gpt-4o-2024-05-13``) may cost something else than the name without a date, and are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Price(NamedTuple):
    """USD per million tokens that are sent and that are answered, and the month in which that was so."""

    asked: float
    answered: float
    month: str


PRICES: Mapping[str, Price] = {
    "gpt-4": Price(30.0, 60.0, "January 2024"),
    "gpt-4-turbo": Price(10.0, 30.0, "January 2024"),
    "gpt-4o": Price(2.5, 10.0, "March 2025"),
    "gpt-4o-mini": Price(0.15, 0.6, "March 2025"),
}
"""By model, as the server calls it."""
