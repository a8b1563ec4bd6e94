"""Exceptions of plugins in words: what was raised, and the line of the plugin's own that led to it."""

from __future__ import annotations

from pathlib import Path
from traceback import walk_tb
from types import FrameType

LONGEST = 400
"""An exception's text is cut to so many characters: some hold whole tables."""


def said(error: BaseException, target: str) -> str:
    """An exception in one line: ``ValueError: too short (my_package/fusion.py, line 41, in forward)``.

    Args:
        target: ``package.module:Class`` of the plugin; the innermost frame of its package is named, and no
            place where there is none.
    """
    text = " ".join(str(error).split()).rstrip(".")
    text = text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
    what = f"{type(error).__name__}: {text}" if text else type(error).__name__
    place = where(error, target)
    return f"{what} ({place})" if place else what


def where(error: BaseException, target: str) -> str:
    """``my_package/fusion.py, line 41, in __init__``: the innermost frame of the plugin's package; empty if none."""
    package = target.partition(":")[0].partition(".")[0]
    own = [step for step in walk_tb(error.__traceback__) if package and _module(step[0]).split(".")[0] == package]
    if not own:
        return ""
    frame, line = own[-1]
    file = Path(frame.f_code.co_filename)
    depth = len(_module(frame).split(".")) + (file.name == "__init__.py")
    return f"{'/'.join(file.parts[-depth:])}, line {line}, in {frame.f_code.co_name}"


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def ended(text: str) -> str:
    """``text`` with exactly one sign at its end."""
    return text if text.endswith(("?", "!", "…")) else text.rstrip(". ") + "."
