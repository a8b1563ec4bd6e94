"""From a run's data choice to clips, splits and groups."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path

from mer_core.blame import blame, title
from mer_core.config import DataChoice
from mer_core.data.dataset import ClipTable, load_clips
from mer_core.errors import DataError, PluginError, UsageError
from mer_core.protocols import Dataset
from mer_core.spec import DatasetSpec, digest
from mer_core.types import Clip
from mer_core.workflows.given import given_clips, holds_clips
from mer_core.workflows.workspace import Workspace

CLIP_COLUMNS = ("speaker", "language", "split")


def load_data(choice: DataChoice, space: Workspace) -> ClipTable:
    """Read the clips of a manifest, folder, media file, named data set or feature table.

    Raises:
        DataError: nothing is there, or it cannot be read; with the close match.
        PluginError: the data set could not be prepared.
    """
    if holds_clips(choice) and Path(choice.source).exists():
        return given_clips(choice, None)
    if choice.features:
        return given_clips(choice, find_source(choice, space))
    return load_clips(find_source(choice, space), choice.columns, choice.label_map, choice.values, choice.votes)


def find_source(choice: DataChoice, space: Workspace) -> Path:
    """The manifest of the data set of that name, else the path; ``./NAME`` is always a path.

    Raises:
        DataError: neither; with the close match.
    """
    if _is_dataset(choice.source, space):
        return _prepare(choice, space)
    path = Path(choice.source).expanduser()
    if path.exists():
        return path
    raise _not_found(choice.source, space)


def _is_dataset(name: str, space: Workspace) -> bool:
    return bool(space.catalogue.meant(DatasetSpec, name))


def _prepare(choice: DataChoice, space: Workspace) -> Path:
    spec = space.catalogue.find(DatasetSpec, choice.source)
    options = space.catalogue.options(DatasetSpec, choice.source, choice.options)
    plugin, entry = space.catalogue.load(DatasetSpec, choice.source), space.catalogue.entry(DatasetSpec, choice.source)
    home = [] if entry.own else [entry.distribution]
    folder = space.cache.datasets / f"{spec.name}-{digest([spec.version, options, *home], 10)}"
    with blame(entry, "__init__"):
        dataset: Dataset = plugin(options)
    with blame(entry, "prepare"):
        manifest: object = dataset.prepare(folder, space.progress)
    if not isinstance(manifest, str | Path):
        what = f"{title(entry)}: prepare returned {type(manifest).__name__}, not a path."
        raise PluginError(what, "Return the path of the manifest.")
    return Path(manifest)


def _not_found(source: str, space: Workspace) -> DataError:
    names = [entry.spec.name for entry in space.catalogue.of_kind(DatasetSpec)]
    parent = Path(source).expanduser().parent
    beside = [entry.name for entry in parent.iterdir()] if parent.is_dir() else []
    close = difflib.get_close_matches(Path(source).name, [*beside, *names], n=1)
    guess = f"Did you mean {close[0]}?" if close else f"Give a path, or one of the data sets {', '.join(names)}."
    return DataError(f"there is no file or folder {source}.", guess)


def clip_groups(clips: Sequence[Clip], column: str) -> tuple[str | None, ...]:
    """Each clip's value in ``column`` (speaker, or any other column of the manifest), None if empty.

    Raises:
        UsageError: no clip has such a column.
    """
    found = tuple(_cell(clip, column) for clip in clips)
    if not any(found) and column != "speaker":
        columns = sorted({"speaker", *(key for clip in clips for key in clip.meta)})
        raise UsageError(f"--group {column}: no clip has that column.", f"Columns are {', '.join(columns)}.")
    return found


def _cell(clip: Clip, column: str) -> str | None:
    value = getattr(clip, column) if column in CLIP_COLUMNS else clip.meta.get(column)
    return None if value in (None, "") else str(value)


def any_synthetic(clips: Iterable[Clip]) -> bool:
    """Whether a program made any of the clips, as their column ``synthetic`` says."""
    return any(str(clip.meta.get("synthetic", "")).lower() in ("true", "1") for clip in clips)
