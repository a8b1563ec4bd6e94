"""Named arrays of one file: .npz, or the columns of a Parquet file. Pickles are never opened.

A Parquet file's list column, and its numeric columns ``x_0`` ... ``x_k`` together, are arrays [N, D].
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mer_core.errors import DataError

ARRAY_SUFFIXES = (".npz", ".parquet")
SAVE = "Save the arrays with numpy.savez(FILE, name=array, ...), or as a .parquet file."
PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".joblib")


class Arrays(Protocol):
    """Arrays by name. ``shapes`` has the shape of each as far as it is known unread; () for objects."""

    @property
    def path(self) -> Path: ...

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]: ...

    def read(self, name: str) -> NDArray[Any]: ...


def open_arrays(path: Path) -> Arrays:
    """The arrays of a file, none of them read yet.

    Raises:
        DataError: not there, neither .npz nor .parquet, damaged, or holding pickled objects only.
    """
    suffix = path.suffix.lower()
    if not path.is_file():
        raise DataError(f"there is no file {path}.", "Give a .npz or .parquet file of features.")
    if suffix == ".parquet":
        return Columns(path)
    if suffix != ".npz":
        raise DataError(f"{path} is not a feature table ({suffix or 'no ending'}).", _convert(suffix))
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path} is not an .npz file, whatever its name says.", _how_made(path))
    return Members(path)


def _convert(suffix: str) -> str:
    if suffix in PICKLES:
        return f"A pickle can run code when it is opened, so mer does not. Load it yourself, then: {SAVE}"
    return f"It holds one array only; labels have to be beside it. {SAVE}" if suffix == ".npy" else SAVE


def _how_made(path: Path) -> str:
    with path.open("rb") as stream:
        start = stream.read(6)
    if start == npy.MAGIC_PREFIX:
        return f"It is a single array (.npy). {SAVE}"
    return f"It looks like a pickle. {_convert('.pkl')}" if start[:1] == b"\x80" else f"{SAVE} Or copy it again."


@dataclass(frozen=True)
class Members:
    """The arrays of an .npz file."""

    path: Path

    @cached_property
    def _headers(self) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
        try:
            with zipfile.ZipFile(self.path) as archive:
                names = [name for name in archive.namelist() if name.endswith(".npy")]
                return {name.removesuffix(".npy"): _header(archive, name) for name in names}
        except (zipfile.BadZipFile, ValueError, OSError, EOFError, zlib.error) as error:
            raise _damaged(self.path, error) from None

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """By name, without reading the arrays."""
        return {name: () if dtype.hasobject else shape for name, (shape, dtype) in self._headers.items()}

    def read(self, name: str) -> NDArray[Any]:
        """One array.

        Raises:
            DataError: it holds Python objects, or the file is damaged.
        """
        if self._headers[name][1].hasobject:
            raise DataError(
                f"{self.path}, array {name!r}: holds Python objects (a pickle), which mer does not open.",
                f"Save text as text and numbers as numbers: numpy.savez(..., {name}=numpy.asarray({name}.tolist())).",
            )
        try:
            with np.load(self.path, allow_pickle=False) as archive:
                found: NDArray[Any] = archive[name]
        except (zipfile.BadZipFile, ValueError, OSError, EOFError, zlib.error) as error:
            raise _damaged(self.path, error) from None
        return found


def _header(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    with archive.open(name) as stream:
        version = npy.read_magic(stream)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(stream)
    return shape, dtype


def _damaged(path: Path, error: Exception) -> DataError:
    first = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
    return DataError(f"{path} cannot be read: {first}.", "Copy or write the file again.")


@dataclass(frozen=True)
class Columns:
    """The columns of a Parquet file; one of lists, or of numbered scalars, is an array [N, D]."""

    path: Path

    @cached_property
    def _file(self) -> Any:
        import pyarrow
        import pyarrow.parquet

        try:
            return pyarrow.parquet.ParquetFile(self.path)
        except (OSError, pyarrow.ArrowException) as error:
            raise _damaged(self.path, error) from None

    @cached_property
    def _parts(self) -> dict[str, list[str]]:
        """Name -> the columns that it is made of."""
        columns = list(self._file.schema_arrow.names)
        return {name: [name] for name in columns} | numbered_columns(columns)

    @cached_property
    def _lists(self) -> set[str]:
        from pyarrow import types

        kinds = (types.is_list, types.is_large_list, types.is_fixed_size_list)
        return {field.name for field in self._file.schema_arrow if any(kind(field.type) for kind in kinds)}

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """By name; how long lists are is not known before they are read, and 0 stands for it."""
        rows = int(self._file.metadata.num_rows)
        wide = {name: len(parts) for name, parts in self._parts.items() if name not in set(parts)}
        return {
            name: (rows, wide[name]) if name in wide else (rows, 0) if name in self._lists else (rows,)
            for name in self._parts
        }

    def read(self, name: str) -> NDArray[Any]:
        """One array; a gap in a list column is a row of NaN.

        Raises:
            DataError: lists of different lengths, or no numbers.
        """
        import pyarrow

        try:
            table = self._file.read(columns=self._parts[name])
        except (OSError, pyarrow.ArrowException) as error:
            raise _damaged(self.path, error) from None
        parts = [table.column(part).to_numpy() for part in self._parts[name]]
        if name in self._lists:
            return _stacked(self.path, name, parts[0])
        return parts[0] if self._parts[name] == [name] else np.column_stack(parts)


def load_array(file: Path, mapped: bool = False) -> NDArray[Any]:
    """The numbers of a .npy file; ``mapped``: read when they are looked at.

    Raises:
        DataError: naming the file that holds none.
    """
    try:
        found: NDArray[Any] = np.load(file, mmap_mode="r" if mapped else None, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        what = f"{file} cannot be read as numbers: {str(error).splitlines()[0].rstrip('.') or 'it is empty'}."
        raise DataError(what, "Write it again with numpy.save; objects and pickles are not opened.") from None
    if found.dtype.kind not in "fiub":
        raise DataError(f"{file} holds {found.dtype}, not numbers.", "Write it again with numpy.save.")
    return found


def numbered_columns(columns: Iterable[str]) -> dict[str, list[str]]:
    """``["a_0", "a_1", "b"]`` -> ``{"a": ["a_0", "a_1"]}``; numbers count from 0 or 1 without a gap."""
    found: dict[str, dict[int, str]] = {}
    for column in columns:
        fits = re.fullmatch(r"(.+)_(\d+)", column)
        if fits:
            found.setdefault(fits[1], {})[int(fits[2])] = column
    whole = {name: parts for name, parts in found.items() if sorted(parts) in _counts(len(parts))}
    return {name: [parts[number] for number in sorted(parts)] for name, parts in whole.items()}


def _counts(size: int) -> tuple[list[int], list[int]]:
    return list(range(size)), list(range(1, size + 1))


def _stacked(path: Path, name: str, rows: NDArray[Any]) -> NDArray[Any]:
    """Rows of a list column as one array [N, D]."""
    sizes = {row: len(cells) for row, cells in enumerate(rows) if cells is not None}
    first = next(iter(sizes.values()), 0)
    odd = next((row for row, size in sizes.items() if size != first), None)
    if odd is not None:
        what = f"{path}, column {name!r}, row {odd}: a list of {sizes[odd]} numbers, where row {min(sizes)} has {first}"
        raise DataError(f"{what}.", "Give every clip one vector of the same length; pool frames first.")
    gap = np.full(first, np.nan)
    try:
        return np.asarray([gap if cells is None else np.asarray(cells, dtype=np.float64) for cells in rows])
    except (TypeError, ValueError):
        raise DataError(f"{path}, column {name!r}: its lists are not numbers.", "Give lists of numbers.") from None
