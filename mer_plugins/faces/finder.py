"""What the face detectors share: detections of a clip's frames in, the track of its main face out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from mer_core.media.faces import Detection, FaceTrack, choose_main
from mer_core.plugin import Derived, Failure, FrameStream, ImageArray, MerError, Missing, Sample

Detector = Callable[[float, ImageArray], list[Detection]]
"""Faces in the RGB picture [H, W, 3] that is shown at so many seconds."""


class FaceFinder(ABC):
    """A deriver of face tracks by a detector that looks at frame after frame."""

    @abstractmethod
    def detector(self) -> Detector:
        """What looks at the frames of one clip, in order of time."""

    def derive(self, batch: Sequence[Sample]) -> list[Derived | Missing | Failure]:
        """One face track, as ``mer_core.media.faces.FaceTrack`` stores it, per sample."""
        return [self._derive_one(sample) for sample in batch]

    def track(self, frames: FrameStream) -> FaceTrack | Missing:
        """The main face in ``frames``, by size and continuity (``mer_core.media.faces.choose_main``)."""
        times: list[float] = []
        found: list[list[Detection]] = []
        detect = self.detector()
        for time, image in frames:
            times.append(time)
            found.append(detect(time, image))
        return choose_main(times, found, frames.size)

    def _derive_one(self, sample: Sample) -> Derived | Missing | Failure:
        frames = sample.inputs["frames"]
        if isinstance(frames, Missing | Failure):
            return frames
        try:
            found = self.track(frames)
        except MerError as error:
            return Failure(str(error), stage="faces")
        return found.to_derived() if isinstance(found, FaceTrack) else found
