"""Where OpenFace's output of a clip is: beside its id in a folder, as OpenFace or MERTools lay it out."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mer_core.media.crops import numbered
from mer_core.plugin import DataError
from mer_plugins.faces.openface_options import ALIGNED
from mer_plugins.faces.openface_run import NAME


@dataclass(frozen=True, slots=True)
class Output:
    """What there is of one clip: its table, its aligned pictures (a ``.npy`` or a folder), either or both."""

    table: Path | None
    pictures: Path | None


def find_output(folder: Path, clip: str) -> Output:
    """OpenFace's output of ``clip`` in ``folder``.

    Raises:
        DataError: there is none.
    """
    base = _base(folder, clip)
    bases = [base, base / base.name]
    table = next((file for one in bases if (file := _with(one, ".csv")).is_file()), None)
    arrays = (_with(one, ".npy") for one in reversed(bases))
    aligned = (_with(one, ALIGNED) for one in bases)
    pictures = next((place for place in (*arrays, *aligned) if place.exists()), None)
    if table is None and pictures is None:
        raise DataError(
            f"{folder} has no output of OpenFace for the clip {clip}.",
            f"It is {base.name}.csv, {base.name}{ALIGNED} or {base.name}/{base.name}.npy there, by the clip's id.",
        )
    return Output(table, pictures)


def keep_output(out: Path, folder: Path, clip: str) -> Output:
    """Move what a run wrote to ``out`` into ``folder``, under the clip's id."""
    base = _base(folder, clip)
    base.parent.mkdir(parents=True, exist_ok=True)
    aligned = _with(base, ALIGNED)
    shutil.rmtree(aligned, ignore_errors=True)
    if (out / f"{NAME}{ALIGNED}").is_dir():
        shutil.move(out / f"{NAME}{ALIGNED}", aligned)
    table = Path(shutil.move(out / f"{NAME}.csv", _with(base, ".csv")))
    return Output(table, aligned if aligned.is_dir() else None)


def picture_numbers(place: Path, face: int | None) -> Mapping[int, int]:
    """Which picture of an aligned folder shows ``face`` in which frame: its number from 0 by that of the frame."""
    found = {}
    for picture, (frame, file) in enumerate(numbered(place)):
        digits = re.findall(r"\d+", file.stem)
        if face is None or len(digits) < 2 or int(digits[-2]) == face:
            found[frame] = picture
    return found


def _base(folder: Path, clip: str) -> Path:
    parts = PurePosixPath(clip.replace("\\", "/")).parts
    if not parts or ".." in parts or parts[0].startswith("/"):
        raise DataError(f"the clip's id {clip!r} names no place in {folder}.", "Use another id.")
    return folder.joinpath(*parts)


def _with(base: Path, ending: str) -> Path:
    return base.with_name(base.name + ending)
