"""Columns of a table that hold continuous targets, or the votes of raters: which they are, and what their cells say."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any

from mer_core.data.splits import UNUSED_LABEL_SPLIT
from mer_core.data.tables import Finding, Row, Table, cell_text
from mer_core.data.votes import most_votes, spelt
from mer_core.errors import DataError, UsageError
from mer_core.target_choice import Names, listed_names, value_columns
from mer_core.types import Clip

SEPARATORS = "_-.: "


@dataclass(frozen=True, slots=True)
class TargetColumns:
    """``values``: name of a value -> its column; ``votes``: class as it is written -> its column."""

    values: Mapping[str, str] = field(default_factory=dict)
    votes: Mapping[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> frozenset[str]:
        """All of them."""
        return frozenset((*self.values.values(), *self.votes.values()))


NO_TARGETS = TargetColumns()


def target_columns(table: Table, values: Names, votes: Names) -> TargetColumns:
    """Find the columns that were asked for.

    Args:
        values: ``valence`` or ``sentiment=label``, each.
        votes: a pattern (``vote_*``), column names that are classes but for what they all begin or end with
            (``vote_angry``), or ``angry=COLUMN``.

    Raises:
        DataError: the table has no such column.
        UsageError: fewer than two classes, or one twice.
    """
    found = value_columns(values)
    for column in found.values():
        _known(table, column, "--values")
    return TargetColumns(found, _vote_columns(table, listed_names(votes)))


def _vote_columns(table: Table, asked: Sequence[str]) -> dict[str, str]:
    pairs: list[tuple[str, str]] = []
    plain = [item for item in asked if "*" not in item and "=" not in item]
    short = dict(zip(plain, _without_affixes(plain), strict=True))
    for item in asked:
        name, equals, column = (part.strip() for part in item.partition("="))
        if "*" in item:
            pairs += _matching(table, item)
        else:
            pairs.append((name, column) if equals else (short[item], item))
            _known(table, pairs[-1][1], "--votes")
    found = dict(pairs)
    if asked and (len(found) < 2 or len(found) < len(pairs)):
        twice = next((name for name, _ in pairs if [one for one, _ in pairs].count(name) > 1), None)
        what = f"--votes: two columns are the class {twice!r}." if twice else "--votes names fewer than two classes."
        raise UsageError(what, "Give one column per class: --votes 'vote_*', or --votes angry=A,happy=H.")
    return found


def _matching(table: Table, pattern: str) -> list[tuple[str, str]]:
    """Class and column of all columns like ``vote_*``; the class is what the star stands for."""
    start, _, end = pattern.partition("*")
    fits = [name for name in table.columns if name.startswith(start) and name.endswith(end)]
    found = [(name[len(start) : len(name) - len(end)], name) for name in fits if len(name) > len(start) + len(end)]
    if not found:
        what = f"{table.path} has no column like {pattern!r} to read votes from."
        raise DataError(what, f"Its columns are {', '.join(table.columns)}.")
    return found


def _without_affixes(names: Sequence[str]) -> list[str]:
    """``["vote_a", "vote_b"]`` -> ``["a", "b"]``: without what all begin or end with, up to a separator."""
    if len(names) < 2:
        return list(names)
    start, end = (_common([name[::step] for name in names]) for step in (1, -1))
    short = [name[len(start) : len(name) - len(end)] for name in names]
    return short if all(short) else list(names)


def _common(names: Sequence[str]) -> str:
    """What all ``names`` begin with, up to the last separator in it."""
    columns = zip(*names, strict=False)
    same = "".join(letters[0] for letters in takewhile(lambda letters: len(set(letters)) == 1, columns))
    return same[: 1 + max(same.rfind(mark) for mark in SEPARATORS)]


def _known(table: Table, column: str, flag: str) -> None:
    if column not in table.columns:
        close = difflib.get_close_matches(column, table.columns, n=1)
        guess = f"Did you mean {close[0]!r}?" if close else f"Its columns are {', '.join(table.columns)}."
        raise DataError(f"{table.path} has no column {column!r}, which {flag} names.", guess)


def read_targets(row: Row, columns: TargetColumns, clip: Clip, findings: list[Finding]) -> Clip:
    """``clip`` with the values and votes of its row; a cell that is no number becomes a finding."""
    values = {name: _number(row, column, clip.id, findings) for name, column in columns.values.items()}
    votes = {name: _number(row, column, clip.id, findings, least=0.0) for name, column in columns.votes.items()}
    known = {name: value for name, value in values.items() if value is not None}
    return replace(clip, values=known, votes={name: number for name, number in votes.items() if number})


def _number(row: Row, column: str, id: str, findings: list[Finding], least: float = -math.inf) -> float | None:
    """A cell as a number; None where it is empty or ``nan``."""
    cell: Any = row.cells.get(column)
    try:
        text = cell_text(cell)
        found = math.nan if text is None or text.casefold() in ("nan", "<na>") else float(text)
    except (TypeError, ValueError):
        found = math.inf
    if math.isnan(found):
        return None
    if math.isfinite(found) and found >= least:
        return found
    kind = "number" if least < 0 else "count or share of votes"
    remedy = "Write a number, or leave the cell empty."
    findings.append(Finding(row.number, id, "error", "target", f"{cell!r} is no {kind}", remedy, column))
    return None


def without_numbers(clips: Sequence[Clip], columns: TargetColumns) -> list[Finding]:
    """A finding for each column of values, and for all votes together, that no clip has a number in."""
    empty = [column for name, column in columns.values.items() if not any(name in clip.values for clip in clips)]
    if columns.votes and not any(clip.votes for clip in clips):
        empty.append(next(iter(columns.votes.values())))
    message, remedy = "holds no number that is of use", "Fill it in, or do not ask for it."
    return [Finding(None, None, "error", "target", message, remedy, column) for column in empty]


def spell_targets(clips: Sequence[Clip], mapping: Mapping[str, str]) -> tuple[tuple[Clip, ...], tuple[str, ...]]:
    """Clips with their classes spelt and, where they have votes and no label, the majority's; remarks.

    What clips of the split ``unlabelled`` have to be learnt from is set aside: their label stays in ``meta``.
    """
    found = tuple(_spelt(clip, mapping) for clip in clips)
    filled = sum(new.label is not None and old.label is None for new, old in zip(found, clips, strict=True))
    tied = sum(bool(new.votes) and new.label is None for new in found)
    notes = [f"{_clips(filled)} without a label: it is the majority of the votes"] if filled else []
    notes += [f"{_clips(tied)} without a label, learnt from by their votes: a tie of the votes"] if tied else []
    return tuple(_set_aside(new, old) for new, old in zip(found, clips, strict=True)), tuple(notes)


def _spelt(clip: Clip, mapping: Mapping[str, str]) -> Clip:
    if clip.label is None and not clip.votes:
        return clip
    votes = spelt(clip.votes, mapping)
    return replace(clip, votes=votes, label=most_votes(votes) if clip.label is None else mapping[clip.label] or None)


def _set_aside(clip: Clip, written: Clip) -> Clip:
    if clip.split != UNUSED_LABEL_SPLIT:
        return clip
    label = written.label or clip.label
    known = {"label": label} if label else {}
    return replace(clip, label=None, values={}, votes={}, meta={**clip.meta, **known})


def _clips(count: int) -> str:
    return f"{count:,} clip" if count == 1 else f"{count:,} clips"
