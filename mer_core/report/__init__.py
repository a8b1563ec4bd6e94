"""The report of a run: :class:`RunReport` as data, as JSON and as one HTML page."""

from __future__ import annotations

from mer_core.report.html import render_html
from mer_core.report.model import RunReport
from mer_core.report.words import headline

__all__ = ["RunReport", "headline", "render_html"]
