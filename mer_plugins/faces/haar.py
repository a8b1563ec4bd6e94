"""The ``haar`` deriver: the main face of a clip with the cascades that OpenCV ships.

Whole frames are searched about once a second and whenever a known face is lost; in between, each
known face is looked for only near where it was, upright first and then rotated, which is both
faster and finds tilted heads. Eyes are found inside the face and tell how the head is turned.
Method: Viola & Jones (2001).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mer_core.media.align import apply
from mer_core.media.faces import EYES_IN_BOX, Detection
from mer_core.plugin import Field, FramesInput, Input, Options
from mer_plugins.faces.finder import Detector, FaceFinder

Gray = NDArray[np.uint8]
Floats = NDArray[np.float64]
Transform = tuple[Floats, Floats]

STEP = 1.1
"""Ratio of successive face sizes that are tried."""

FACE_PIXELS = 64
"""Near a known face, frames are scaled so that it is this wide."""

EYE_PIXELS = 120
"""Eyes are looked for in a face scaled to this width."""

TILT_STEP, TILT_LIMIT = 20.0, 30.0
"""Degrees: a lost face is also looked for turned this much further; heads tilted more are not."""

FORGET = 1.0
"""Seconds after which a face that is no longer found is given up."""

MOST_FACES = 4
"""So many faces are followed from frame to frame, the largest first."""

EYE_SEARCH = ((0.02, 0.58), (0.42, 0.98))
EYE_HEIGHT = (0.15, 0.62)
BROW_SHIFT = ((-0.013, 0.030), (-0.022, 0.038))
"""The per-side eye cascades see eye and brow: from their middle to the eye's, in face widths."""


class HaarOptions(Options):
    """Options of the ``haar`` face deriver."""

    fps: float = Field(5.0, gt=0, le=120)
    """Frames per second to look at."""
    max_side: int = Field(400, ge=64)
    """Whole frames are searched at most this large (longer side, pixels)."""
    min_size: float = Field(0.1, gt=0, lt=1)
    """Smallest face, as a share of the frame's shorter side."""
    neighbours: int = Field(4, ge=1)
    """How many overlapping hits make a face; more means fewer false and fewer true ones."""
    min_score: float = Field(0.15, ge=0, le=1)
    """Detections scored lower are dropped."""
    rescan: float = Field(1.0, ge=0)
    """Seconds between searches of the whole frame while faces are known; 0 searches every frame."""
    turned: bool = True
    """Look for a known face tilted or in profile, too, where it is not found upright and frontal."""

    def inputs(self) -> dict[str, Input]:
        """Frames one after the other, at full size: eyes need the pixels."""
        return {"frames": FramesInput(fps=self.fps, stream=True)}


class Haar(FaceFinder):
    """Finds the main face; one instance per thread (a shared cascade is not safe)."""

    def __init__(self, options: HaarOptions | None = None, device: str = "cpu") -> None:
        self.options = options or HaarOptions()
        self._cascades = Cascades()

    def detector(self) -> Detector:
        """One that follows the faces of a clip."""
        tracker = Tracker(self.options, self._cascades)
        return lambda time, image: tracker.step(time, cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))


class Cascades:
    """What is loaded once per instance of :class:`Haar`."""

    def __init__(self) -> None:
        self.front = _cascade("frontalface_default")
        self.side = _cascade("profileface")
        self.eyes = EyeFinder()


@dataclass(slots=True)
class _Known:
    """A face being followed: where and when it was last seen, and how the head was tilted."""

    box: tuple[float, float, float, float]
    time: float
    tilt: float = 0.0


class Tracker:
    """Detections of successive frames of one clip."""

    def __init__(self, options: HaarOptions, cascades: Cascades) -> None:
        self.options, self._front, self._side, self._eyes = options, cascades.front, cascades.side, cascades.eyes
        self._known: list[_Known] = []
        self._next_scan = 0.0

    def step(self, time: float, gray: Gray) -> list[Detection]:
        """Faces in ``gray`` [H, W], which is shown at ``time`` seconds."""
        followed = [self._follow(known, gray) for known in self._known]
        found = [d for d in followed if d]
        if time >= self._next_scan or not found:
            found += [d for d in self._scan(gray) if not any(_overlap(d.box, f.box) for f in found)]
            self._next_scan = time + self.options.rescan
        self._remember(found, time)
        return found

    def _remember(self, found: list[Detection], time: float) -> None:
        lost = [k for k in self._known if time - k.time <= FORGET and not any(_overlap(k.box, d.box) for d in found)]
        largest = sorted(found, key=lambda d: -d.box[2])[:MOST_FACES]
        self._known = [_Known(d.box, time, _tilt(d)) for d in largest] + lost[:MOST_FACES]

    def _scan(self, gray: Gray) -> list[Detection]:
        """Upright faces in the whole frame."""
        height, width = gray.shape
        scale = min(1.0, self.options.max_side / max(height, width))
        small = cv2.resize(gray, _at_least_one(width * scale, height * scale), interpolation=cv2.INTER_AREA)
        least = max(24, round(self.options.min_size * min(small.shape)))
        to_frame = (np.diag([width / small.shape[1], height / small.shape[0]]), np.zeros(2))
        return [self._finish(gray, box, score, to_frame) for box, score in self._detect(small, least, 0)]

    def _follow(self, known: _Known, gray: Gray) -> Detection | None:
        """The known face near where it was, upright or turned; None if it is not there."""
        scale = min(1.0, FACE_PIXELS / known.box[2])
        expected = known.box[2] * scale
        side = round(expected * 2.2)
        limits = max(24, round(expected * 0.7)), round(expected * 1.45)
        for view, tilt in _views(known.tilt) if self.options.turned else [("front", 0.0)]:
            matrix, shift = _turned(known.box, tilt, scale, side)
            patch = cv2.warpAffine(gray, np.column_stack([matrix, shift]), (side, side))
            hits = self._detect(patch, *limits) if view == "front" else self._profile(patch, *limits)
            if hits:
                back = np.linalg.inv(matrix).astype(np.float64)
                return self._finish(gray, *max(hits, key=lambda hit: hit[1]), (back, -back @ shift))
        return None

    def _detect(
        self, image: Gray, least: int, most: int, cascade: cv2.CascadeClassifier | None = None
    ) -> list[tuple[Floats, float]]:
        """Boxes [x, y, width, height] and their scores."""
        if min(image.shape) < least:
            return []
        boxes, _, weights = (cascade or self._front).detectMultiScale3(
            image, STEP, self.options.neighbours, 0, (least, least), (most, most), outputRejectLevels=True
        )
        scored = [(np.asarray(box, np.float64), _score(weight)) for box, weight in zip(boxes, weights, strict=True)]
        return [hit for hit in scored if hit[1] >= self.options.min_score]

    def _profile(self, image: Gray, least: int, most: int) -> list[tuple[Floats, float]]:
        """Boxes of faces turned to either side, with half the score of a frontal one."""
        hits = self._detect(image, least, most, self._side)
        for box, score in self._detect(np.ascontiguousarray(image[:, ::-1]), least, most, self._side):
            box[0] = image.shape[1] - box[0] - box[2]
            hits.append((box, score))
        return [(box, score / 2) for box, score in hits]

    def _finish(self, gray: Gray, box: Floats, score: float, to_frame: Transform) -> Detection:
        """A detection in ``gray``'s pixels, with its eyes, from a box in a scaled or turned patch."""
        matrix = to_frame[0] * (box[2:] / EYE_PIXELS)
        inside = (matrix, apply(to_frame, [box[:2]])[0])
        face = cv2.warpAffine(
            gray, np.column_stack(inside), (EYE_PIXELS, EYE_PIXELS), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        )
        eyes = self._eyes.find(face)
        if np.isnan(eyes).all() and abs(matrix[1, 0]) > 1e-9:
            eyes = EYES_IN_BOX + 0.5
        side = box[2] * float(np.sqrt(np.linalg.det(to_frame[0])))
        x, y = apply(to_frame, [box[:2] + box[2:] / 2])[0] - side / 2
        return Detection((float(x), float(y), side, side), score, apply(inside, eyes * EYE_PIXELS))


class EyeFinder:
    """Eye centres inside an upright face."""

    def __init__(self) -> None:
        self._any = _cascade("eye")
        self._sides = (_cascade("righteye_2splits"), _cascade("lefteye_2splits"))

    def find(self, face: Gray) -> Floats:
        """[2, 2]: image-left and image-right eye over the side of ``face``, NaN where not found."""
        eyes = np.stack([self._one(face, side) for side in (0, 1)])
        across, down = eyes[1] - eyes[0]
        usual = EYES_IN_BOX + 0.5
        far = np.linalg.norm(eyes - usual, axis=1)
        eyes[far > 0.16] = np.nan
        if not 0.2 <= across <= 0.52 or abs(down) > 0.6 * across:
            eyes[int(np.nanargmax(far)) if np.isfinite(far).any() else 0] = np.nan
        return eyes

    def _one(self, face: Gray, side: int) -> Floats:
        general = self._best(self._any, face, side)
        special = self._best(self._sides[side], face, side) + BROW_SHIFT[side]
        if np.linalg.norm(general - special) > 0.08:
            usual = EYES_IN_BOX[side] + 0.5
            return min(general, special, key=lambda eye: float(np.linalg.norm(eye - usual)))
        both = np.stack([general, special])
        return np.where(np.isfinite(general), np.where(np.isfinite(special), both.mean(0), general), special)

    def _best(self, cascade: cv2.CascadeClassifier, face: Gray, side: int) -> Floats:
        full = len(face)
        (left, right), (top, bottom) = (np.multiply(span, full).astype(int) for span in (EYE_SEARCH[side], EYE_HEIGHT))
        least, most = round(0.16 * full), round(0.42 * full)
        boxes, _, weights = cascade.detectMultiScale3(
            face[top:bottom, left:right], 1.1, 3, 0, (least, least), (most, most), outputRejectLevels=True
        )
        if not len(boxes):
            return np.full(2, np.nan)
        x, y, width, height = boxes[int(np.argmax(weights))]
        return np.array([left + x + width / 2, top + y + height / 2]) / full


def _cascade(name: str) -> cv2.CascadeClassifier:
    folder: str = getattr(cv2, "data").haarcascades  # noqa: B009 - the stubs do not know cv2.data
    return cv2.CascadeClassifier(f"{folder}haarcascade_{name}.xml")


def _score(weight: float) -> float:
    """A cascade's last stage sum (about 0 to 14) as a confidence in [0, 1)."""
    return float(1 - np.exp(-max(0.0, float(weight)) / 4))


def _tilt(detection: Detection) -> float:
    """Degrees by which the line of the eyes falls to the right; 0 where it is not known."""
    if detection.points is None or not np.isfinite(detection.points).all():
        return 0.0
    across, down = detection.points[1] - detection.points[0]
    return float(np.degrees(np.arctan2(down, across)))


def _views(last: float) -> list[tuple[str, float]]:
    """Cascades and angles to try for a head last seen at ``last`` degrees."""
    middle = float(np.clip(last, -TILT_LIMIT, TILT_LIMIT)) if abs(last) > TILT_STEP / 2 else 0.0
    return [*(("front", middle + step) for step in (0.0, -TILT_STEP, TILT_STEP)), ("side", 0.0)]


def _turned(box: Sequence[float], tilt: float, scale: float, side: int) -> Transform:
    """From the frame to a patch of ``side`` px around ``box`` in which a head tilted so is upright."""
    angle = np.radians(-tilt)
    matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = np.array([box[0] + box[2] / 2, box[1] + box[3] / 2])
    return matrix, np.array([side / 2, side / 2]) - matrix @ centre


def _overlap(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether two boxes share more than a third of the smaller one."""
    across = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    down = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return across > 0 and down > 0 and across * down > min(a[2] * a[3], b[2] * b[3]) / 3


def _at_least_one(width: float, height: float) -> tuple[int, int]:
    return max(1, round(width)), max(1, round(height))
