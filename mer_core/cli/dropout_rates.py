"""The flag ``--modality-dropout``."""

from __future__ import annotations

from mer_core.errors import UsageError

EXAMPLE = "Rates are from 0 to below 1: write 0.3, or speech=0.2,text=0.5."


def dropout_rates(text: str | None) -> float | dict[str, float] | None:
    """``"0.3"`` -> 0.3; ``"speech=0.2,text=0.5"`` -> a rate for each; None stays.

    Raises:
        UsageError: it is neither, or a rate is outside [0, 1).
    """
    if text is None:
        return None
    if "=" not in text:
        return _rate(text, text)
    parts = [part.partition("=") for part in text.split(",")]
    if not all(equals and name.strip() for name, equals, _ in parts):
        raise _no_rates(text)
    return {name.strip(): _rate(rate, text) for name, _, rate in parts}


def _rate(one: str, text: str) -> float:
    try:
        found = float(one)
    except ValueError:
        raise _no_rates(text) from None
    if not 0 <= found < 1:
        raise UsageError(
            f"--modality-dropout {text}: {found:g} is no rate from 0 to below 1.", f"{EXAMPLE} 0 switches it off."
        )
    return found


def _no_rates(text: str) -> UsageError:
    return UsageError(f"--modality-dropout {text} is no rate.", EXAMPLE)
