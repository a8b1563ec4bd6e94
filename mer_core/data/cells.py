"""The cells of one row of a manifest: text, times, splits, and a finding for what cannot be read."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping

from mer_core.data.columns import CONTENT_COLUMNS
from mer_core.data.splits import read_split
from mer_core.data.tables import Finding, Row, cell_text
from mer_core.types import SPLITS


class Cells:
    """The known cells of one row; what cannot be read becomes a finding and None."""

    def __init__(self, row: Row, names: Mapping[str, str], findings: list[Finding]) -> None:
        self._row, self._names, self._findings = row, names, findings
        self.id = ""
        self.id = self.words("id") or self._nameless()

    @property
    def may_hold_content(self) -> bool:
        """Whether the table has a column for video, audio or text at all."""
        return any(name in self._names for name in CONTENT_COLUMNS)

    def words(self, ours: str) -> str | None:
        """The cell of our column ``ours`` as text, None if empty."""
        try:
            return cell_text(self._row.cells.get(self._names.get(ours, "")))
        except TypeError as error:
            self.complain(ours, "cell", f"holds a {error}, not text or a number", "Write one value in each cell.")
            return None

    def text(self, ours: str) -> str | None:
        """Like :meth:`words`; ``nan`` and ``<NA>``, as pandas writes gaps, count as empty too."""
        found = self.words(ours)
        return None if found is not None and found.casefold() in ("nan", "<na>") else found

    def seconds(self, ours: str) -> float | None:
        """The cell as a time in seconds, at least 0."""
        found = self.text(ours)
        try:
            value = float(found) if found is not None else None
        except ValueError:
            value = math.nan
        if value is None or (math.isfinite(value) and value >= 0):
            return value
        self.complain(ours, "segment", f"{found!r} is not a time in seconds", "Write it like 62.5, or leave it empty.")
        return None

    def split(self) -> str | None:
        """The cell ``split`` as one of :data:`mer_core.types.SPLITS`."""
        found = self.text("split")
        split = read_split(found) if found is not None else None
        if found is not None and split is None:
            close = difflib.get_close_matches(found.casefold(), SPLITS, n=1)
            guess = f"Did you mean {close[0]!r}? " if close else ""
            remedy = f"{guess}Write {', '.join(SPLITS[:-1])} or {SPLITS[-1]}, or leave it empty."
            self.complain("split", "unknown-split", f"unknown split {found!r}", remedy)
        return split

    def complain(self, ours: str | None, kind: str, message: str, remedy: str, level: str = "error") -> None:
        """Add a finding about this row; ``ours`` is the column it is about."""
        column = self._names.get(ours, ours) if ours else None
        self._findings.append(Finding(self._row.number, self.id or None, level, kind, message, remedy, column))

    def _nameless(self) -> str:
        self.complain("id", "empty-id", "the id is empty", "Give every clip an id of its own.")
        return f"(row {self._row.number})"
