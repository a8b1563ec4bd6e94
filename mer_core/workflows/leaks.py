"""What training and test must not share: the same media, the same speaker."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from mer_core.data.tables import Finding
from mer_core.types import Clip

SAME_SHARE = 0.5
"""Two segments of one recording count as the same if they share more than this of the shorter one."""


def split_of(clip: Clip) -> str:
    """The clip's split; ``train`` where the manifest does not say."""
    return clip.split or "train"


def find_leaks(clips: Sequence[Clip], rows: Sequence[int | None], files: Collection[Path]) -> list[Finding]:
    """Identical media under two ids, and speakers in more than one of train, val and test.

    Args:
        files: media that can be read; only files of equal size are hashed.
    """
    return [*_same_media(clips, rows, files), *_shared_speakers(clips, rows)]


@dataclass(frozen=True, slots=True)
class _Piece:
    """One clip's part of a recording, in seconds."""

    clip: Clip
    row: int | None
    start: float
    end: float

    def repeats(self, other: _Piece) -> bool:
        """Whether the two share most of the shorter one."""
        if (self.start, self.end) == (other.start, other.end):
            return True
        shared = min(self.end, other.end) - max(self.start, other.start)
        return shared > SAME_SHARE * min(self.end - self.start, other.end - other.start)


def _same_media(clips: Sequence[Clip], rows: Sequence[int | None], files: Collection[Path]) -> Iterator[Finding]:
    digests = _contents(files)
    recordings: dict[tuple[str | None, str | None], list[_Piece]] = {}
    for clip, row in zip(clips, rows, strict=True):
        key = (_content(clip.video, digests), _content(clip.audio, digests))
        if any(key):
            end = clip.end if clip.end is not None else math.inf
            recordings.setdefault(key, []).append(_Piece(clip, row, clip.start or 0.0, end))
    for pieces in recordings.values():
        yield from _repeats(pieces)


def _content(path: Path | None, digests: dict[Path, str]) -> str | None:
    return digests.get(path) if path is not None else None


def _contents(files: Collection[Path]) -> dict[Path, str]:
    """What stands for each file's content: a digest where another file has its size, else its path."""
    real = {path: path.resolve() for path in files}
    sizes = {path: path.stat().st_size for path in set(real.values())}
    shared = Counter(sizes.values())
    content = {path: _digest(path) if shared[size] > 1 else f"only {path}" for path, size in sizes.items()}
    return {path: content[resolved] for path, resolved in real.items()}


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _repeats(pieces: list[_Piece]) -> Iterator[Finding]:
    """For each piece that repeats an earlier one, a finding; another split's comes first.

    Of the earlier pieces only each split's last-ending one is looked at.
    """
    latest: dict[str, _Piece] = {}
    for piece in sorted(pieces, key=lambda p: (p.start, p.end)):
        split = split_of(piece.clip)
        others = sorted(latest.items(), key=lambda item: item[0] == split)
        found = next((other for _, other in others if piece.clip.id != other.clip.id and piece.repeats(other)), None)
        if found is not None:
            yield _repeat_finding(*sorted((found, piece), key=lambda p: p.row or 0))
        if split not in latest or piece.end > latest[split].end:
            latest[split] = piece


def _repeat_finding(first: _Piece, second: _Piece) -> Finding:
    one, two = split_of(first.clip), split_of(second.clip)
    where = f" (row {first.row})" if first.row is not None else ""
    if one == two:
        message = f"the same media as clip {first.clip.id!r}{where}"
        remedy = "Remove one; in cross-validation one may be learnt from and the other scored."
        return Finding(second.row, second.clip.id, "warning", "same-media", message, remedy)
    message = f"in {two}, the same media as clip {first.clip.id!r}{where} in {one}"
    level = "warning" if "unlabelled" in (one, two) else "error"
    return Finding(second.row, second.clip.id, level, "same-media-across-splits", message, "Keep it in one split.")


def _shared_speakers(clips: Sequence[Clip], rows: Sequence[int | None]) -> Iterator[Finding]:
    first: dict[str, dict[str, int]] = {}
    for index, clip in enumerate(clips):
        if clip.speaker is not None and split_of(clip) != "unlabelled":
            first.setdefault(clip.speaker, {}).setdefault(split_of(clip), index)
    for speaker, splits in first.items():
        for one, two in combinations([name for name in ("train", "val", "test") if name in splits], 2):
            index = splits[two]
            message = f"speaker {speaker!r} is in {one} and in {two}"
            remedy = "Give each speaker to one split; else the score is not one on new speakers."
            yield Finding(rows[index], clips[index].id, "warning", "shared-speaker", message, remedy, "speaker")
