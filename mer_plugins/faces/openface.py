"""The ``openface`` deriver: the main face of a clip from OpenFace 2, run here or before.

From OpenFace's landmarks follows the transform with which it aligns the face; what is stored are the five
points that lead mer's own aligner to the same crop, and the outline of OpenFace's mask. Where there are only
pictures (MERTools' .npy, an aligned folder), these are the faces. OpenFace itself is no part of mer: its
licence is academic.
Source: Baltrusaitis et al., OpenFace 2.0 (2018).
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer_core.media.align import apply, fit_landmarks, target_points, with_forehead
from mer_core.media.crops import BLACK, StoredFaces, open_pictures, pictures_digest
from mer_core.media.faces import FaceTrack
from mer_core.plugin import BoolArray, DataError, Derived, Failure, FrameStream, IntArray, MerError, Missing, Sample
from mer_plugins.faces.openface_options import OpenFaceOptions
from mer_plugins.faces.openface_output import Output, find_output, keep_output, picture_numbers
from mer_plugins.faces.openface_run import command, run, write_frames
from mer_plugins.faces.openface_shape import own_shape, read_shape
from mer_plugins.faces.openface_table import Table, read_table

Floats = NDArray[np.float64]

NOWHERE = -10_000.0
"""Pixels: a face there is outside of every picture, so that its crop is black."""

LONGER = 2
"""Output of so many times the clip's frames is that of another video, or of the whole of which it is a part."""


@dataclass(frozen=True, slots=True)
class Clock:
    """When frames are shown: all times of the clip in seconds, (width, height) of its pictures.

    ``given``: these very frames were given to OpenFace; else it read a video of its own.
    """

    times: Sequence[float]
    size: tuple[int, int]
    given: bool = False

    def of(self, frames: IntArray, count: int, stamps: Floats | None = None) -> Floats:
        """[T] seconds of ``frames`` (from 1) of ``count``; by ``stamps`` where the clip has another number.

        Raises:
            DataError: there are far more frames than the clip has.
        """
        known = np.asarray(self.times, np.float64)
        if count > (len(known) if self.given else LONGER * len(known) + LONGER):
            what = f"OpenFace's output has {count} frames, and the clip has {len(known)}."
            raise DataError(what, "Run it on this clip, not on a longer video; clips are found by their id.")
        if self.given or count == len(known):
            return known[frames - 1]
        if stamps is not None and np.isfinite(stamps).all():
            return stamps
        return np.interp(frames - 1, np.linspace(0, max(1, count - 1), len(known)), known)


class OpenFace:
    """Finds the main face; one instance per thread."""

    def __init__(self, options: OpenFaceOptions | None = None, device: str = "cpu") -> None:
        self.options = options or OpenFaceOptions()
        if self.options.folder is None:
            self._program = self.options.program()
        elif not self.options.folder.is_dir():
            raise DataError(f"openface: there is no folder {self.options.folder}.", "Check -o openface.folder.")
        place = self.options.mean_shape()
        self._shape = own_shape() if place is None else read_shape(place)

    def derive(self, batch: Sequence[Sample]) -> list[Derived | Missing | Failure]:
        """One face track, or stored faces, per sample."""
        return [self._derive_one(sample) for sample in batch]

    def _derive_one(self, sample: Sample) -> Derived | Missing | Failure:
        frames = sample.inputs["frames"]
        if isinstance(frames, Missing | Failure):
            return frames
        try:
            found = self._read(sample.id, frames) if self.options.folder else self._run(sample.id, frames)
        except MerError as error:
            return Failure(str(error), stage="faces")
        except OSError as error:
            return Failure(f"{error.filename or 'a file'}: {error.strerror or error}", stage="faces")
        return found if isinstance(found, Missing) else found.to_derived()

    def _read(self, clip: str, frames: FrameStream) -> FaceTrack | StoredFaces | Missing:
        assert self.options.folder is not None
        output = find_output(self.options.folder, clip)
        return self._faces(output, Clock(timeline(frames), frames.size))

    def _run(self, clip: str, frames: FrameStream) -> FaceTrack | StoredFaces | Missing:
        with tempfile.TemporaryDirectory(prefix="mer-openface-") as place:
            top = Path(place)
            clock = Clock(write_frames(frames, top / "frames"), frames.size, given=True)
            if not clock.times:
                return Missing("no frames to look for a face in")
            words = command(self._program, top / "frames", top / "out", self.options)
            output = Output(run(words, top / "out", self.options.timeout), None)
            if self.options.keep is not None:
                output = keep_output(top / "out", self.options.keep, clip)
            return self._faces(output, clock)

    def _faces(self, output: Output, clock: Clock) -> FaceTrack | StoredFaces | Missing:
        table = None if output.table is None else read_table(output.table).main()
        wanted = "pictures" if self.options.pictures else self.options.take
        if table is not None and table.has_points and wanted != "pictures":
            return self._track(table, clock)
        if output.pictures is not None and wanted != "landmarks":
            return self._stored(output.pictures, table, clock)
        if table is not None and not len(table):
            return Missing("OpenFace found no face: its table is empty")
        what = "aligned pictures" if wanted == "pictures" else "landmarks (columns x_0 and so on)"
        raise DataError(f"{output.table or output.pictures} comes without {what}.", "Run OpenFace with them.")

    def _track(self, table: Table, clock: Clock) -> FaceTrack | Missing:
        good = table.laid_out() & table.tracked(self.options.min_confidence, self.options.require_success)
        source = _filled(good, self.options.on_missing)
        if not good.any():
            return Missing(f"OpenFace found no face in {len(table)} frames")
        times = clock.of(table.frames, int(table.frames.max()), table.stamps)
        kept = np.flatnonzero(source != UNUSED)
        boxes, points, outlines = self._places(table, source[kept])
        scores = np.where(good, np.clip(table.confidence, 0, 1), 0.0)[kept]
        shown: Any = outlines.astype(np.float32) if self.options.mask else None
        return FaceTrack(times[kept], boxes, points, scores, clock.size, len(table), shown)

    def _places(self, table: Table, source: IntArray) -> tuple[Floats, Floats, Floats]:
        """Boxes [K, 4], five points [K, 5, 2] and outlines [K, 68, 2] of rows (``BLACK``: out of view)."""
        boxes = np.tile([NOWHERE, NOWHERE, 128.0, 128.0], (len(source), 1))
        points = np.tile(target_points(128) + NOWHERE, (len(source), 1, 1))
        outlines = np.full((len(source), *table.points.shape[1:]), NOWHERE)
        for place, row in enumerate(source):
            if row != BLACK:
                landmarks, centre = table.points[row], table.centres[row]
                boxes[place] = box_of(landmarks)
                points[place] = five_points(landmarks, self._shape, centre)
                outlines[place] = with_forehead(landmarks, alignment(landmarks, self._shape, centre))
        return boxes, points, outlines

    def _stored(self, place: Path, table: Table | None, clock: Clock) -> StoredFaces | Missing:
        shown = open_pictures(place)
        frames, pictures, scores = _pictured(place, len(shown), table, self.options)
        good = np.array([number != BLACK and bool(shown[number].any()) for number in pictures], bool)
        if not good.any():
            return Missing(f"OpenFace found no face: {place.name} shows none in {len(frames)} frames")
        source = _filled(good, self.options.on_missing)
        kept = np.flatnonzero(source != UNUSED)
        numbers = np.where(source[kept] == BLACK, BLACK, pictures[source[kept]])
        stamps = None if table is None or len(table) != len(frames) else table.stamps
        times = clock.of(frames, int(frames.max()), stamps)[kept]
        scores = np.where(good, scores, 0.0)[kept]
        return StoredFaces(times, numbers, scores, place.absolute(), pictures_digest(place), len(frames))


UNUSED = -2


def _filled(good: BoolArray, on_missing: str) -> IntArray:
    """[T]: which row stands for each row; ``BLACK`` for a black picture, ``UNUSED`` to leave it out."""
    rows = np.arange(len(good))
    if on_missing == "repeat_last":
        last = np.maximum.accumulate(np.where(good, rows, -1))
        return np.where(last >= 0, last, UNUSED)
    return np.where(good, rows, BLACK if on_missing == "zeros" else UNUSED)


def _pictured(
    place: Path, count: int, table: Table | None, options: OpenFaceOptions
) -> tuple[IntArray, IntArray, Floats]:
    """Frames [T] from 1, the picture of each (``BLACK``: none that is wanted) and its score."""
    if place.is_dir():
        by_frame = picture_numbers(place, None if table is None or not len(table) else int(table.faces[0]))
    else:
        by_frame = {number + 1: number for number in range(count)}
    if table is None or not len(table) or (not place.is_dir() and count != len(table)):
        frames = np.array(sorted(by_frame), np.int64)
        return frames, np.array([by_frame[int(f)] for f in frames], np.int64), np.ones(len(frames))
    good = table.tracked(options.min_confidence, options.require_success)
    pictures = [by_frame.get(int(f), BLACK) if fine else BLACK for f, fine in zip(table.frames, good, strict=True)]
    return table.frames, np.array(pictures, np.int64), np.clip(table.confidence, 0, 1)


def alignment(landmarks: Floats, shape: Floats, centre: Floats | None = None) -> tuple[Floats, Floats]:
    """OpenFace's transform of ``landmarks`` [68, 2] into a crop of 128 px.

    ``centre`` is the shape model's translation (p_tx, p_ty), NaN or None where it is not known.
    """
    known = centre is not None and np.isfinite(centre).all()
    return fit_landmarks(landmarks, shape, 128, centre if known else None)


def five_points(landmarks: Floats, shape: Floats, centre: Floats | None = None) -> Floats:
    """Five points [5, 2] that mer's aligner brings where :func:`alignment` does."""
    matrix, shift = alignment(landmarks, shape, centre)
    back = np.linalg.inv(matrix).astype(np.float64)
    return apply((back, -back @ shift), target_points(128))


def box_of(landmarks: Floats) -> Any:
    """(x, y, width, height) around ``landmarks`` [68, 2]."""
    least, most = landmarks.min(0), landmarks.max(0)
    return (*least, *(most - least))


def timeline(frames: FrameStream) -> list[float]:
    """Times of all frames; without decoding them where the stream knows them."""
    known = getattr(frames, "timeline", None)
    return list(known()) if callable(known) else [time for time, _ in frames]
