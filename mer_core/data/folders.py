"""A folder of media as a data set: what the names of files and sub-folders say.

Layouts understood: files side by side; one sub-folder per label; sub-folders named like splits
(``train/``, ``test/``) with labels inside; sub-folders named like speakers (``Actor_01/``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mer_core.data.splits import read_split
from mer_core.data.tables import TABLE_SUFFIXES
from mer_core.errors import DataError

VIDEO_SUFFIXES = frozenset(
    (
        ".mp4",
        ".m4v",
        ".mov",
        ".mkv",
        ".avi",
        ".webm",
        ".flv",
        ".wmv",
        ".mpg",
        ".mpeg",
        ".ts",
        ".mts",
        ".3gp",
        ".ogv",
    )
)
AUDIO_SUFFIXES = frozenset(
    (
        ".wav",
        ".flac",
        ".mp3",
        ".m4a",
        ".aac",
        ".ogg",
        ".oga",
        ".opus",
        ".wma",
        ".aif",
        ".aiff",
        ".au",
        ".amr",
    )
)

_SPEAKER = re.compile(r"(actor|speaker|spk|subject|subj|session|ses)[ _-]?\d+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FoundClip:
    """One clip of a folder, with what its place says about it."""

    id: str
    video: Path | None
    audio: Path | None
    label: str | None = None
    speaker: str | None = None
    split: str | None = None


def find_media(folder: Path) -> tuple[list[FoundClip], tuple[str, ...]]:
    """All media below ``folder`` in alphabetical order, and notes on how the names were read.

    A video and a sound file of the same name are one clip.

    Raises:
        DataError: there is no media file; names a table in the folder that may be its manifest.
    """
    files = [path for path in sorted(folder.rglob("*")) if _is_media(path, folder)]
    tables = sorted(path for path in folder.iterdir() if path.suffix.lower() in TABLE_SUFFIXES)
    if not files:
        raise _nothing(folder, tables)
    speakers = _named_by_speaker(_inner_folders(files, folder))
    clips = [_clip(folder, stem, group, speakers) for stem, group in _by_stem(files, folder)]
    return clips, tuple(_notes(clips, speakers, tables))


def one_file(path: Path) -> FoundClip:
    """A single media file as a clip; its id is the file name up to the last dot."""
    if path.suffix.lower() in AUDIO_SUFFIXES:
        return FoundClip(path.stem, None, path)
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return FoundClip(path.stem, path, None)
    hint = f"Give a media file, a folder of them, or a {', '.join(TABLE_SUFFIXES)} manifest."
    if path.suffix.lower() in (".xlsx", ".xls", ".ods"):
        hint = "Save it from the spreadsheet as 'CSV UTF-8'."
    raise DataError(f"{path} is neither a table nor a media file that mer knows by name.", hint)


def _is_media(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return not hidden and path.suffix.lower() in VIDEO_SUFFIXES | AUDIO_SUFFIXES and path.is_file()


def _by_stem(files: Iterable[Path], folder: Path) -> list[tuple[str, list[Path]]]:
    """Files of one clip together; two of the same kind and name are two clips, named with ending."""
    groups: dict[str, list[Path]] = {}
    for path in files:
        groups.setdefault(path.relative_to(folder).with_suffix("").as_posix(), []).append(path)
    result: list[tuple[str, list[Path]]] = []
    for stem, group in groups.items():
        if len({_is_video(path) for path in group}) == len(group):
            result.append((stem, group))
        else:
            result += [(path.relative_to(folder).as_posix(), [path]) for path in group]
    return result


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES


def _places(path: Path, folder: Path) -> tuple[str | None, list[str]]:
    """The split that the outermost folder names, if it does, and the folders inside of it."""
    parents = list(path.relative_to(folder).parts[:-1])
    split = read_split(parents[0]) if parents else None
    return split, parents[1:] if split else parents


def _inner_folders(files: Iterable[Path], folder: Path) -> set[str]:
    return {inner[0] for _, inner in (_places(path, folder) for path in files) if inner}


def _named_by_speaker(names: set[str]) -> bool:
    return bool(names) and all(_SPEAKER.fullmatch(name) for name in names)


def _clip(folder: Path, stem: str, group: list[Path], speakers: bool) -> FoundClip:
    split, inner = _places(group[0], folder)
    name = inner[0] if inner else None
    return FoundClip(
        id=stem,
        video=next(filter(_is_video, group), None),
        audio=next((path for path in group if not _is_video(path)), None),
        label=None if speakers or split == "unlabelled" else name,
        speaker=name if speakers else None,
        split=split,
    )


def _notes(clips: list[FoundClip], speakers: bool, tables: list[Path]) -> list[str]:
    labels = sorted({clip.label for clip in clips if clip.label is not None})
    notes = []
    if speakers:
        notes.append("sub-folders are read as speakers, by their names; there are no labels")
    if labels:
        notes.append(f"sub-folders are read as labels: {', '.join(labels)}")
    if tables:
        notes.append(f"{tables[0].name} in this folder was not read; if it is the manifest: --data {tables[0]}")
    return notes


def _nothing(folder: Path, tables: list[Path]) -> DataError:
    if tables:
        return DataError(f"{folder} holds no media files.", f"If {tables[0].name} is the manifest: --data {tables[0]}")
    kinds = "mp4, mkv, avi, webm, wav, flac, mp3"
    return DataError(f"{folder} holds no media files.", f"Put {kinds} or similar files there, or give a manifest.")
