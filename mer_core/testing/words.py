"""Exceptions of plugins in the words of the kit: what was raised, and the plugin's own line that led to it."""

from __future__ import annotations

from mer_core import blame


def said(error: BaseException, target: str) -> str:
    """An exception in one line: ``ValueError: too short (my_package/fusion.py, line 41, in forward)``.

    Args:
        target: ``package.module:Class`` of the plugin; the innermost frame of its package is named, and no
            place where there is none.
    """
    return blame.said(error, where(error, target))


def where(error: BaseException, target: str) -> str:
    """``my_package/fusion.py, line 41, in __init__``: the innermost frame of the plugin's package; empty if none."""
    return blame.place(error, target, function=True)


def ended(text: str) -> str:
    """``text`` with exactly one sign at its end."""
    return text if text.endswith(("?", "!", "…")) else text.rstrip(". ") + "."
