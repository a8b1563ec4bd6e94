"""Flags of the form ``A=B``."""

from __future__ import annotations

from collections.abc import Callable

from mer_core.errors import UsageError


def pairs(
    items: list[str] | None, flag: str, whole: Callable[[str], str] = lambda item: "a=b", *, empty: bool = False
) -> dict[str, str]:
    """``["a=b"]`` -> ``{"a": "b"}``.

    Args:
        whole: what to write in place of an item.
        empty: there may be nothing behind the equals sign.

    Raises:
        UsageError: naming the flag and the item without an equals sign.
    """
    found = {}
    for item in items or []:
        key, equals, value = item.partition("=")
        if not (equals and key.strip() and (empty or value.strip())):
            raise UsageError(f"{flag} {item!r} is not of the form A=B.", f"Write for example {flag} {whole(item)}.")
        found[key.strip()] = value.strip()
    return found


def label_pairs(items: list[str] | None) -> dict[str, str]:
    """``["joyful=happy", "xxx="]`` -> ``{"joyful": "happy", "xxx": ""}``, which drops the label ``xxx``.

    Raises:
        UsageError: as :func:`pairs`.
    """
    return pairs(items, "--label", empty=True)
