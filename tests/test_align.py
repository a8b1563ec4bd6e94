"""Alignment: the published geometry of OpenFace's aligned faces, and our crops."""

from __future__ import annotations

import numpy as np
import pytest

from mer_core.errors import DataError
from mer_core.media.align import (
    FIVE_POINTS,
    RIGID,
    apply,
    crop_face,
    face_mask,
    fit_face,
    fit_landmarks,
    fit_similarity,
    five_of_68,
    scale_for,
    target_points,
    with_forehead,
)

# x and y in mm of the mean shape of OpenFace, to two decimals.
X = """
-73.39 -72.78 -70.53 -66.85 -59.79 -48.37 -34.12 -17.88 0.10 17.48 32.65 46.37 57.34 64.39 68.21 70.49 71.38
-61.12 -51.29 -37.80 -24.02 -11.64 12.06 25.11 38.34 51.19 60.05 0.65 0.80 0.99 1.23 -14.77 -7.18 0.56 8.27
15.21 -46.05 -37.67 -27.88 -19.65 -28.27 -38.08 19.27 27.89 37.44 45.17 38.20 28.76 -28.92 -17.53 -6.68 0.38
8.38 18.88 28.79 19.06 8.96 0.38 -7.43 -18.16 -24.38 -6.90 0.34 8.44 24.47 8.45 0.21 -7.20
"""
Y = """
-29.80 -10.95 7.93 26.07 42.56 56.48 67.25 75.06 77.06 74.76 66.93 56.31 42.42 25.46 6.99 -11.67 -30.37 -49.36
-58.77 -62.00 -61.03 -56.69 -57.39 -61.90 -62.78 -59.30 -50.19 -42.19 -30.99 -19.94 -8.41 2.60 4.75 6.56 4.66
2.64 -37.47 -42.73 -42.71 -36.75 -35.13 -34.92 -37.03 -43.34 -43.11 -38.09 -35.53 -35.48 28.61 22.17 19.03 20.72
19.04 22.39 28.08 36.30 39.63 40.40 39.84 36.68 28.68 25.48 26.01 25.33 28.32 30.60 31.41 30.84
"""
SHAPE = np.stack([np.array(X.split(), float), np.array(Y.split(), float)], axis=1)

GOLDEN_112 = {36: (23.77, 29.77), 45: (87.62, 29.34), 30: (56.86, 50.11), 48: (35.76, 76.03), 54: (76.16, 75.66)}
GOLDEN_128 = {36: (27.16, 34.02), 45: (100.14, 33.53), 30: (64.98, 57.27), 48: (40.87, 86.89), 54: (87.04, 86.46)}
GOLDEN_112 |= {8: (56.07, 109.94)}
GOLDEN_128 |= {8: (64.08, 125.65)}
EYES = {112: [(32.95, 29.20), (78.95, 28.87)], 128: [(37.65, 33.37), (90.23, 32.99)]}


def turned(points: np.ndarray, degrees: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    angle = np.radians(degrees)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return scale * points @ matrix.T + shift


@pytest.mark.parametrize(("size", "golden"), [(112, GOLDEN_112), (128, GOLDEN_128)])
def test_8_2_frontal_face_lands_on_the_published_points(size: int, golden: dict[int, tuple[float, float]]) -> None:
    moved = apply(fit_landmarks(SHAPE, SHAPE, size, centre=(0, 0)), SHAPE)
    for index, expected in golden.items():
        assert moved[index] == pytest.approx(expected, abs=0.011)
    assert five_of_68(moved)[:2] == pytest.approx(np.array(EYES[size]), abs=0.011)
    assert SHAPE.mean(0) == pytest.approx([0, 0], abs=0.005)


@pytest.mark.parametrize(("size", "scale"), [(112, 0.7), (128, 0.8)])
def test_8_1_pixels_of_a_millimetre(size: int, scale: float) -> None:
    assert scale_for(size) == pytest.approx(scale)


def test_8_2_the_middle_is_a_whole_pixel() -> None:
    matrix, shift = fit_landmarks(SHAPE, SHAPE, 113, centre=(0, 0))
    assert shift == pytest.approx([56, 56])
    assert np.sqrt(np.linalg.det(matrix)) == pytest.approx(scale_for(113))


def test_8_2_the_face_is_placed_by_24_landmarks_that_are_rigid() -> None:
    moved = SHAPE.copy()
    rigid = [*range(1, 5), *range(12, 16), 27, 28, 29, *range(31, 36), 36, *range(39, 43), 45, 46, 47]
    assert RIGID.tolist() == rigid
    assert len(rigid) == 24
    others = np.setdiff1d(np.arange(68), rigid)
    moved[others] += np.random.default_rng(0).normal(0, 9, (len(others), 2))
    found, plain = (fit_landmarks(points, SHAPE, centre=(0, 0)) for points in (moved, SHAPE))
    assert np.array_equal(found[0], plain[0])
    moved[28] += 5
    assert np.abs(fit_landmarks(moved, SHAPE, centre=(0, 0))[0] - plain[0]).max() > 1e-3


def test_8_2_published_transform_of_a_turned_face() -> None:
    landmarks = turned(SHAPE, 20, 1.9, (320, 240))
    matrix, shift = fit_landmarks(landmarks, SHAPE, 112, centre=(320, 240))
    assert matrix == pytest.approx(np.array([[0.346203, 0.126007], [-0.126007, 0.346203]]), abs=2e-6)
    assert shift == pytest.approx(-matrix @ [320, 240] + [56, 56])
    assert np.sqrt(np.linalg.det(matrix)) == pytest.approx(0.7 / 1.9)


@pytest.mark.parametrize("degrees", [-170, -35, 0, 20, 90])
def test_8_2_any_turned_face_comes_back(degrees: float) -> None:
    landmarks = turned(SHAPE, degrees, 2.3, (411.5, 87.25))
    moved = apply(fit_landmarks(landmarks, SHAPE, 128), landmarks)
    expected = (SHAPE - SHAPE.mean(0)) * scale_for(128) + 64
    assert np.abs(moved - expected).max() < 1e-12


def test_8_2_without_a_model_fit_the_mean_landmark_is_the_middle() -> None:
    landmarks = turned(SHAPE, 8, 1.1, (200, 150))
    moved = apply(fit_landmarks(landmarks, SHAPE, 112), landmarks)
    assert moved.mean(0) == pytest.approx([56, 56])


def test_8_3_mirrored_input_never_yields_a_reflection() -> None:
    mirrored = SHAPE * [-1, 1]
    for transform in (fit_landmarks(mirrored, SHAPE), fit_face(five_of_68(mirrored)), fit_face(mirrored)):
        assert np.linalg.det(transform[0]) > 0


def test_noise_is_fitted_in_the_least_squares_sense() -> None:
    rng = np.random.default_rng(3)
    source = turned(FIVE_POINTS, 12, 1.7, (30, 40)) + rng.normal(0, 2, (5, 2))
    best = fit_similarity(source, FIVE_POINTS)
    error = ((apply(best, source) - FIVE_POINTS) ** 2).sum()
    for degrees, scale, shift in [(0.5, 1, (0, 0)), (-0.5, 1, (0, 0)), (0, 1.01, (0, 0)), (0, 1, (0.3, 0))]:
        other = turned(apply(best, source), degrees, scale, shift)
        assert ((other - FIVE_POINTS) ** 2).sum() > error


def test_8_2_rms_scale_is_the_ratio_of_the_spreads() -> None:
    rng = np.random.default_rng(4)
    source = FIVE_POINTS + rng.normal(0, 6, (5, 2))
    matrix, _ = fit_similarity(source, FIVE_POINTS, scaling="rms")
    assert np.sqrt(np.linalg.det(matrix)) == pytest.approx(np.sqrt(FIVE_POINTS.var(0).sum() / source.var(0).sum()))


def test_8_2_target_points_follow_the_shape_at_every_size() -> None:
    for size in (112, 128, 64):
        expected = five_of_68(SHAPE) * scale_for(size) + size // 2
        assert target_points(size) == pytest.approx(expected, abs=0.02)
    assert target_points(112, 2) == pytest.approx(np.array([(32.95, 29.20), (78.95, 28.87)]), abs=0.011)


@pytest.mark.parametrize("count", [2, 5, 68])
def test_8_2_every_kind_of_landmarks_puts_the_eyes_on_target(count: int) -> None:
    landmarks = turned(SHAPE, -25, 1.4, (160, 120))
    points = {2: five_of_68(landmarks)[:2], 5: five_of_68(landmarks), 68: landmarks}[count]
    moved = apply(fit_face(points), five_of_68(landmarks)[:2])
    assert moved == pytest.approx(target_points(128, 2), abs=0.02)


@pytest.mark.parametrize("scale", [0.4, 1.0, 3.7])
def test_8_2_crop_shows_the_eyes_at_the_target_points(scale: float) -> None:
    eyes = turned(five_of_68(SHAPE)[:2], 17, scale, (300, 260))
    image = np.zeros((520, 600, 3), np.uint8)
    ys, xs = np.mgrid[:520, :600]
    for channel, (x, y) in enumerate(eyes):
        image[..., channel] = 255 * np.exp(-0.5 * ((xs - x) ** 2 + (ys - y) ** 2) / (3 + 5 * scale) ** 2)
    crop = crop_face(image, eyes)
    assert crop.shape == (128, 128, 3)
    for channel, target in enumerate(target_points(128, 2)):
        rows, columns = np.nonzero(crop[..., channel] > 160)
        assert (columns.mean(), rows.mean()) == pytest.approx(tuple(target), abs=0.25)


def test_8_2_outside_the_image_is_black() -> None:
    crop = crop_face(np.full((60, 60, 3), 200, np.uint8), [(0, 20), (20, 20)])
    assert crop[64, 127].tolist() == [200, 200, 200]
    assert crop[:, :8].max() == 0


@pytest.mark.parametrize("size", [112, 128])
def test_8_2_mask_blackens_what_is_not_face(size: int) -> None:
    landmarks = SHAPE * 2 + 300
    image = np.full((600, 600, 3), 90, np.uint8)
    for points in (landmarks, five_of_68(landmarks), five_of_68(landmarks)[:2]):
        crop, mask = crop_face(image, points, size, mask=True), face_mask(points, size)
        assert (crop[mask] == 90).all()
        assert (crop[~mask] == 0).all()
        assert 0.55 < mask.mean() < 0.9
        assert not mask[-1, 0]
        assert mask[size // 2, size // 2]


def test_8_2_mask_of_landmarks_reaches_above_the_brows() -> None:
    mask = face_mask(SHAPE * 2 + 300)
    brow = target_points(128)[0, 1] + (SHAPE[20, 1] - SHAPE[36:42, 1].mean()) * scale_for(128)
    assert mask[max(0, round(brow) - 10), 64]


@pytest.mark.parametrize("degrees", [0, 20])
def test_8_2_the_mask_is_the_hull_of_the_landmarks_with_a_forehead(degrees: float) -> None:
    """At 128 px jaw 0 is at (5.29, 5.87) and brow 17 at (15.10, -9.77) once both are moved up by 34.29 px."""
    landmarks = turned(SHAPE, degrees, 2, (300, 280))
    transform = fit_landmarks(landmarks, SHAPE)
    outline = with_forehead(landmarks, transform)
    moved = apply(transform, outline)
    assert moved[0] == pytest.approx((5.29, 5.87), abs=0.03)
    assert moved[17] == pytest.approx((15.10, -9.77), abs=0.03)
    assert moved[27:] == pytest.approx(apply(transform, landmarks)[27:])
    mask = face_mask(five_of_68(landmarks), 128, outline)
    for y, inside, outside in [(2, (10, 64, 116), (3, 125)), (64, (10, 118), (4, 124)), (123, (64,), (30, 98))]:
        assert mask[y, list(inside)].all()
        assert not mask[y, list(outside)].any()
    assert not mask[127].any()
    image = np.full((600, 600, 3), 90, np.uint8)
    crop = crop_face(image, five_of_68(landmarks), outline=outline)
    assert (crop[mask] == 90).all()
    assert (crop[~mask] == 0).all()
    assert np.mean(face_mask(landmarks) != mask) < 0.01


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ([(1, 2), (1, 2)], "one place"),
        ([(1, 2), (np.nan, 2)], "non-finite"),
        ([(1, 2), (3, 4), (5, 6)], "shape"),
        ([(1, 2)], "shape"),
    ],
)
def test_points_that_cannot_be_aligned_are_refused(points: list[tuple[float, float]], words: str) -> None:
    with pytest.raises(DataError, match=words):
        fit_face(points)
