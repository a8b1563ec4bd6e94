"""Frames of a video: upright, timed, and only those that somebody asked for.

One decoding pass serves any number of requests. Of each decoded frame only the reduced images that
were picked are kept, so memory follows the answer, not the length of the video.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from mer_core.errors import MediaError
from mer_core.inputs import FramesInput
from mer_core.media.container import Media, presented
from mer_core.media.picture import Shot
from mer_core.media.probe import MediaInfo, first_upright, media_info
from mer_core.media.sampling import TOLERANCE, Picker, RatePicker, TimePicker, segment_indices
from mer_core.types import Frames, Missing

if TYPE_CHECKING:
    from mer_core.aliases import ImageArray
    from mer_core.media.faces import FaceTrack

FACE_SIZE = 128
"""Side of an aligned face in pixels where the request names none."""


class VideoReader:
    """Reads the pictures of a media file between ``start`` and ``end`` (seconds). A context manager.

    Times it returns are presentation times from ``start``. Rotation, mirroring, pixel aspect and a
    variable frame rate are honoured. Codecs run on one thread; a reader belongs to one thread.

    Args:
        path: the file.
        start, end: segment in seconds on the file's clock, None for the whole.
        media: the same file, open already; it then stays open when the reader closes.

    Raises:
        MediaError: the file cannot be opened, has no video track, or no picture of it decodes.
    """

    def __init__(
        self, path: Path, start: float | None = None, end: float | None = None, media: Media | None = None
    ) -> None:
        self.path = path
        self.closed = False
        self._start = start or 0.0
        self._end = end
        self._owned = media is None
        self._media = media or Media(path)
        try:
            self._upright = first_upright(self._media)
        except MediaError:
            self.close()
            raise
        self.info: MediaInfo = media_info(self._media, self._upright)

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file (if the reader opened it)."""
        self.closed = True
        if self._owned:
            self._media.close()

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels of the upright image at full size."""
        return self._upright.size

    def stream(self, fps: float | None = None, max_side: int | None = None) -> PictureStream:
        """Frames one after the other, decoded while they are iterated; each iteration starts anew."""
        return self.stream_of(FramesInput(fps=fps, max_side=max_side, stream=True))

    def stream_of(self, request: FramesInput, track: FaceTrack | None = None) -> PictureStream:
        """As :meth:`stream`, for any request."""
        return PictureStream(self, request, track)

    def read(self, requests: Mapping[str, FramesInput], track: FaceTrack | None = None) -> dict[str, Frames | Missing]:
        """Serve all ``requests`` in one decoding pass; faces are cut where ``track`` has one.

        Returns:
            per request :class:`Frames` in order of time, Missing where it wants faces and there are
            none. ``count`` frames are exactly that many, repeated where the video has fewer.

        Raises:
            MediaError: no picture of the segment decodes.
        """
        plans = {request: self._plan(request, track) for request in requests.values()}
        taken: dict[FramesInput, list[Taken]] = {request: [] for request in plans}
        seen = False
        for time, shot in self._shots():
            seen = True
            for request, plan in plans.items():
                taken[request] += plan.offer(time, shot)
            if all(plan.done for plan in plans.values()):
                break
        if not seen:
            raise self._nothing()
        answers = {request: plan.answer(taken[request]) for request, plan in plans.items()}
        return {name: answers[request] for name, request in requests.items()}

    def picked(self, request: FramesInput, track: FaceTrack | None = None) -> Iterator[tuple[float, ImageArray]]:
        """``(time, image)`` of one request, lazily.

        Raises:
            MediaError: no picture of the segment decodes, or another pass over it began meanwhile.
        """
        plan = self._plan(request, track)
        seen = False
        for time, shot in self._shots():
            seen = True
            yield from ((taken[0], taken[1]) for taken in plan.offer(time, shot))
            if plan.done:
                return
        if not seen:
            raise self._nothing()

    def reopened(self) -> VideoReader:
        """A reader of its own over the same segment."""
        return VideoReader(self.path, self._start, self._end)

    def size_of(self, request: FramesInput) -> tuple[int, int]:
        """(width, height) of the images that answer ``request``."""
        side = request.size or FACE_SIZE
        return (side, side) if request.faces else self._upright.scaled(request.max_side)

    def _plan(self, request: FramesInput, track: FaceTrack | None) -> Plan:
        cutter = FaceCutter(track, self.size, request.size or FACE_SIZE) if request.faces else None
        if request.count is None:
            return Plan(RatePicker(request.fps), request.max_side, cutter)
        times = [time for time in self.timeline() if cutter is None or cutter.at(time) is not None]
        chosen = [times[index] for index in segment_indices(len(times), request.count)] if times else []
        return Plan(TimePicker(chosen), request.max_side, cutter, wanted=len(chosen))

    def timeline(self) -> list[float]:
        """Presentation times of the segment's frames, read from the packets without decoding."""
        base = self._media.base("picture")
        times = []
        for packet in self._media.packets("picture", self._start):
            if self._past_end(packet.dts, base):
                break
            stamp = packet.pts if packet.pts is not None else packet.dts
            if stamp is not None and not packet.is_discard:
                times.append(self._media.time(stamp, base) - self._start)
        inside = sorted({time for time in times if time >= -TOLERANCE and not self._after(time)})
        return [max(0.0, time) for time in inside] or [0.0]

    def _past_end(self, stamp: int | None, base: Any) -> bool:
        return stamp is not None and self._after(self._media.time(stamp, base) - self._start)

    def _after(self, time: float) -> bool:
        return self._end is not None and time >= self._end - self._start - TOLERANCE

    def _shots(self) -> Iterator[tuple[float, Shot]]:
        for time, frame in self._frames():
            yield time, Shot(frame, self._upright)

    def _frames(self) -> Iterator[tuple[float, Any]]:
        """(time, av frame) of the segment; if none begins in it, the one on screen at its start."""
        before: tuple[float, Any] | None = None
        empty, cut = True, False
        for moment, frame in self._media.frames("picture", self._start):
            time = moment - self._start
            if self._after(time):
                cut = True
                break
            if time < -TOLERANCE:
                before = time, frame
                continue
            empty, before = False, None
            yield max(0.0, time), frame
        if empty and before is not None and (cut or before[0] + self._shown(before[1]) > 0):
            yield 0.0, before[1]

    def _shown(self, frame: Any) -> float:
        return presented(frame) or 1 / (self.info.fps or 25)

    def _nothing(self) -> MediaError:
        return MediaError(
            f"no picture of {self.path} can be decoded" + (f" from {self._start} s on." if self._start else "."),
            "Check that it plays, and start and end if the row has them.",
        )


class PictureStream:
    """A :class:`~mer_core.types.FrameStream` over a reader; opens the file again if that is closed."""

    def __init__(self, reader: VideoReader, request: FramesInput, track: FaceTrack | None = None) -> None:
        self._reader = reader
        self._request = request
        self._track = track

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels of the images."""
        return self._reader.size_of(self._request)

    def __iter__(self) -> Iterator[tuple[float, ImageArray]]:
        if not self._reader.closed:
            yield from self._reader.picked(self._request, self._track)
            return
        with self._reader.reopened() as reader:
            yield from reader.picked(self._request, self._track)

    def timeline(self) -> list[float]:
        """Presentation times in seconds of all frames of the segment, read without decoding them."""
        if not self._reader.closed:
            return self._reader.timeline()
        with self._reader.reopened() as reader:
            return reader.timeline()


Taken = tuple[float, "ImageArray", float]
"""(time, image, quality) of a frame that was picked."""


class FaceCutter:
    """Cuts the aligned main face out of frames whose full size is ``size`` (width, height)."""

    def __init__(self, track: FaceTrack | None, size: tuple[int, int], side: int) -> None:
        self._track = track
        self._scale = (1.0, 1.0) if track is None else (size[0] / track.size[0], size[1] / track.size[1])
        self._side = side

    def at(self, time: float) -> tuple[Any, float] | None:
        """(points [K, 2] in pixels of the full frame, score) of the face at ``time``, if any."""
        found = self._track.at(time) if self._track is not None else None
        return None if found is None else (np.asarray(found[0]) * self._scale, float(found[1]))

    def cut(self, time: float, shot: Shot) -> Taken | None:
        """The aligned face at ``time``, None where there is none."""
        from mer_core.media.align import crop_face

        found = self.at(time)
        if found is None or self._track is None:
            return None
        outline = self._track.outline(time)
        outline = None if outline is None else outline * self._scale
        return time, crop_face(shot.image(), found[0], size=self._side, outline=outline), found[1]


class Plan:
    """One request while its frames come by: what is still wanted, and how it is cut."""

    def __init__(
        self, picker: Picker, max_side: int | None = None, cutter: FaceCutter | None = None, wanted: int | None = None
    ) -> None:
        self._picker = picker
        self._max_side = max_side
        self._cutter = cutter
        self._wanted = wanted

    @property
    def done(self) -> bool:
        """Nothing more is wanted."""
        return self._picker.done

    def offer(self, time: float, shot: Shot) -> list[Taken]:
        """What this request takes of the frame at ``time``: nothing, it, or it several times."""
        copies = self._picker.wants(time)
        taken = self._cut(time, shot) if copies else None
        if taken is None:
            return []
        self._picker.take(time)
        return [taken] * copies

    def _cut(self, time: float, shot: Shot) -> Taken | None:
        return self._cutter.cut(time, shot) if self._cutter else (time, shot.image(self._max_side), 1.0)

    def answer(self, taken: list[Taken]) -> Frames | Missing:
        """What was taken as one block; the last frame stands for any that never came."""
        if not taken:
            return Missing("no face in view" if self._cutter else "no picture can be decoded")
        if self._wanted is not None:
            taken = taken + [taken[-1]] * (self._wanted - len(taken))
        times, images, quality = zip(*taken, strict=True)
        return Frames(np.stack(images), np.array(times, dtype=np.float64), np.array(quality, dtype=np.float32))
