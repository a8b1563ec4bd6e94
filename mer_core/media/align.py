"""Similarity alignment of faces to a square crop.

The geometry follows OpenFace's aligned faces (Baltrusaitis et al. 2018), as written down from its
published behaviour: a similarity fitted on landmarks that expressions hardly move, and a fixed scale
of 0.7 px per mm at 112 px, so that 128 px has 0.8. OpenFace's own shape model is not part of mer;
only five target points are, and whoever has the mean shape passes it to :func:`fit_landmarks`.

A transform is a pair ``(matrix [2, 2], shift [2])`` that maps pixel (x, y) columns:
``target = matrix @ source + shift``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from mer_core.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from mer_core.aliases import ImageArray

    Points = NDArray[np.float64]
    Transform = tuple[Points, Points]

FIVE_POINTS = np.array([(37.65, 33.37), (90.23, 32.99), (64.98, 57.27), (40.87, 86.89), (87.04, 86.46)])
"""Where the eye centres, nose tip and mouth corners lie in a 128 px crop; left means image left."""

RIGID = np.array([1, 2, 3, 4, 12, 13, 14, 15, 27, 28, 29, 31, 32, 33, 34, 35, 36, 39, 40, 41, 42, 45, 46, 47])
"""Those of the 68 landmarks (0-based) that expressions hardly move."""

FOREHEAD = 30 / 0.7
"""Millimetres of the mean shape that the face reaches above the brows."""

_BASE = 128
_BROWS = np.array([0, 16, *range(17, 27)])
_OVAL_CENTRE, _OVAL_AXES = (0.5, 0.455), (0.46, 0.54)


def scale_for(size: int) -> float:
    """Pixels per millimetre of a crop with side ``size`` px: 0.7 at 112, 0.8 at 128."""
    return size * 0.7 / 112


def target_points(size: int, count: Literal[2, 5] = 5) -> Points:
    """The ``count`` target points [count, 2] in a crop of side ``size`` px: eyes, or eyes, nose and mouth."""
    points: Points = (FIVE_POINTS[:count] - _BASE // 2) * (size / _BASE) + size // 2
    return points


def fit_similarity(
    source: ArrayLike, target: ArrayLike, scaling: Literal["least-squares", "rms"] = "least-squares"
) -> Transform:
    """Rotation, uniform scale and shift that bring ``source`` [K, 2] closest to ``target`` [K, 2].

    Never a reflection. ``least-squares`` is Umeyama (1991); ``rms`` takes the ratio of the two
    shapes' spreads for the scale, as OpenFace does. They agree where the fit is exact.

    Raises:
        DataError: fewer than two points, non-finite ones, or all in one place.
    """
    src, dst = np.asarray(source, np.float64), np.asarray(target, np.float64)
    _check_points(src, dst)
    src_mean, dst_mean = src.mean(0), dst.mean(0)
    a, b = src - src_mean, dst - dst_mean
    rotation, strength = _rotation(a, b)
    power = float((a**2).sum())
    scale = strength / power if scaling == "least-squares" else float(np.sqrt((b**2).sum() / power))
    matrix = scale * rotation
    return matrix, dst_mean - matrix @ src_mean


def fit_landmarks(
    landmarks: ArrayLike, shape: ArrayLike, size: int = 128, centre: ArrayLike | None = None
) -> Transform:
    """OpenFace's alignment of 68 landmarks.

    Args:
        landmarks: [68, 2] pixels.
        shape: [68, 2] frontal mean shape in mm with its centroid at 0, e.g. of the user's OpenFace.
        size: side of the crop in pixels.
        centre: what lands in the crop's middle: the fitted model's translation (``p_tx, p_ty`` of
            OpenFace's table). Without it, the mean of the landmarks, which is the same for a
            frontal face at rest.

    Raises:
        DataError: as :func:`fit_similarity`.
    """
    points, mean_shape = np.asarray(landmarks, np.float64), np.asarray(shape, np.float64)
    matrix, _ = fit_similarity(points[RIGID], mean_shape[RIGID] * scale_for(size), scaling="rms")
    middle = points.mean(0) if centre is None else np.asarray(centre, np.float64)
    return matrix, np.array([size // 2, size // 2]) - matrix @ middle


def fit_face(points: ArrayLike, size: int = 128) -> Transform:
    """Alignment of whatever landmarks there are: 2 eye centres, 5 points, or 68 (reduced to 5).

    Raises:
        DataError: another number of points, or as :func:`fit_similarity`.
    """
    found = np.asarray(points, np.float64)
    if found.shape == (68, 2):
        found = five_of_68(found)
    if found.shape == (2, 2):
        return fit_similarity(found, target_points(size, 2))
    if found.shape == (5, 2):
        return fit_similarity(found, target_points(size))
    raise DataError(f"a face has points of shape {found.shape}.", "Give 2 (eyes), 5 or 68 points of (x, y).")


def five_of_68(landmarks: ArrayLike) -> Points:
    """Eye centres, nose tip and mouth corners [5, 2] of 68 landmarks [68, 2]."""
    points = np.asarray(landmarks, np.float64)
    return np.stack([points[36:42].mean(0), points[42:48].mean(0), points[30], points[48], points[54]])


def apply(transform: Transform, points: ArrayLike) -> Points:
    """Transformed ``points`` [K, 2]."""
    matrix, shift = transform
    moved: Points = np.asarray(points, np.float64) @ matrix.T + shift
    return moved


def crop_face(
    image: ImageArray, points: ArrayLike, size: int = 128, mask: bool = False, outline: ArrayLike | None = None
) -> ImageArray:
    """Aligned crop uint8 [size, size, 3] of one face in ``image`` [H, W, 3].

    Eyes come to lie level at the target positions; what is outside the image is black. ``points``
    are as in :func:`fit_face`, in pixels of ``image``. ``mask``, or an ``outline``, also blackens
    what is not face: see :func:`face_mask`.

    Raises:
        DataError: as :func:`fit_face`.
    """
    crop = warp(image, fit_face(points, size), size)
    if mask or outline is not None:
        crop[~face_mask(points, size, outline)] = 0
    return crop


def warp(image: ImageArray, transform: Transform, size: int) -> ImageArray:
    """Crop [size, size, 3] of ``image`` under ``transform``: bilinear, black outside.

    A face more than twice as large as the crop is sampled finer and averaged, against aliasing.
    """
    matrix, shift = transform
    scale = float(np.sqrt(abs(np.linalg.det(matrix))))
    finer = min(8, max(1, int(1 / max(scale, 1e-6))))
    affine = np.hstack([matrix * finer, (shift * finer + (finer - 1) / 2)[:, None]])
    side = size * finer
    crop: ImageArray = cv2.warpAffine(image, affine, (side, side), flags=cv2.INTER_LINEAR)
    if finer > 1:
        crop = cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA)
    return crop


def face_mask(points: ArrayLike, size: int = 128, outline: ArrayLike | None = None) -> NDArray[np.bool_]:
    """bool [size, size]: True on the face, in the aligned crop that ``points`` lead to.

    The face is the hull of ``outline`` [L, 2], in pixels of the image; without one, that of 68 landmarks
    :func:`with_forehead`, or an oval where only 2 or 5 points are known.
    """
    canvas = np.zeros((size, size), np.uint8)
    found = np.asarray(points, np.float64)
    transform = fit_face(found, size)
    if outline is None and len(found) == 68:
        outline = with_forehead(found, transform, size)
    if outline is not None:
        corners = np.rint(apply(transform, outline)).astype(np.int32)
        cv2.fillConvexPoly(canvas, cv2.convexHull(corners), 1)
    else:
        centre, axes = (tuple(round(v * size) for v in pair) for pair in (_OVAL_CENTRE, _OVAL_AXES))
        cv2.ellipse(canvas, centre, axes, 0, 0, 360, 1, -1)
    return canvas.astype(bool)


def with_forehead(landmarks: ArrayLike, transform: Transform, size: int = 128) -> Points:
    """68 landmarks [68, 2] with brows and temples moved up as far as OpenFace's mask reaches.

    That is 30 px in a crop of 112, in the direction that is up in the crop of side ``size`` px into which
    ``transform`` leads.
    """
    outline = np.array(landmarks, np.float64)
    outline[_BROWS] += np.linalg.solve(transform[0], [0, -FOREHEAD * scale_for(size)])
    return outline


def _rotation(a: Points, b: Points) -> tuple[Points, float]:
    """Proper rotation nearest to taking ``a`` to ``b``, and the trace that gives Umeyama's scale."""
    u, singular, vt = np.linalg.svd(a.T @ b)
    sign = np.array([1.0, np.sign(np.linalg.det(vt.T @ u.T)) or 1.0])
    rotation: Points = (vt.T * sign) @ u.T
    return rotation, float((singular * sign).sum())


def _check_points(src: Points, dst: Points) -> None:
    if src.shape != dst.shape or src.ndim != 2 or src.shape[-1] != 2 or len(src) < 2:
        raise DataError(f"cannot align points of shapes {src.shape} and {dst.shape}.", "Give two or more pairs (x, y).")
    if not (np.isfinite(src).all() and np.isfinite(dst).all()):
        raise DataError("cannot align a face with non-finite points.", "Leave out points that were not found.")
    if np.ptp(src, axis=0).max() < 1e-9:
        raise DataError("cannot align a face whose points all lie in one place.", "Check the landmark detector.")
