"""The arrays of a file by what they are for: ids, labels, groups, splits, names of classes."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from mer_core.data.array_files import Arrays
from mer_core.errors import DataError

NO_SPLIT = "none"
"""In place of the name of an array of splits: all clips are for training. Without a name, an array called ``split``
keeps its test clips out; its val clips are scored instead of folds only if it was asked for by name."""

USUAL = {
    "id": ("id", "ids"),
    "label": ("label", "labels"),
    "split": ("split", "splits"),
    "classes": ("label_names", "class_names", "classes"),
}
"""Arrays that are read unless others are named."""

ROLES = {"id": "the ids", "label": "labels", "group": "groups", "split": "splits", "classes": "the names of classes"}


@dataclass(frozen=True)
class NamedArrays:
    """Arrays of N rows, one per clip.

    Args:
        columns: ``id``, ``label``, ``group``, ``split``, ``classes`` -> array.
    """

    arrays: Arrays
    columns: Mapping[str, str]

    @property
    def path(self) -> Path:
        """The file."""
        return self.arrays.path

    def named(self, role: str) -> str | None:
        """The array that was named for ``role``, else one of its usual name."""
        usual = (name for name in USUAL.get(role, ()) if name in self.arrays.shapes)
        return self.columns.get(role) or next(usual, None)

    def cells(self, name: str) -> list[Any]:
        """What an array of one dimension holds, as text, numbers and None."""
        return listed(self.arrays.read(name))

    def listing(self) -> str:
        """A sentence on what arrays there are."""
        return f"Its arrays are {', '.join(self.arrays.shapes)}."

    def known(self, array: str, role: str) -> None:
        """Make sure that an array is there.

        Raises:
            DataError: naming the file, the array and the close match.
        """
        if array in self.arrays.shapes:
            return
        close = difflib.get_close_matches(array, list(self.arrays.shapes), n=1)
        guess = f"Did you mean {close[0]!r}?" if close else self.listing()
        raise DataError(f"{self.path} has no array {array!r} to read {role} from.", guess)

    @contextmanager
    def naming(self, array: str) -> Iterator[None]:
        """Begin the message of an error with the file and the array."""
        try:
            yield
        except DataError as error:
            message = error.message.removeprefix(f"{self.path}, ")
            where = str(self.path) if not array or message.startswith("array ") else f"{self.path}, array {array!r}"
            raise DataError(f"{where}: {message}", error.hint) from None


def listed(values: NDArray[Any]) -> list[Any]:
    """An array as Python's own values; bytes as text."""
    cells = values.tolist()
    return [one.decode() if isinstance(one, bytes) else one for one in cells] if isinstance(cells, list) else [cells]
