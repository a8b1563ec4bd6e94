"""Opening media files and walking through their frames, whatever state they are in.

PyAV raises many kinds of errors and none at all for a truncated file. Here every file that cannot
be used becomes a :class:`~mer_core.errors.MediaError` that names it, packets that do not decode are
skipped, and every frame gets a time in seconds on the file's clock, which starts with the earliest
of its streams, so that sound and pictures share it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import av
import av.error
from av.stream import Disposition

from mer_core.errors import MediaError
from mer_core.media.sampling import TOLERANCE

GUESSED_TIMES = frozenset({"mp3", "aac", "ac3", "eac3"})
"""Formats that are only seekable by guessing from the bit rate; decoded from the start instead."""

Kind = Literal["sound", "picture"]


class Media:
    """An open media file. A context manager; codecs run on one thread.

    ``packets_read`` and ``packets_damaged`` count what the current walk has met.

    Args:
        path: a local file.

    Raises:
        MediaError: the file is missing, empty, unreadable, or holds neither sound nor pictures.
    """

    def __init__(self, path: Path) -> None:
        check_file(path)
        self.path = path
        self.packets_read = self.packets_damaged = 0
        self._walks = 0
        self._stale: list[Any] = []
        self._open()
        if self.sound is None and self.picture is None:
            self.close()
            raise MediaError(f"{path} holds neither sound nor pictures.", "Point the row at an audio or video file.")

    def _open(self) -> None:
        try:
            self.container: Any = av.open(
                str(self.path.absolute()), container_options={"protocol_whitelist": "file"}, metadata_errors="replace"
            )
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise unreadable(self.path, error) from error
        self.sound = _one_thread(next(iter(self.container.streams.audio), None))
        self.picture = _one_thread(next((s for s in self.container.streams.video if not _is_cover(s)), None))
        self.origin = _origin(self.container)

    def __enter__(self) -> Media:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; harmless if it is closed already."""
        self._walks += 1
        for container in [*self._stale, self.container]:
            container.close()

    def stream(self, kind: Kind) -> Any:
        """The ``av`` stream of that kind.

        Raises:
            MediaError: there is none, or no decoder for it.
        """
        found = self.sound if kind == "sound" else self.picture
        if found is None:
            raise MediaError(f"{self.path} has no {kind} track.", "Leave the cell empty or name another file.")
        if found.codec_context is None:
            raise MediaError(f"the {kind} of {self.path} has an unknown coding.", "Convert it to H.264 and AAC in mp4.")
        return found

    def duration(self, kind: Kind) -> float | None:
        """Seconds that the track (or else the file) claims to last; None where it claims nothing."""
        stream = self.sound if kind == "sound" else self.picture
        if stream is not None and stream.duration and stream.time_base:
            return float(stream.duration * stream.time_base)
        return float(self.container.duration / av.time_base) if self.container.duration else None

    def frames(self, kind: Kind, since: float = 0.0, preroll: float = 0.0) -> Iterator[tuple[float, Any]]:
        """``(time, av frame)`` of a track in order of presentation, from ``since`` or earlier.

        Seeks to a key frame at least ``preroll`` seconds earlier (codecs have memory); where
        seeking misses, decodes from the start of the file. Frames without a time follow the one
        before them. Damaged packets are skipped. A file can be walked only once at a time.

        Raises:
            MediaError: while iterating, if another walk over the same file began.
        """
        walk = self._begin()
        for time, frame in self._walk(kind, since, preroll):
            yield time, frame
            if walk != self._walks:
                raise MediaError(f"{self.path}: a second pass over it began.", "Finish one iteration before the next.")

    def _walk(self, kind: Kind, since: float, preroll: float) -> Iterator[tuple[float, Any]]:
        if since - preroll > 0 and self._indexed and self._seek(kind, since - preroll):
            frames = self._decoded(kind)
            first = next(frames, None)
            if first is not None and first[0] is not None and first[0] <= since + TOLERANCE:
                yield from _in_order([first], frames, self._step(kind))
                return
        self.rewind(kind)
        yield from _in_order([], self._decoded(kind), self._step(kind))

    @property
    def _indexed(self) -> bool:
        return self.container.format.name not in GUESSED_TIMES

    def _begin(self) -> int:
        self._walks += 1
        self.packets_read = self.packets_damaged = 0
        return self._walks

    def packets(self, kind: Kind, since: float = 0.0) -> Iterator[Any]:
        """Undecoded packets of a track from ``since`` or earlier, in the order of the file."""
        self._begin()
        if since <= 0 or not self._seek(kind, since):
            self.rewind(kind)
        yield from self._packets(kind)

    def base(self, kind: Kind) -> Fraction:
        """The unit of a track's time stamps, in seconds."""
        return self.stream(kind).time_base or Fraction(1, av.time_base)

    def time(self, stamp: int, base: Fraction) -> float:
        """A time stamp in units of ``base`` as seconds on the file's clock."""
        return float(stamp * base) - self.origin

    def rewind(self, kind: Kind) -> None:
        """Go back to the first packet of a track; opens the file again where it allows no seeking."""
        start = self.stream(kind).start_time or 0
        if not (self._seek_to(kind, min(start, 0)) or self._seek_to(kind, start)):
            self._stale.append(self.container)  # closing it would pull its streams from under their users
            self._open()

    def _seek(self, kind: Kind, time: float) -> bool:
        return self._seek_to(kind, int((time + self.origin) / self.base(kind)))

    def _seek_to(self, kind: Kind, offset: int) -> bool:
        try:
            self.container.seek(offset, stream=self.stream(kind), backward=True)
        except (av.error.FFmpegError, OSError):
            return False
        return True

    def _step(self, kind: Kind) -> float:
        """Seconds between frames where the frames themselves do not say."""
        rate = getattr(self.stream(kind), "average_rate", None) or 25
        return float(1 / rate)

    def _decoded(self, kind: Kind) -> Iterator[tuple[float | None, Any]]:
        base = self.base(kind)
        for frame in self._raw(kind):
            stamp = frame.pts if frame.pts is not None else frame.dts
            yield (None if stamp is None else self.time(stamp, frame.time_base or base)), frame

    def _raw(self, kind: Kind) -> Iterator[Any]:
        for packet in self._packets(kind):
            yield from self._decode(packet.decode)
        codec = self.stream(kind).codec_context
        yield from self._decode(lambda: codec.decode(None))

    def _decode(self, step: Callable[[], list[Any]]) -> list[Any]:
        """The frames that a step of the decoder gives; none, and counted, where it fails."""
        try:
            return list(step())
        except EOFError:
            return []
        except av.error.FFmpegError:
            self.packets_damaged += 1
            return []

    def _packets(self, kind: Kind) -> Iterator[Any]:
        reading = self.container.demux(self.stream(kind))
        while True:
            try:
                packet = next(reading)
            except IndexError:  # PyAV met a track that the header did not name
                reading = self.container.demux(self.stream(kind))
                continue
            except (StopIteration, av.error.FFmpegError):
                return
            if packet.size:
                self.packets_read += 1
                yield packet


def _in_order(
    first: list[tuple[float | None, Any]], rest: Iterator[tuple[float | None, Any]], step: float
) -> Iterator[tuple[float, Any]]:
    """Times strictly increasing: a frame without one, or that goes back, follows the one before."""
    due: float | None = None
    last = -float("inf")
    for source in (first, rest):
        for time, frame in source:
            now = time if time is not None and time > last else (due or 0.0)
            last, due = now, now + (presented(frame) or step)
            yield now, frame


def presented(frame: Any) -> float:
    """How long an av frame lasts, in seconds; 0 where the file does not say."""
    if getattr(frame, "sample_rate", 0):
        return float(frame.samples / frame.sample_rate)
    return float(frame.duration * frame.time_base) if frame.duration and frame.time_base else 0.0


def check_file(path: Path) -> None:
    """Refuse what is no file with content.

    Raises:
        MediaError: saying which of the two it is.
    """
    if not path.exists():
        raise MediaError(f"{path} does not exist.", "Correct the path; paths are relative to the manifest.")
    if not path.is_file():
        raise MediaError(f"{path} is not a file.", "Point the row at an audio or video file.")
    if path.stat().st_size == 0:
        raise MediaError(f"{path} is empty.", "Copy or download it again.")


def unreadable(path: Path, error: Exception) -> MediaError:
    """The MediaError for a file that a library refused."""
    if isinstance(error, PermissionError):
        return MediaError(f"{path} may not be read.", "Change its permissions.")
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return MediaError(f"{path} cannot be read as media ({reason}).", "Check that it plays; copy or download it again.")


def _one_thread(stream: Any | None) -> Any | None:
    if stream is not None and stream.codec_context is not None:
        stream.codec_context.thread_type = "NONE"
        stream.codec_context.thread_count = 1
    return stream


def _is_cover(stream: Any) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)


def _origin(container: Any) -> float:
    """Start of the file's clock; slightly negative means priming, which decoders drop."""
    start = float((container.start_time or 0) / av.time_base)
    return 0.0 if -0.5 < start < 0 else start
