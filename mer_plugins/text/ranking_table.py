"""Rankings from a table that somebody has made before."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from mer_core.plugin import OptionError
from mer_plugins.text.ranking_parse import Ranking, parse

KEYS = ("id", "name", "text")


class RankingTable:
    """Rows by clip id (column ``id`` or ``name``) or by transcript (column ``text``), with a column ``ranking``.

    Raises:
        OptionError: it cannot be read, or lacks these columns.
    """

    def __init__(self, path: Path, classes: Sequence[str]) -> None:
        self.path, self._classes = path, classes
        self._rows: dict[tuple[str, str], str] = {}
        for row in _rows(path):
            for key in KEYS:
                if row.get(key):
                    self._rows["text" if key == "text" else "id", str(row[key]).strip()] = str(row["ranking"] or "")

    def keys(self, kind: str) -> list[str]:
        """What its rows are for: clips (``id``) or transcripts (``text``), in the order of the rows."""
        return [key for found, key in self._rows if found == kind]

    def has(self, clip: str, text: str) -> bool:
        """Whether there is a row for the clip."""
        return self._row(clip, text) is not None

    def __call__(self, clip: str, text: str) -> Ranking | str:
        """The clip's ranking, or why there is none; empty where it has no row. Its id goes before its text."""
        found = self._row(clip, text)
        if found is None:
            return ""
        return parse(found, self._classes, fewest=1) or f"what {self.path.name} says is no ranking of the classes"

    def _row(self, clip: str, text: str) -> str | None:
        found = self._rows.get(("id", clip))
        return self._rows.get(("text", text.strip())) if found is None else found


def _rows(path: Path) -> Sequence[Mapping[str, str | None]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ",")
            rows = list(reader)
            columns = set(reader.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise OptionError(f"{path} cannot be read ({type(error).__name__}).", "Save it as CSV in UTF-8.") from None
    if "ranking" not in columns or not columns & set(KEYS):
        raise OptionError(f"{path} lacks the column ranking, or both text and id.", "Name its columns so.")
    return rows
