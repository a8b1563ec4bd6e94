"""Data sets with one mistake each, for looking at the checks. ``Good`` is their twin without one."""

from __future__ import annotations

import itertools
import tempfile
import wave
from pathlib import Path
from typing import Any

from mer_core.plugin import DatasetSpec, Progress

ROWS = ("one,one.wav,happy", "two,two.wav,sad")


def write_wav(path: Path, seconds: float = 0.2) -> None:
    """Silence at 8 kHz."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(2 * int(8000 * seconds)))


class Good:
    """Nothing is wrong with it: two silent files and a manifest."""

    rows = ROWS
    header = "id,audio,label"

    def __init__(self, options: Any) -> None:
        pass

    def prepare(self, folder: Path, progress: Progress | None = None) -> Path:
        manifest = Path(folder) / "silence" / "manifest.csv"
        if not manifest.exists():
            manifest.parent.mkdir(parents=True)
            self.fill(manifest)
        return manifest

    def fill(self, manifest: Path) -> None:
        for name in ("one.wav", "two.wav"):
            write_wav(manifest.parent / name)
        manifest.write_text("\n".join([self.header, *self.rows]) + "\n")


class ReturnsFolder(Good):
    """prepares: the folder instead of the manifest."""

    def prepare(self, folder: Path, progress: Progress | None = None) -> Path:
        return super().prepare(folder).parent


class ReturnsText(Good):
    """prepares: a path as text."""

    def prepare(self, folder: Path, progress: Progress | None = None) -> Any:
        return str(super().prepare(folder))


class Elsewhere(Good):
    """prepares: in a folder of its own choice."""

    def prepare(self, folder: Path, progress: Progress | None = None) -> Path:
        return super().prepare(Path(tempfile.gettempdir()) / f"mer-shelf-{Path(folder).name}")


class RepeatsId(Good):
    """prepares: two clips of one name."""

    rows = ("one,one.wav,happy", "one,two.wav,sad")


class Empty(Good):
    """prepares: no clip."""

    rows = ()


class WritesAgain(Good):
    """idempotent: the same content, written anew."""

    def prepare(self, folder: Path, progress: Progress | None = None) -> Path:
        manifest = super().prepare(folder)
        self.fill(manifest)
        return manifest


class WritesAgainWhenNew(Good):
    """idempotent: only the instance knows that it is done."""

    manifest: Path | None = None

    def prepare(self, folder: Path, progress: Progress | None = None) -> Path:
        if self.manifest is None:
            self.manifest = super().prepare(folder)
            self.fill(self.manifest)
        return self.manifest


class CountsRuns(Good):
    """idempotent: a manifest per call."""

    def prepare(self, folder: Path, progress: Progress | None = None) -> Path:
        first = super().prepare(folder)
        names = (first.with_name(f"manifest{number}.csv") for number in itertools.count())
        manifest = next(name for name in names if not name.exists())
        manifest.write_bytes(first.read_bytes())
        return manifest


class NamesNothing(Good):
    """opens: a file that is not there."""

    rows = (*ROWS, "three,three.wav,sad")


class LeavesEmptyFile(Good):
    """opens: a download that never arrived."""

    rows = (*ROWS, "three,three.wav,sad")

    def fill(self, manifest: Path) -> None:
        super().fill(manifest)
        (manifest.parent / "three.wav").touch()


class CutsBeyondEnd(Good):
    """opens: start in milliseconds."""

    header = "id,audio,label,start,end"
    rows = ("one,one.wav,happy,0,100", "two,one.wav,sad,100,200")


def broken() -> dict[str, tuple[type[Good], str]]:
    """Every broken data set by name, with the check that catches it."""
    found = [cls for cls in globals().values() if isinstance(cls, type) and issubclass(cls, Good) and cls is not Good]
    return {cls.__name__.lower(): (cls, (cls.__doc__ or "").partition(":")[0]) for cls in found}


def spec(cls: type[Good], **changes: Any) -> DatasetSpec:
    return DatasetSpec(name=cls.__name__.lower(), target=f"shelf_datasets:{cls.__name__}", **changes)
