"""Cells that say that there is nothing (``N/A``), and labels that look as if they did (``unknown``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from mer_core.data.tables import Row, Table, cell_text
from mer_core.data.vocabulary import clean_label, quoted

GAPS = frozenset(("nan", "<na>", "n/a", "na", "null", "-", "?"))
"""Cells of the columns ``label`` and ``text`` that count as empty, in any case."""

NONE = "None"
"""What Python writes for nothing. In any other case, and beside labels that begin with a capital, it is a label."""

DOUBTFUL = GAPS | {
    *("none", "unknown", "unk", "xxx", "unlabelled", "unlabeled", "unspecified", "undefined", "missing"),
    *("other", "others", "oth", "其他", "其它", "未知", "无"),
}
"""Labels that stay classes, with a remark."""


def without_gaps(table: Table, names: Mapping[str, str], asked: Collection[str]) -> tuple[Table, tuple[str, ...]]:
    """The table with empty cells where label or text says that there is none, and a remark that counts them.

    Args:
        names: our column name -> the table's.
        asked: labels that the user renames or drops; they are labels.
    """
    kept = {clean_label(label) for label in asked}
    found = {column: _texts(table, column) for ours, column in names.items() if ours in ("label", "text")}
    gaps = {column: {text for text in texts if _is_gap(text)} for column, texts in found.items()}
    if (label := names.get("label")) is not None:
        python = not any(text[0].isupper() for text in found[label] if text != NONE and text not in gaps[label])
        gaps[label] = {text for text in gaps[label] if clean_label(text) not in kept and (text != NONE or python)}
    if not any(gaps.values()):
        return table, ()
    rows = tuple(Row(row.number, {**row.cells, **_emptied(row, gaps)}) for row in table.rows)
    return replace(table, rows=rows), (_remark(found, gaps),)


def doubt_notes(labels: Iterable[str], asked: Collection[str]) -> tuple[str, ...]:
    """A remark on labels that look like none, and the flags that drop them.

    Args:
        asked: labels that the user renames or drops; they are left out.
    """
    kept = {clean_label(label) for label in asked}
    found = sorted({clean_label(label) for label in labels} - kept)
    doubtful = [label for label in found if label.casefold() in DOUBTFUL]
    if not doubtful:
        return ()
    flags = " ".join(f"--label {quoted(f'{label}=')}" for label in doubtful)
    look = "looks like no label" if len(doubtful) == 1 else "look like no labels"
    return (f"{' and '.join(map(repr, doubtful))} {look}: {flags} leaves these clips unlabelled",)


def _texts(table: Table, column: str) -> Counter[str]:
    """How often each text is in a column; cells that hold no text are left to whoever reads them."""
    texts = Counter(_text(row, column) for row in table.rows)
    return Counter({text: number for text, number in texts.items() if text})


def _text(row: Row, column: str) -> str:
    try:
        return cell_text(row.cells.get(column)) or ""
    except TypeError:
        return ""


def _is_gap(text: str) -> bool:
    return text == NONE or clean_label(text).casefold() in GAPS


def _emptied(row: Row, gaps: Mapping[str, Collection[str]]) -> dict[str, None]:
    return {column: None for column, texts in gaps.items() if _text(row, column) in texts}


def _remark(found: Mapping[str, Counter[str]], gaps: Mapping[str, Collection[str]]) -> str:
    numbers = {column: sum(found[column][text] for text in texts) for column, texts in gaps.items() if texts}
    counts = " and ".join(f"{number:,} in {column!r}" for column, number in numbers.items())
    words = ", ".join(repr(text) for text in sorted({text for texts in gaps.values() for text in texts}))
    return f"cells that say {words} are read as empty: {counts}"
