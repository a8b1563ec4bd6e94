"""The checks of a data set: is there a manifest, does it stay as it is, do its files open?"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from mer_core.data.dataset import ClipTable, load_clips
from mer_core.errors import DataError, MediaError
from mer_core.media.probe import MediaInfo, probe
from mer_core.testing.common import light_import, options
from mer_core.testing.kit import Check, CheckFailed, check, require
from mer_core.testing.subject import Subject
from mer_core.types import Clip

SHOWN = 3


class DatasetBench:
    """Prepares the data once, in a folder that goes when the bench goes."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.folder = Path(tempfile.mkdtemp(prefix="mer-check-")).resolve()
        weakref.finalize(self, shutil.rmtree, self.folder, True)
        self.plugin = self.fresh()

    def fresh(self) -> Any:
        """Another instance of the plugin."""
        return self.subject.plugin_class(self.subject.options)

    @cached_property
    def manifest(self) -> Path:
        """What ``prepare`` returned the first time."""
        return manifest_of(self.plugin.prepare(self.folder))

    @cached_property
    def table(self) -> ClipTable:
        """The clips that the manifest lists.

        Raises:
            CheckFailed: it cannot be read.
        """
        try:
            return load_clips(self.manifest)
        except DataError as error:
            raise CheckFailed(f"the manifest cannot be read: {error}") from error

    def files(self) -> dict[str, tuple[int, int]]:
        """Every file's size and time of change (ns), by its path."""
        found = {
            path.relative_to(self.folder).as_posix(): path.stat() for path in self.folder.rglob("*") if path.is_file()
        }
        return {name: (facts.st_size, facts.st_mtime_ns) for name, facts in found.items()}


def manifest_of(answer: object) -> Path:
    """``answer`` of ``prepare`` as a path.

    Raises:
        CheckFailed: it is something else.
    """
    if not isinstance(answer, Path):
        raise CheckFailed(f"prepare returned {type(answer).__name__}, not the manifest's pathlib.Path.")
    return answer


def bench_of(subject: Subject) -> DatasetBench:
    """The bench of ``subject``, made once."""
    if "dataset_bench" not in vars(subject):
        vars(subject)["dataset_bench"] = DatasetBench(subject)
    bench: DatasetBench = vars(subject)["dataset_bench"]
    return bench


@check(cure="take `(options)`; return the path of a table with the columns of a manifest")
def prepares(subject: Subject) -> None:
    """Preparing an empty folder gives a manifest in it, with clips that have names of their own."""
    bench = bench_of(subject)
    manifest = bench.manifest
    require(manifest.is_file(), f"prepare returned {manifest}, where there is no file.")
    require(
        manifest.resolve().is_relative_to(bench.folder),
        f"prepare returned {manifest}, which is not below the folder it was given: keep everything in there.",
    )
    clips = bench.table.clips
    require(clips, "the manifest lists no clip.")
    require(len({clip.id for clip in clips}) == len(clips), "two clips of the manifest have the same id.")


@check(needs=("prepares",), cure="look first, make only what is missing")
def idempotent(subject: Subject) -> None:
    """Preparing a second time, by a new instance too, touches no file."""
    bench = bench_of(subject)
    content, before = bench.manifest.read_bytes(), bench.files()
    for plugin, who in ((bench.plugin, "the same instance"), (bench.fresh(), "a new instance")):
        again = manifest_of(plugin.prepare(bench.folder))
        remedy = "See whether the data are complete, and then leave them alone: every run calls prepare."
        require(again == bench.manifest, f"prepare by {who} returned {again} the second time, not {bench.manifest}.")
        require(again.read_bytes() == content, f"prepare by {who} wrote another manifest the second time. {remedy}")
        after = bench.files()
        touched = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
        require(not touched, f"prepare by {who} touched {_some(touched)} the second time. {remedy}")


@check(needs=("prepares",), cure="write paths relative to the manifest")
def opens(subject: Subject) -> None:
    """Every file that the manifest names is there, opens, and holds the clip."""
    bench = bench_of(subject)
    known: dict[Path, MediaInfo | str] = {}
    problems = [problem for clip in bench.table.clips for problem in _problems(clip, known)]
    require(
        not problems,
        f"{len(problems)} problem{'s' * (len(problems) > 1)}: {_some(problems)}. See 'mer dataset check'.",
    )


def _problems(clip: Clip, known: dict[Path, MediaInfo | str]) -> Iterator[str]:
    for path in filter(None, dict.fromkeys((clip.video, clip.audio))):
        if path not in known:
            known[path] = _probed(path)
        info = known[path]
        if isinstance(info, str):
            yield f"{clip.id}: {info}"
        elif info.duration is not None and (clip.start or 0.0) >= info.duration:
            yield f"{clip.id}: starts at {clip.start} s, but {path.name} ends at {info.duration:.2f} s"


def _probed(path: Path) -> MediaInfo | str:
    try:
        return probe(path)
    except MediaError as error:
        return error.message.rstrip(".")


def _some(items: list[str]) -> str:
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + more


CHECKS: tuple[Check, ...] = (light_import, options, prepares, idempotent, opens)
