"""What is to be predicted: one file, folder or manifest, or several of them, as one table of clips."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mer_core.config import DataChoice
from mer_core.data.dataset import ClipTable
from mer_core.errors import DataError, UsageError
from mer_core.types import Clip
from mer_core.workflows.data import load_data
from mer_core.workflows.workspace import Workspace

Sources = str | Path | Sequence[str | Path]


def as_sources(data: Sources | None) -> tuple[str, ...]:
    """One source or several, as text."""
    if data is None:
        return ()
    return (str(data),) if isinstance(data, str | Path) else tuple(map(str, data))


def load_sources(sources: Sequence[str], columns: Mapping[str, str], space: Workspace) -> ClipTable:
    """The clips of all ``sources``, in their order; equal ids are told apart by file or folder, else by path.

    Raises:
        DataError: one is not there or cannot be read.
        UsageError: one is there twice, or clips cannot be told apart.
    """
    for source in sources:
        _refuse_pattern(source)
    _refuse_twice(sources)
    tables = [load_data(DataChoice(source=source, columns=dict(columns)), space) for source in sources]
    if len(tables) == 1:
        return tables[0]
    found = [
        (clip, _names(clip, source)) for source, table in zip(sources, tables, strict=True) for clip in table.clips
    ]
    ids = _apart([names for _, names in found])
    return replace(
        tables[0],
        clips=tuple(replace(clip, id=id) for (clip, _), id in zip(found, ids, strict=True)),
        notes=tuple(note for table in tables for note in table.notes),
    )


def _refuse_pattern(source: str) -> None:
    if glob.has_magic(source) and not Path(source).expanduser().exists():
        hint = "Give the files (a pattern without quotes), the folder, or a table."
        raise DataError(f"there is no file or folder {source}.", hint)


def _refuse_twice(sources: Sequence[str]) -> None:
    first: dict[Path, str] = {}
    for source in sources:
        place = Path(source).expanduser().resolve()
        if place in first:
            same = source if source == first[place] else f"{first[place]} and {source}"
            raise UsageError(f"{same}: the same clips are given twice.", "Give each file once.")
        first[place] = source


def _names(clip: Clip, source: str) -> tuple[str, str, str]:
    """What a clip may be called: its id, that with the ending or the folder, that with the whole path."""
    path = Path(source).expanduser()
    if path in (clip.video, clip.audio):
        return clip.id, path.name, path.as_posix()
    return clip.id, f"{path.stem if path.is_file() else path.name}/{clip.id}", f"{path.as_posix()}/{clip.id}"


def _apart(names: Sequence[tuple[str, ...]]) -> list[str]:
    """A name for each clip that no other has: its first one that is its own."""
    counts = [Counter(each) for each in zip(*names, strict=True)]
    chosen = [
        next((name for name, count in zip(own, counts, strict=True) if count[name] == 1), own[-1]) for own in names
    ]
    taken = Counter(chosen)
    last = [own[-1] if taken[name] > 1 else name for own, name in zip(names, chosen, strict=True)]
    for name, n in Counter(last).items():
        if n > 1:
            raise UsageError(
                f"{n} of the clips would be called {name!r}.", "Give each file once, or a manifest with ids."
            )
    return last
