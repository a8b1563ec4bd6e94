"""Aligned faces that were cut before: pictures in a file or folder, in place of a track to cut along.

A deriver of ``faces`` makes a :class:`mer_core.media.faces.FaceTrack` where it knows where the face is, and
:class:`StoredFaces` where all that is left are pictures of it. Both are stored as a
:class:`mer_core.types.Derived`; what reads aligned faces does not see the difference.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mer_core.errors import MediaError
from mer_core.inputs import FramesInput
from mer_core.media.sampling import RatePicker, segment_indices
from mer_core.types import Derived, Frames, Missing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mer_core.aliases import ImageArray, IntArray

    Array = NDArray[np.float64]

SUFFIXES = (".bmp", ".png", ".jpg", ".jpeg")
SIDE = 128
"""Side of a face in pixels where the request names none."""

BLACK = -1
"""Number of a picture that is not there: a black one stands for it."""


@dataclass(frozen=True, slots=True)
class StoredFaces:
    """The main face over time, cut and aligned already: T moments, each with one of N pictures.

    ``times`` [T] seconds, ascending; ``pictures`` [T] numbers from 0, or ``BLACK``; ``scores`` [T] in [0, 1].
    ``place`` is a ``.npy`` of uint8 [N, h, w, 3] in BGR, as OpenCV reads pictures, or a folder of pictures in
    the order of :func:`numbered`; ``digest`` stands for what it holds (:func:`pictures_digest`), and
    ``frames_seen`` counts the frames that a face was looked for in.
    """

    times: Array
    pictures: IntArray
    scores: Array
    place: Path
    digest: str
    frames_seen: int

    def __len__(self) -> int:
        return len(self.times)

    def to_derived(self) -> Derived:
        """As a storable artefact, which names the pictures and does not hold them."""
        arrays = {"times": self.times, "pictures": self.pictures, "scores": self.scores}
        pictures = {"place": str(self.place), "digest": self.digest}
        return Derived(arrays, {"pictures": pictures, "frames_seen": self.frames_seen, "quality": self.quality()})

    @classmethod
    def from_derived(cls, derived: Derived) -> StoredFaces:
        """The faces that :meth:`to_derived` stored."""
        pictures = derived.info["pictures"]
        return cls(
            np.asarray(derived.arrays["times"], np.float64),
            np.asarray(derived.arrays["pictures"], np.int64),
            np.asarray(derived.arrays["scores"], np.float64),
            Path(pictures["place"]),
            str(pictures["digest"]),
            int(derived.info["frames_seen"]),
        )

    def quality(self) -> dict[str, float]:
        """Figures for a report: share of frames with the face, and its score."""
        seen = self.pictures != BLACK
        score = float(self.scores[seen].mean()) if seen.any() else 0.0
        return {"coverage": round(float(seen.sum()) / max(1, self.frames_seen), 4), "score": round(score, 4)}

    def read(self, request: FramesInput) -> Frames | Missing:
        """The faces that ``request`` asks for, as one block.

        Raises:
            MediaError: the pictures are gone or cannot be read.
        """
        chosen = self._chosen(request)
        if not chosen:
            return Missing("no face in view")
        images = [image for _, image in self._pictures(chosen, request.size or SIDE)]
        return Frames(np.stack(images), self.times[chosen], self.scores[chosen].astype(np.float32))

    def stream(self, request: FramesInput) -> StoredStream:
        """The same one after the other."""
        return StoredStream(self, request)

    def _chosen(self, request: FramesInput) -> list[int]:
        if request.count is not None:
            return [int(i) for i in segment_indices(len(self), request.count)] if len(self) else []
        picker = RatePicker(request.fps)
        chosen = []
        for index, time in enumerate(self.times):
            if picker.wants(float(time)):
                picker.take(float(time))
                chosen.append(index)
        return chosen

    def _pictures(self, chosen: list[int], side: int) -> Iterator[tuple[float, ImageArray]]:
        """(time, RGB) of the moments ``chosen``."""
        source = open_pictures(self.place)
        for index in chosen:
            number = int(self.pictures[index])
            if number >= len(source):
                raise MediaError(f"{self.place} holds only {len(source)} pictures now.", "Put the others back.")
            image = np.zeros((side, side, 3), np.uint8) if number == BLACK else _squared(source[number], side)
            yield float(self.times[index]), image


class StoredStream:
    """A :class:`~mer_core.types.FrameStream` over stored faces."""

    def __init__(self, faces: StoredFaces, request: FramesInput) -> None:
        self._faces, self._request = faces, request

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels of the faces."""
        side = self._request.size or SIDE
        return side, side

    def __iter__(self) -> Iterator[tuple[float, ImageArray]]:
        faces, request = self._faces, self._request
        return faces._pictures(faces._chosen(request), request.size or SIDE)


def numbered(folder: Path) -> list[tuple[int, Path]]:
    """Pictures of a folder with the number that ends their names, in its order (10 follows 9)."""
    files = [file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES]
    found = [(re.findall(r"\d+", file.stem), file) for file in files]
    return sorted((int(digits[-1]) if digits else 0, file) for digits, file in found)


def open_pictures(place: Path) -> Any:
    """The pictures of a ``.npy`` or folder: ``len()`` of them, each BGR uint8 [h, w, 3] by its number.

    Raises:
        MediaError: they are not there, or are no pictures.
    """
    if place.is_dir():
        return _Folder([file for _, file in numbered(place)])
    try:
        found = np.load(place, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise MediaError(f"{place} is gone.", "Put it back, or derive faces anew.") from None
    except (OSError, ValueError, EOFError) as error:
        raise MediaError(f"{place} is no array of numpy ({type(error).__name__}).", "Write it again.") from None
    if found.size and (found.dtype != np.uint8 or found.ndim != 4 or found.shape[-1] != 3):
        what = f"{found.dtype} {list(found.shape)}"
        raise MediaError(f"{place} holds {what}, not pictures of uint8 [T, height, width, 3].", "Write it again.")
    return found


def pictures_digest(place: Path) -> str:
    """Stands for the content of a file, or for the names and contents of a folder's pictures.

    Raises:
        OSError: it cannot be read.
    """
    files = [file for _, file in numbered(place)] if place.is_dir() else [place]
    seal = hashlib.blake2b(digest_size=20)
    for file in files:
        seal.update(f"{file.name if place.is_dir() else ''}\n".encode())
        with file.open("rb") as stream:
            seal.update(hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=20)).digest())
    return seal.hexdigest()


class _Folder:
    """Pictures in files, read when they are asked for."""

    def __init__(self, files: list[Path]) -> None:
        self._files = files

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, number: int) -> ImageArray:
        import cv2

        file = self._files[number]
        data = np.frombuffer(file.read_bytes(), np.uint8) if file.is_file() else np.empty(0, np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
        if image is None:
            raise MediaError(f"{file} is no picture that can be read.", "Write it again.")
        found: ImageArray = np.asarray(image, np.uint8)
        return found


def _squared(image: ImageArray, side: int) -> ImageArray:
    """``image`` (BGR) in RGB, ``side`` pixels square."""
    import cv2

    rgb: ImageArray = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_BGR2RGB)
    if rgb.shape[:2] == (side, side):
        return rgb
    how = cv2.INTER_AREA if min(rgb.shape[:2]) > side else cv2.INTER_CUBIC
    fitted: ImageArray = cv2.resize(rgb, (side, side), interpolation=how)
    return fitted
