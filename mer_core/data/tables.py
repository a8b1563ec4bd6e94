"""Reads a table of any supported format into rows of named cells, with the row numbers people see.

CSV and TSV (any of comma, semicolon, tab; UTF-8 or UTF-16, with or without BOM; any line ends), JSON
Lines and Parquet. Cells of text formats stay text, so ``007`` is not 7.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mer_core.errors import DataError

TABLE_SUFFIXES = (".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".parquet")
"""File name endings that are read as tables."""

LONGEST_ID = 80
"""Longer ids are cut where a person reads them."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about one row (or, with ``row`` None, about the whole table) that needs a look.

    ``row`` is the number a spreadsheet shows (the header is row 1), the line number of JSON Lines,
    or the record counted from 1 of Parquet. ``level`` is ``"error"`` or ``"warning"``.
    """

    row: int | None
    id: str | None
    level: str
    kind: str
    message: str
    remedy: str
    column: str | None = None

    @property
    def place(self) -> str:
        """``row 5 (clip a1), column 'start'``, as far as known."""
        name = self.id if self.id is None or len(self.id) <= LONGEST_ID else f"{self.id[:LONGEST_ID]}…"
        clip = f" (clip {name})" if name and self.row is not None else ""
        row = f"row {self.row}{clip}" if self.row is not None else name or ""
        return ", ".join(part for part in (row, f"column {self.column!r}" if self.column else "") if part)


@dataclass(frozen=True, slots=True)
class Row:
    """One record: its ``number`` as in :class:`Finding` and its cells by column."""

    number: int
    cells: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows in file order; ``findings`` are rows whose cells do not fit the header."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    findings: tuple[Finding, ...] = ()


def read_table(path: Path) -> Table:
    """Read a CSV, TSV, JSON Lines or Parquet file.

    Raises:
        DataError: the file cannot be read as what its name says, or holds no rows.
    """
    suffix = path.suffix.lower()
    if suffix not in TABLE_SUFFIXES:
        raise DataError(f"{path} is not a table that mer reads ({suffix or 'no ending'}).", _how_to_save(suffix))
    if suffix == ".parquet":
        table = _read_parquet(path)
    elif suffix in (".jsonl", ".ndjson"):
        table = _read_jsonl(path)
    else:
        table = _read_delimited(path, "\t" if suffix in (".tsv", ".tab") else None)
    if not table.rows and not table.findings:
        raise DataError(f"{path} has no rows.", "Add one row per clip.")
    return table


def cell_text(value: Any) -> str | None:
    """A cell as text without outer white space; None if it is empty.

    Whole floats lose their ``.0`` (a column of whole numbers with gaps arrives as floats), NaN is
    empty.

    Raises:
        TypeError: the cell holds a list or an object.
    """
    if value is None or value != value:
        return None
    if isinstance(value, dict | list | tuple):
        raise TypeError(type(value).__name__)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip().strip("\ufeff\u200b") or None


def _how_to_save(suffix: str) -> str:
    if suffix in (".xlsx", ".xls", ".ods", ".numbers"):
        return "Save it from the spreadsheet as 'CSV UTF-8'."
    if suffix == ".json":
        return "Write one JSON object per line and call the file .jsonl."
    return f"Give a {', '.join(TABLE_SUFFIXES)} file, a media file or a folder of them."


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.", "Check the path and its permissions.") from error
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        convert = f"iconv -f gb18030 -t utf-8 '{path.name}' > new{path.suffix}"
        hint = f"Save it as UTF-8; if it came from a Chinese Windows: {convert}"
        raise DataError(f"{path}, row {line}: not {encoding[:6].upper().rstrip('-')} text.", hint) from error


def _read_delimited(path: Path, delimiter: str | None) -> Table:
    text = _read_text(path)
    delimiter = delimiter or _guess_delimiter(text)
    records = _records(path, text, delimiter)
    header = next(((number, cells) for number, cells in records if any(map(str.strip, cells))), None)
    if header is None:
        raise DataError(f"{path} is empty.", "Its first row must name the columns; 'id' is one of them.")
    columns = tuple(name.strip() for name in header[1])
    _refuse_repeated(path, columns)
    rows, findings = [], []
    for number, cells in records:
        if not any(map(str.strip, cells)):
            continue
        rows.append(Row(number, {name: cell for name, cell in zip(columns, cells, strict=False) if name}))
        if len(cells) != len(columns):
            findings.append(_wrong_length(number, len(cells), len(columns), delimiter))
    return Table(path, tuple(filter(None, columns)), tuple(rows), tuple(findings))


def _guess_delimiter(text: str) -> str:
    header = next((line for line in text.splitlines() if line.strip()), "")
    return max(",;\t", key=header.count)


def _records(path: Path, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    number = 0
    while True:
        number += 1
        try:
            yield number, next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            hint = 'Put text that holds the separator in "quotes", and write a quote inside it twice ("").'
            raise DataError(f"{path}, row {number}: {error}; a quote is open or misplaced.", hint) from error


def _refuse_repeated(path: Path, columns: tuple[str, ...]) -> None:
    repeated = sorted({name for name in columns if name and columns.count(name) > 1})
    if repeated:
        raise DataError(f"{path}: column {repeated[0]!r} is there twice.", "Rename or remove one of them.")


def _wrong_length(number: int, found: int, wanted: int, delimiter: str) -> Finding:
    message = f"{found} cells where the header has {wanted}"
    if found < wanted:
        return Finding(
            number, None, "warning", "row-length", message, "The last columns are read as empty; complete it."
        )
    name = {",": "comma", ";": "semicolon", "\t": "tab"}[delimiter]
    remedy = f'Put the text that holds a {name} in "quotes".'
    return Finding(number, None, "error", "row-length", message, remedy)


def _read_jsonl(path: Path) -> Table:
    rows = []
    for number, line in enumerate(_read_text(path).split("\n"), 1):
        if line.strip():
            rows.append(Row(number, _json_object(path, number, line)))
    columns = dict.fromkeys(name for row in rows for name in row.cells)
    return Table(path, tuple(columns), tuple(rows))


def _json_object(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise DataError(f"{path}, row {number}: not JSON ({error}).", "Write one JSON object per line.") from error
    if not isinstance(value, dict):
        hint = 'Write {"id": "a1", "video": "a1.mp4"} on a line of its own for each clip.'
        raise DataError(f"{path}, row {number}: {type(value).__name__}, not a JSON object.", hint)
    return {key.strip(): cell for key, cell in value.items()}


def _read_parquet(path: Path) -> Table:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(path).read()
    except (OSError, pyarrow.ArrowException) as error:
        first = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise DataError(f"{path} cannot be read as Parquet: {first}.", "Write it again, or save it as CSV.") from error
    _refuse_repeated(path, tuple(table.column_names))
    rows = tuple(Row(number, cells) for number, cells in enumerate(table.to_pylist(), 1))
    return Table(path, tuple(table.column_names), rows)
