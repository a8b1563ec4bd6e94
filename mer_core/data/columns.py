"""Which column of a table holds what: exact names, the user's mapping, and suggestions.

Nothing is mapped unasked: a table without ``id`` but with ``name`` gets an error that says which flag
to add.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping

from mer_core.data.tables import Table
from mer_core.data.vocabulary import quoted
from mer_core.errors import DataError, UsageError

COLUMNS = ("id", "video", "audio", "text", "label", "speaker", "split", "start", "end", "language")
"""Columns that mean something; all but ``id`` are optional."""

CONTENT_COLUMNS = ("video", "audio", "text")
"""Columns that features can be made from."""

USUAL_NAMES: Mapping[str, tuple[str, ...]] = {
    "id": ("name", "clip", "clip_id", "clipid", "utterance_id", "sample", "key", "filename", "file_name", "file"),
    "video": ("video_path", "videopath", "path_video", "mp4"),
    "audio": ("audio_path", "wav", "wav_path", "path_audio", "sound"),
    "text": ("transcript", "transcription", "utterance", "sentence", "chinese", "english", "subtitle"),
    "label": ("emotion", "emo", "discrete", "class", "target", "labels"),
    "speaker": ("actor", "speaker_id", "spk", "subject", "speakerid"),
    "split": ("set", "subset", "partition", "fold", "mode"),
    "start": ("start_time", "begin", "onset", "starttime"),
    "end": ("end_time", "stop", "offset", "endtime"),
    "language": ("lang",),
}
"""What other data sets call these columns; used to suggest ``--column``, never applied unasked."""

NAMING, FILES = ("id", "name", "clip"), ("filename", "file", "path")
"""Words of columns that name clips, and of columns that may do so but rather hold files."""


def column_names(table: Table, asked: Mapping[str, str], others: Collection[str] = ()) -> dict[str, str]:
    """Our column name -> the table's, for every column that the table has.

    Names match in any case; an exact match wins. ``others`` are columns that hold something else.

    Raises:
        UsageError: ``asked`` maps a name that mer does not have.
        DataError: ``asked`` names a column that is not there, or nothing is the ``id``.
    """
    for ours, theirs in asked.items():
        if ours not in COLUMNS:
            raise UsageError(
                f"--column {ours}={theirs}: mer has no column {ours!r}.", f"There are {', '.join(COLUMNS)}."
            )
        if theirs not in table.columns:
            close = difflib.get_close_matches(theirs, table.columns, n=1)
            guess = f"Did you mean {close[0]!r}?" if close else f"Its columns are {', '.join(table.columns)}."
            raise DataError(f"{table.path} has no column {theirs!r} to read {ours!r} from.", guess)
    taken = {*asked.values(), *others}
    free = {name.casefold(): name for name in reversed(table.columns) if name not in taken}
    exact = {name: name for name in table.columns if name not in taken}
    found = {ours: asked.get(ours) or exact.get(ours) or free.get(ours) for ours in COLUMNS}
    names = {ours: theirs for ours, theirs in found.items() if theirs is not None}
    if "id" not in names:
        raise _no_id(table)
    return names


def _no_id(table: Table) -> DataError:
    close = _id_column(table)
    hint = f"If {close!r} names the clips: --column {quoted(f'id={close}')}" if close else "Add a column 'id'."
    return DataError(f"{table.path} has no column 'id'; its columns are {', '.join(table.columns)}.", hint)


def _id_column(table: Table) -> str | None:
    """The column that probably names the clips; one that is different in every row before others."""
    usual = [name for word in USUAL_NAMES["id"] for name in table.columns if _plain(name) == word]
    others = [name for name in table.columns if set(_words(name)) & {*NAMING} and not _other(name)]
    found = sorted(dict.fromkeys([*usual, *others]), key=lambda name: bool(set(_words(name)) & {*FILES}))
    return next((name for name in found if _distinct(table, name)), next(iter(found), None))


def _other(column: str) -> bool:
    """Whether a column's name has a word of another column's: ``speaker_id``, ``emotion name``."""
    apart = {"id", *CONTENT_COLUMNS}
    others = {word for ours, names in USUAL_NAMES.items() if ours not in apart for word in (ours, *names)}
    return any(word in others for word in _words(column))


def _distinct(table: Table, column: str) -> bool:
    cells = [str(row.cells.get(column) or "") for row in table.rows]
    return all(cells) and len(set(cells)) == len(cells)


def _plain(column: str) -> str:
    return column.casefold().strip().replace(" ", "_")


def _words(column: str) -> list[str]:
    return re.findall(r"[^\W_]+", column.casefold())


def _suggestion(ours: str, columns: Iterable[str]) -> str | None:
    """The column that probably holds ``ours``: a usual other name, else a misspelling."""
    plain = {_plain(name): name for name in columns}
    usual = next((plain[name] for name in USUAL_NAMES[ours] if name in plain), None)
    if usual is not None or len(ours) < 4:
        return usual
    close = difflib.get_close_matches(ours, list(plain), n=1, cutoff=0.79)
    return plain[close[0]] if close else None


def column_notes(table: Table, names: Mapping[str, str], others: Collection[str] = ()) -> tuple[str, ...]:
    """Columns of the table that may hold something mer would use, each with the flag to add."""
    free = [name for name in table.columns if name not in {*names.values(), *others}]
    guesses = {ours: _suggestion(ours, free) for ours in COLUMNS if ours not in names}
    return tuple(
        f"there is no column {ours!r}; if {theirs!r} is meant: --column {quoted(f'{ours}={theirs}')}"
        for ours, theirs in guesses.items()
        if theirs is not None
    )
