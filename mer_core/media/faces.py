"""Face tracks: from detections per frame to the main face of a clip over time.

A detector says what it sees in each frame; :func:`choose_main` links detections into tracks, drops
lone ones, picks the main face by size and continuity and repairs landmarks that were not seen. What
remains is a :class:`FaceTrack`, stored as a :class:`mer_core.types.Derived` and asked for the face
at any time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mer_core.types import Derived, Missing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Box = tuple[float, float, float, float]

EYES_IN_BOX = np.array([(-0.185, -0.11), (0.175, -0.11)])
"""Where eye centres usually are in a frontal detection: offset from its centre over its width."""

EYE_DISTANCE = (0.31, 0.4)
"""Between which shares of a detection's width the eyes of a frontal face are apart."""

MAX_LINK_GAP = 1.0
"""Seconds after which two detections are no longer one continuous track."""

MIN_BEST, MIN_MEAN, MIN_SUM = 0.5, 0.35, 1.2
"""A track is believed if its scores reach these: the best one, their mean and, over time, their sum."""

MAX_POINT_ERROR = 0.09
"""A landmark this far (in box widths) from where it was just before and after is an outlier."""


@dataclass(frozen=True, slots=True)
class Detection:
    """One face in one frame.

    ``box`` is (x, y, width, height) in pixels, ``score`` in [0, 1], ``points`` [K, 2] landmarks in
    pixels with NaN where one was not found, or None where the detector has none.
    """

    box: Box
    score: float
    points: Array | None = None


@dataclass(frozen=True, slots=True)
class FaceTrack:
    """The main face over time: T moments at which it was detected.

    ``times`` [T] seconds, ``boxes`` [T, 4] and ``points`` [T, K, 2] in pixels of a frame of ``size`` (width, height),
    ``scores`` [T] in [0, 1]; ``frames_seen`` counts the frames that were looked at. K is 2 (eye centres), 5 (and nose
    tip, mouth corners) or 68. Outside of the hull of ``outlines`` [T, L, 2], if there are any, crops are black.
    """

    times: Array
    boxes: Array
    points: Array
    scores: Array
    size: tuple[int, int]
    frames_seen: int
    outlines: Array | None = None

    def __len__(self) -> int:
        return len(self.times)

    def to_derived(self) -> Derived:
        """As a storable artefact; :meth:`from_derived` reads it back."""
        arrays = {"times": self.times, "boxes": self.boxes, "points": self.points, "scores": self.scores}
        arrays |= {} if self.outlines is None else {"outlines": self.outlines}
        info = {"size": list(self.size), "frames_seen": self.frames_seen, "quality": self.quality()}
        return Derived(arrays, info)

    @classmethod
    def from_derived(cls, derived: Derived) -> FaceTrack:
        """The track that :meth:`to_derived` stored."""
        arrays = {name: np.asarray(one, np.float64) for name, one in derived.arrays.items() if name in cls.__slots__}
        width, height = derived.info["size"]
        return cls(**arrays, size=(int(width), int(height)), frames_seen=int(derived.info["frames_seen"]))

    def scaled(self, size: tuple[int, int]) -> FaceTrack:
        """The same track in pixels of frames of another ``size`` (width, height)."""
        if size == self.size:
            return self
        factor = np.array(size) / np.array(self.size)
        outlines = None if self.outlines is None else self.outlines * factor
        boxes, points = self.boxes * np.tile(factor, 2), self.points * factor
        return replace(self, boxes=boxes, points=points, size=size, outlines=outlines)

    def at(self, time: float, max_gap: float = 0.5) -> tuple[Array, float] | None:
        """Landmarks [K, 2] and score of the face at ``time`` seconds, or None.

        Interpolates between the detections around ``time`` where they are the same face at most
        ``2 * max_gap`` seconds apart; else takes the nearest one if it is within ``max_gap``.
        """
        found = self._around(time, max_gap)
        return None if found is None else (_mixed(self.points, *found), float(_mixed(self.scores, *found)))

    def outline(self, time: float, max_gap: float = 0.5) -> Array | None:
        """The face's outline [L, 2] at ``time``, as :meth:`at` has its landmarks; None where none is known."""
        found = self._around(time, max_gap)
        return None if self.outlines is None or found is None else _mixed(self.outlines, *found)

    def quality(self) -> dict[str, float]:
        """Figures for a report: share of frames with the face, its mean size (px), score, jumps."""
        sides = np.sqrt(self.boxes[:, 2] * self.boxes[:, 3])
        jumps = sum(not self._continuous(i, np.inf) for i in range(1, len(self)))
        return {
            "coverage": round(len(self) / max(1, self.frames_seen), 4),
            "size": round(float(sides.mean()), 1) if len(self) else 0.0,
            "score": round(float(self.scores.mean()), 4) if len(self) else 0.0,
            "jumps": float(jumps),
        }

    def _continuous(self, after: int, longest: float) -> bool:
        close = bool(self.times[after] - self.times[after - 1] <= longest + 1e-9)
        return close and _same_face(_box(self.boxes[after - 1]), _box(self.boxes[after]))

    def _around(self, time: float, max_gap: float) -> tuple[int, int, float] | None:
        """Two moments, and the share of the second; the same one twice where there is nothing to interpolate."""
        after = int(np.searchsorted(self.times, time))
        if 0 < after < len(self) and self._continuous(after, 2 * max_gap):
            first, last = self.times[after - 1], self.times[after]
            return after - 1, after, float((time - first) / max(1e-12, last - first))
        near = {abs(float(self.times[i]) - time): i for i in (after, after - 1) if 0 <= i < len(self)}
        best = near[min(near)] if near and min(near) <= max_gap + 1e-9 else None
        return None if best is None else (best, best, 0.0)


@dataclass(slots=True)
class _Link:
    """Detections believed to be one face: (frame index, time, detection), in order of time."""

    seen: list[tuple[int, float, Detection]] = field(default_factory=list)

    @property
    def merit(self) -> float:
        """Size times score, summed over time: what makes a face the main one."""
        return sum(d.box[2] * d.score for _, _, d in self.seen)

    @property
    def side(self) -> float:
        return float(np.median([d.box[2] for _, _, d in self.seen]))

    @property
    def frames(self) -> set[int]:
        return {frame for frame, _, _ in self.seen}

    def believable(self, frames_seen: int) -> bool:
        """Lone and weak detections are not; in media of one or two frames, a lone one may be."""
        scores = [d.score for _, _, d in self.seen]
        lasting = frames_seen <= 2 or (len(scores) >= 2 and sum(scores) >= MIN_SUM)
        return lasting and max(scores) >= MIN_BEST and sum(scores) / len(scores) >= MIN_MEAN


def choose_main(
    times: Sequence[float], detections: Sequence[Sequence[Detection]], size: tuple[int, int]
) -> FaceTrack | Missing:
    """The main face of a clip, by size and continuity over time.

    The track with the largest sum of size times score is the main one. Where it is not seen, other
    tracks of similar size (half to twice) may take over, as after a cut: which person that is cannot
    be known without recognising faces, so ``quality()["jumps"]`` counts it.

    Args:
        times: seconds of every frame that was looked at, ascending.
        detections: what was found in each of them.
        size: (width, height) in pixels of those frames.

    Returns:
        The track, or Missing if no face was seen or only lone or weak detections.
    """
    if not times:
        return Missing("no frames to look for a face in")
    links = _link(times, detections)
    good = sorted((x for x in links if x.believable(len(times))), key=lambda x: -x.merit)
    if not good:
        return Missing(_why_none(len(times), sum(map(len, detections))))
    chosen = _fill(good)
    return _track(sorted(chosen, key=lambda item: item[0]), size, len(times))


def repair_points(times: Array, boxes: Array, points: Array) -> Array:
    """``points`` [T, K, 2] with landmarks that were missed (NaN) or jumped put where they belong.

    Works on offsets relative to the box: a landmark far from the median of its neighbours within
    one second is dropped, and gaps are filled by interpolating over time.
    """
    centres, sides = boxes[:, None, :2] + boxes[:, None, 2:] / 2, boxes[:, None, 2:3]
    offsets = (points - centres) / sides
    filled = np.stack([_repair_one(times, offsets[:, k]) for k in range(points.shape[1])], axis=1)
    if points.shape[1] == 2:
        filled = _steady_eyes(np.where(np.isfinite(filled), filled, EYES_IN_BOX))
    return np.asarray(filled * sides + centres)


def _steady_eyes(offsets: Array) -> Array:
    """Eye pairs [T, 2, 2] whose distance stays near the clip's usual one, middle and slope kept.

    Two eyes come closer when the head turns; scaling by them alone would blow the face up.
    """
    middle, half = offsets.mean(1, keepdims=True), np.diff(offsets, axis=1) / 2
    distance = 2 * np.linalg.norm(half, axis=2, keepdims=True)
    usual = float(np.clip(np.quantile(distance, 0.75), *EYE_DISTANCE))
    half = half * np.clip(distance, 0.95 * usual, 1.1 * usual) / np.maximum(distance, 1e-9)
    return np.concatenate([middle - half, middle + half], axis=1)


def _repair_one(times: Array, offsets: Array) -> Array:
    """One landmark's offsets [T, 2], outliers and gaps filled; all NaN where it was never seen."""
    known = np.isfinite(offsets).all(1)
    if not known.any():
        return np.full_like(offsets, np.nan)
    error = [_surprise(times[known], offsets[known], i) for i in range(int(known.sum()))]
    keep = np.flatnonzero(known)[np.array(error) <= MAX_POINT_ERROR]
    if not len(keep):
        return np.tile(np.median(offsets[known], axis=0), (len(offsets), 1))
    return np.stack([np.interp(times, times[keep], offsets[keep, axis]) for axis in (0, 1)], axis=1)


def _surprise(times: Array, offsets: Array, index: int) -> float:
    around = np.abs(times - times[index]) <= 1.0
    return float(np.linalg.norm(offsets[index] - np.median(offsets[around], axis=0)))


def _link(times: Sequence[float], detections: Sequence[Sequence[Detection]]) -> list[_Link]:
    """Greedy linking over time: nearest pairs first, each detection in exactly one link."""
    links: list[_Link] = []
    for frame, (time, found) in enumerate(zip(times, detections, strict=True)):
        alive = [x for x in links if time - x.seen[-1][1] <= MAX_LINK_GAP]
        pairs = sorted(
            (_distance(link.seen[-1][2].box, d.box), i, j)
            for i, link in enumerate(alive)
            for j, d in enumerate(found)
            if _same_face(link.seen[-1][2].box, d.box)
        )
        taken_links: set[int] = set()
        taken: set[int] = set()
        for _, i, j in pairs:
            if i not in taken_links and j not in taken:
                alive[i].seen.append((frame, time, found[j]))
                taken_links.add(i)
                taken.add(j)
        links += [_Link([(frame, time, d)]) for j, d in enumerate(found) if j not in taken]
    return links


def _fill(good: list[_Link]) -> list[tuple[int, float, Detection]]:
    main = good[0]
    chosen, covered = list(main.seen), main.frames
    for other in good[1:]:
        if 0.5 <= other.side / main.side <= 2 and not covered & other.frames:
            chosen += other.seen
            covered |= other.frames
    return chosen


def _track(chosen: list[tuple[int, float, Detection]], size: tuple[int, int], frames_seen: int) -> FaceTrack:
    times = np.array([time for _, time, _ in chosen], np.float64)
    boxes = np.array([d.box for _, _, d in chosen], np.float64)
    scores = np.array([d.score for _, _, d in chosen], np.float64)
    count = next((len(d.points) for _, _, d in chosen if d.points is not None), 2)
    unseen = np.full((count, 2), np.nan)
    raw = np.stack([unseen if d.points is None else np.asarray(d.points, np.float64) for _, _, d in chosen])
    return FaceTrack(times, boxes, repair_points(times, boxes, raw), scores, size, frames_seen)


def _mixed(values: Array, first: int, last: int, share: float) -> Array:
    return np.asarray((1 - share) * values[first] + share * values[last])


def _same_face(a: Box, b: Box) -> bool:
    """Whether two boxes in successive frames can be one face: near, and of similar size."""
    return _distance(a, b) <= 0.7 and min(a[2], b[2]) >= 0.6 * max(a[2], b[2])


def _distance(a: Box, b: Box) -> float:
    """Distance of two boxes' centres over their mean width."""
    across = a[0] + a[2] / 2 - b[0] - b[2] / 2
    down = a[1] + a[3] / 2 - b[1] - b[3] / 2
    return float(np.hypot(across, down) / max(1e-9, (a[2] + b[2]) / 2))


def _box(row: Any) -> Box:
    x, y, width, height = (float(v) for v in row)
    return x, y, width, height


def _why_none(frames: int, detections: int) -> str:
    if not detections:
        return f"no face found in {frames} frame{'s' * (frames != 1)}"
    return f"no face found in {frames} frames, only {detections} lone or weak detection{'s' * (detections != 1)}"
