"""The report of a run: :class:`RunReport` as data, as JSON and as one HTML page.

Importing this is light, since others take words from :mod:`mer_core.report.words`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mer_core.report.html import render_html
    from mer_core.report.model import RunReport
    from mer_core.report.words import headline

_HOMES = {"RunReport": "model", "headline": "words", "render_html": "html"}

__all__ = ["RunReport", "headline", "render_html"]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import a name when it is first used."""
        if name not in _HOMES:
            raise AttributeError(f"module 'mer_core.report' has no attribute {name!r}")
        return getattr(import_module(f"mer_core.report.{_HOMES[name]}"), name)
