"""Opens every file of a data set and lists, row by row, what would spoil a result.

Nothing stops at the first problem; only a table that cannot be read at all raises.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue

from mer_core.data.dataset import Scan, scan_clips
from mer_core.data.tables import Finding
from mer_core.data.vocabulary import collision_notes, collisions
from mer_core.errors import MediaError
from mer_core.media.audio import refuse_nonfinite
from mer_core.media.probe import MediaInfo, decoded_share, probe
from mer_core.protocols import Progress
from mer_core.target_choice import Names
from mer_core.types import Clip
from mer_core.workflows.leaks import find_leaks, split_of

WHOLE = 0.95
"""A file of which less than this share of the declared duration decodes counts as truncated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """What a data set holds and what is wrong with it.

    Attributes:
        rows: findings in row order; those about the whole table first.
        class_counts: labelled clips per class, in class order.
        splits: clips per split; clips without one count as ``train``.
        class_splits: per class, its clips per split.
        modalities: clips with ``sound``, ``picture`` and ``text``.
        speakers: number of distinct speakers, 0 where unknown.
        hours: length of all clips together, files that open only.
        notes: how columns and labels were read; no problems.
    """

    source: Path
    rows: tuple[Finding, ...]
    n_clips: int
    class_counts: Mapping[str, int]
    splits: Mapping[str, int]
    class_splits: Mapping[str, Mapping[str, int]]
    modalities: Mapping[str, int]
    speakers: int
    hours: float
    notes: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not self.rows

    @property
    def errors(self) -> int:
        """How many findings are errors; the others are warnings."""
        return sum(finding.level == "error" for finding in self.rows)


@dataclass(frozen=True, slots=True)
class _File:
    """What opening one file told: ``info`` and the ``share`` that decodes, or the problem."""

    info: MediaInfo | None = None
    share: float = 1.0
    kind: str = ""
    message: str = ""
    remedy: str = ""


@dataclass(slots=True)
class _Folders:
    """Remembers folder listings, to suggest the file that was probably meant."""

    seen: dict[Path, dict[str, str]] = field(default_factory=dict)

    def like(self, path: Path) -> str | None:
        """A file beside ``path`` whose name differs in case or ending only."""
        if path.parent not in self.seen:
            names = sorted(os.listdir(path.parent)) if path.parent.is_dir() else []
            self.seen[path.parent] = {Path(name).stem.casefold(): name for name in names}
        return self.seen[path.parent].get(path.stem.casefold())


def check_dataset(
    path: Path,
    columns: Mapping[str, str] | None = None,
    label_map: Mapping[str, str] | None = None,
    values: Names = (),
    votes: Names = (),
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> CheckReport:
    """Read ``path`` as :func:`mer_core.data.dataset.load_clips` does, decode every file, list all problems.

    Args:
        workers: decoding threads; None for all cores.

    Raises:
        DataError: the table cannot be read at all, or has no ``id`` column.
    """
    scan = scan_clips(path, columns, label_map, values, votes)
    files = _open_all(scan, workers or os.cpu_count() or 1, progress)
    variants = _variants(scan, label_map or {})
    findings = [*scan.findings, *variants, *_row_findings(scan, files)]
    findings += find_leaks(scan.clips, scan.rows, {path for path, file in files.items() if file.info})
    known = {finding.message for finding in variants}
    notes = tuple(note for note in scan.notes if not any(note.startswith(message) for message in known))
    return _report(scan, files, sorted(findings, key=_by_row), notes)


def _by_row(finding: Finding) -> tuple[int, int]:
    return (finding.row or 0, finding.level != "error")


def _open_all(scan: Scan, workers: int, progress: Progress | None) -> dict[Path, _File]:
    """Every distinct media file, opened and decoded once."""
    paths = list(dict.fromkeys(path for clip in scan.clips for path in (clip.video, clip.audio) if path is not None))
    folders = _Folders()
    files = {path: file for path in paths if (file := _absent(path, folders)) is not None}
    present = [path for path in paths if path not in files]
    for done, (path, file) in enumerate(_in_threads(present, workers), len(files) + 1):
        files[path] = file
        if progress is not None:
            progress("check", done, len(paths), path.name)
    return files


def _in_threads(paths: Sequence[Path], workers: int) -> Iterator[tuple[Path, _File]]:
    """``_open`` for every path, in order of completion.

    The threads are daemons: a long file still being decoded does not hold up Ctrl-C.
    """
    waiting: SimpleQueue[Path] = SimpleQueue()
    done: SimpleQueue[tuple[Path, _File]] = SimpleQueue()
    for path in paths:
        waiting.put(path)
    for number in range(min(workers, len(paths))):
        threading.Thread(target=_work, args=(waiting, done), name=f"mer-check-{number}", daemon=True).start()
    try:
        for _ in paths:
            yield done.get()
    finally:
        with suppress(Empty):
            while True:
                waiting.get_nowait()


def _work(waiting: SimpleQueue[Path], done: SimpleQueue[tuple[Path, _File]]) -> None:
    while True:
        try:
            path = waiting.get_nowait()
        except Empty:
            return
        done.put((path, _open(path)))


def _absent(path: Path, folders: _Folders) -> _File | None:
    if path.is_file():
        return None
    if path.is_dir():
        return _File(kind="missing-file", message=f"{path} is a folder", remedy="Name a media file in it.")
    what = "does not exist"
    like = folders.like(path)
    remedy = f"The folder has {like!r}; correct the cell." if like else "Correct the path, or put the file there."
    return _File(kind="missing-file", message=f"{path} {what}", remedy=remedy)


def _open(path: Path) -> _File:
    try:
        info = probe(path)
        refuse_nonfinite(path)
        return _File(info, decoded_share(path) if info.has_audio or info.has_video else 0.0)
    except MediaError as error:
        return _File(kind="unreadable", message=error.message.rstrip("."), remedy=error.hint)
    except Exception as error:  # a decoder may raise anything, and one file must not end the check
        message = f"{path} cannot be decoded ({type(error).__name__}: {error})"
        return _File(kind="unreadable", message=message, remedy="Convert it again from its source.")


def _row_findings(scan: Scan, files: Mapping[Path, _File]) -> Iterator[Finding]:
    for clip, row in zip(scan.clips, scan.rows, strict=True):
        for column, path in (("video", clip.video), ("audio", clip.audio)):
            if path is not None:
                yield from _file_findings(clip, row, column, path, files[path])
        if "text" in scan.columns and clip.text is None and (clip.video or clip.audio):
            remedy = "Write what is said; a clip without transcript has no text modality."
            yield Finding(row, clip.id, "warning", "empty-text", "the text is empty", remedy, "text")


def _file_findings(clip: Clip, row: int | None, column: str, path: Path, file: _File) -> Iterator[Finding]:
    def finding(level: str, kind: str, message: str, remedy: str) -> Finding:
        return Finding(row, clip.id, level, kind, message, remedy, column)

    if file.info is None:
        yield finding("error", file.kind, file.message, file.remedy)
        return
    yield from (finding(*found) for found in _stream_problems(clip, column, path, file.info))
    if file.share < WHOLE and (file.info.has_audio or file.info.has_video):
        length = f" of its {file.info.duration:.1f} s" if file.info.duration else ""
        message = f"{path.name} is truncated: {file.share:.0%}{length} decodes"
        yield finding("error", "truncated", message, "Copy or download it again.")
    yield from (finding(*found) for found in _segment_problems(clip, path, file.info))


def _stream_problems(clip: Clip, column: str, path: Path, info: MediaInfo) -> Iterator[tuple[str, str, str, str]]:
    if not info.has_audio and not info.has_video:
        yield "error", "no-stream", f"{path.name} holds neither sound nor pictures", "Replace the file."
    elif column == "audio" and not info.has_audio:
        yield "error", "no-audio", f"{path.name} has no sound track", "Name a file with sound, or empty the cell."
    elif column == "video" and not info.has_video:
        remedy = "Name it in the column 'audio' instead; the clip has no image and video modality."
        yield "error", "no-video", f"{path.name} has no pictures", remedy
    elif column == "video" and not info.has_audio and clip.audio is None:
        remedy = "If its sound is in another file, name that in the column 'audio'; else it has no speech modality."
        yield "warning", "no-audio", f"{path.name} has no sound track", remedy


def _segment_problems(clip: Clip, path: Path, info: MediaInfo) -> Iterator[tuple[str, str, str, str]]:
    if info.duration is None:
        return
    remedy = "Give start and end in seconds from the file's beginning."
    if clip.start is not None and clip.start >= info.duration:
        message = f"start {clip.start:g} s is after the end of {path.name} ({info.duration:.2f} s)"
        yield "error", "segment", message, remedy
    elif clip.end is not None and clip.end > info.duration + 0.1:
        message = f"end {clip.end:g} s is after the end of {path.name} ({info.duration:.2f} s)"
        yield "warning", "segment", message, remedy


def _variants(scan: Scan, label_map: Mapping[str, str]) -> list[Finding]:
    """Labels that may mean the same, unless the user asked for just these."""
    asked = set(label_map.values())
    counts = Counter(clip.label for clip in scan.clips if clip.label is not None)
    notes = collision_notes((group for group in collisions(counts) if not set(group) <= asked), counts)
    parts = (note.partition(". ") for note in notes)
    return [Finding(None, None, "warning", "label-variants", what, f"{how}.") for what, _, how in parts]


def _report(
    scan: Scan, files: Mapping[Path, _File], findings: Sequence[Finding], notes: tuple[str, ...]
) -> CheckReport:
    labelled = [clip for clip in scan.clips if clip.label is not None]
    classes = scan.targets.classes
    return CheckReport(
        source=scan.source,
        rows=tuple(findings),
        n_clips=len(scan.clips),
        class_counts={name: sum(clip.label == name for clip in labelled) for name in classes},
        splits=dict(Counter(map(split_of, scan.clips))),
        class_splits={name: dict(Counter(split_of(c) for c in labelled if c.label == name)) for name in classes},
        modalities=_modalities(scan.clips, files),
        speakers=len({clip.speaker for clip in scan.clips if clip.speaker is not None}),
        hours=sum(_seconds(clip, files) for clip in scan.clips) / 3600,
        notes=notes,
    )


def _modalities(clips: Iterable[Clip], files: Mapping[Path, _File]) -> dict[str, int]:
    counts = {"sound": 0, "picture": 0, "text": 0}
    for clip in clips:
        sound, picture = _info(clip.sound, files), _info(clip.video, files)
        counts["sound"] += sound is not None and sound.has_audio
        counts["picture"] += picture is not None and picture.has_video
        counts["text"] += clip.text is not None
    return counts


def _info(path: Path | None, files: Mapping[Path, _File]) -> MediaInfo | None:
    return files[path].info if path is not None else None


def _seconds(clip: Clip, files: Mapping[Path, _File]) -> float:
    """Length of the clip inside its file, 0 where unknown."""
    info = _info(clip.video, files) or _info(clip.audio, files)
    whole = info.duration if info is not None and info.duration is not None else 0.0
    end = min(clip.end, whole) if clip.end is not None else whole
    return max(0.0, end - (clip.start or 0.0))


__all__ = ["CheckReport", "Finding", "check_dataset"]
