"""The drawn face of the sample data set: one portrait per speaker, one expression per clip.

Drawn once per clip and mouth opening on a canvas of ``WIDTH`` x ``HEIGHT`` pixels and moved by the
scene afterwards. Soft shading (dark sockets, bright nose and cheeks) makes it a face to OpenCV's
cascades as well as to people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]

WIDTH, HEIGHT = 280, 340
CENTRE = (140, 170)
"""Middle of the head on the canvas, pixels."""
_SHIFT = 4


@dataclass(frozen=True, slots=True)
class Expression:
    """What a face shows; 0 is relaxed.

    ``smile`` curves the mouth up (negative: down), ``stretch`` widens it, ``gape`` opens it;
    ``lift`` raises the brows, ``frown`` pulls their inner ends down (negative: up); ``eyes`` opens
    the lids beyond their usual 1.
    """

    smile: float
    stretch: float
    gape: float
    lift: float
    frown: float
    eyes: float


EXPRESSIONS: Mapping[str, Expression] = {
    "neutral": Expression(0.05, 0.0, 0.0, 0.0, 0.0, 0.95),
    "angry": Expression(-0.45, -0.05, 0.15, -0.6, 1.0, 0.82),
    "happy": Expression(1.0, 0.30, 0.30, 0.2, 0.0, 0.85),
    "sad": Expression(-0.9, -0.20, 0.0, 0.1, -0.9, 0.75),
    "worried": Expression(-0.25, 0.22, 0.05, 0.7, -0.9, 1.12),
    "surprise": Expression(0.1, -0.30, 0.8, 0.85, -0.1, 1.15),
}
"""The expression of each class, before the jitter of the single clip."""

JITTER = Expression(0.12, 0.05, 0.06, 0.10, 0.12, 0.04)
"""Standard deviation around ``EXPRESSIONS`` from clip to clip."""


@dataclass(frozen=True, slots=True)
class Looks:
    """A speaker's own looks: colours (RGB) and proportions (factors around 1)."""

    skin: Colour
    hair: Colour
    iris: Colour
    shirt: Colour
    cut: int
    width: float
    length: float
    gap: float
    brows: float


SKINS = ((244, 208, 178), (226, 180, 145), (250, 219, 196), (207, 156, 118), (236, 194, 160))
HAIRS = ((46, 34, 30), (92, 60, 38), (30, 28, 34), (150, 98, 52), (70, 46, 40))
SHIRTS = ((62, 110, 150), (176, 84, 74), (86, 130, 92), (120, 94, 150), (200, 150, 70), (70, 80, 96))
IRISES = ((70, 48, 34), (54, 70, 52), (58, 74, 96))


def looks_of(speaker: int, seed: int) -> Looks:
    """The looks of a speaker."""
    rng = np.random.default_rng([seed, 202, speaker])
    return Looks(
        skin=SKINS[(speaker + seed) % len(SKINS)],
        hair=HAIRS[(2 * speaker + seed) % len(HAIRS)],
        iris=IRISES[int(rng.integers(len(IRISES)))],
        shirt=SHIRTS[(speaker + 2 * seed) % len(SHIRTS)],
        cut=int(rng.integers(3)) if speaker // 2 % 2 == 0 else 3 + int(rng.integers(2)),
        width=rng.uniform(0.94, 1.05),
        length=rng.uniform(0.96, 1.04),
        gap=rng.uniform(0.96, 1.05),
        brows=rng.uniform(0.8, 1.25),
    )


def expression_of(shown: str, rng: np.random.Generator) -> Expression:
    """The expression of class ``shown`` with this clip's jitter."""
    mean = EXPRESSIONS[shown]
    values = (
        getattr(mean, f.name) + getattr(JITTER, f.name) * float(np.clip(rng.normal(), -2, 2))
        for f in fields(Expression)
    )
    return Expression(*values)


def shade(colour: Colour, factor: float) -> Colour:
    """``colour`` darker (below 1) or lighter."""
    r, g, b = (int(min(255, max(0, value * factor))) for value in colour)
    return r, g, b


def ellipse(
    image: Image, centre: tuple[float, float], axes: tuple[float, float], colour: Colour | int, **kw: float
) -> None:
    """Filled smooth ellipse; ``angle``, ``start`` and ``stop`` in degrees."""
    scale = 1 << _SHIFT
    cv2.ellipse(
        image,
        (round(centre[0] * scale), round(centre[1] * scale)),
        (round(axes[0] * scale), round(axes[1] * scale)),
        kw.get("angle", 0.0),
        kw.get("start", 0.0),
        kw.get("stop", 360.0),
        colour,
        -1,
        cv2.LINE_AA,
        _SHIFT,
    )


def polygon(image: Image, points: NDArray[np.float64], colour: Colour | int) -> None:
    """Filled smooth polygon through ``points`` [P, 2]."""
    cv2.fillPoly(image, [np.round(points * (1 << _SHIFT)).astype(np.int32)], colour, cv2.LINE_AA, _SHIFT)


def blob(image: Image, centre: tuple[float, float], axes: tuple[float, float], colour: Colour, amount: float) -> None:
    """Soft spot of ``colour``, at most ``amount`` strong, that fades out over ``axes``."""
    reach = 1.8
    x0, x1 = max(0, int(centre[0] - reach * axes[0])), min(image.shape[1], int(centre[0] + reach * axes[0]) + 1)
    y0, y1 = max(0, int(centre[1] - reach * axes[1])), min(image.shape[0], int(centre[1] + reach * axes[1]) + 1)
    y, x = np.mgrid[y0:y1, x0:x1]
    weight = amount * np.exp(-2 * (((x - centre[0]) / axes[0]) ** 2 + ((y - centre[1]) / axes[1]) ** 2))[..., None]
    part = image[y0:y1, x0:x1]
    part[:] = np.round(part * (1 - weight) + np.array(colour) * weight).astype(np.uint8)


def portrait(looks: Looks) -> tuple[Image, Image]:
    """The head without eyes, brows and mouth: RGB [H, W, 3] and its outline as alpha [H, W]."""
    wide, tall = 82 * looks.width, 106 * looks.length
    image = np.full((HEIGHT, WIDTH, 3), looks.hair, np.uint8)
    alpha = np.zeros((HEIGHT, WIDTH), np.uint8)
    _hair_behind(alpha, looks, wide, tall)
    for canvas, colour in ((image, shade(looks.skin, 0.93)), (alpha, 255)):
        polygon(canvas, _outline(wide, tall), colour)
    _shading(image, looks)
    _hair_front(image, alpha, looks, wide, tall)
    if looks.cut < 3:
        _ears(image, alpha, looks, wide)
    return image, alpha


def _ears(image: Image, alpha: Image, looks: Looks, wide: float) -> None:
    for side in (-1, 1):
        x, y = CENTRE[0] + side * (wide + 5), CENTRE[1] + 2
        for canvas, colour in ((image, shade(looks.skin, 0.9)), (alpha, 255)):
            ellipse(canvas, (x, y), (11, 22), colour, angle=side * 8)
        ellipse(image, (x + side, y), (5, 13), shade(looks.skin, 0.74), angle=side * 8)


def _outline(wide: float, tall: float) -> NDArray[np.float64]:
    """The edge of the face: an ellipse with a narrower chin."""
    angle = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    x, y = np.cos(angle), np.sin(angle)
    taper = 1 - 0.16 * np.clip(y, 0, 1) ** 2
    return np.stack([CENTRE[0] + wide * x * taper, CENTRE[1] + tall * y], axis=1)


def _shading(image: Image, looks: Looks) -> None:
    cx, cy = CENTRE
    light, dark = shade(looks.skin, 1.08), shade(looks.skin, 0.62)
    blob(image, (cx, cy - 62), (70, 40), light, 0.55)
    blob(image, (cx, cy + 84), (40, 24), light, 0.3)
    for side in (-1, 1):
        eye = cx + side * 36 * looks.gap
        blob(image, (eye, cy - 14), (34, 22), dark, 0.55)
        blob(image, (cx + side * 46, cy + 34), (34, 28), light, 0.75)
        blob(image, (cx + side * 48, cy + 36), (26, 18), (226, 120, 110), 0.22)
        blob(image, (cx + side * 12, cy + 34), (9, 8), shade(looks.skin, 0.5), 0.6)
    blob(image, (cx, cy + 6), (13, 46), shade(looks.skin, 1.14), 0.8)
    blob(image, (cx, cy + 27), (15, 13), shade(looks.skin, 1.12), 0.6)
    blob(image, (cx, cy + 42), (20, 7), dark, 0.45)


def _hair_behind(alpha: Image, looks: Looks, wide: float, tall: float) -> None:
    cx, cy = CENTRE
    ellipse(alpha, (cx, cy - 22), (wide + 12, tall - 2), 255, start=180, stop=360)
    if looks.cut >= 3:
        drop = 40 if looks.cut == 3 else 105
        sides = np.array([[-wide - 14, -30], [wide + 14, -30], [wide + 20, drop], [wide - 22, drop + 14]])
        corners = np.vstack([sides, [[-wide + 22, drop + 14], [-wide - 20, drop]]])
        polygon(alpha, corners + CENTRE, 255)


def _hair_front(image: Image, alpha: Image, looks: Looks, wide: float, tall: float) -> None:
    """The fringe: an arc over the forehead whose lower edge depends on the cut."""
    cx, cy = CENTRE
    angle = np.linspace(np.pi, 2 * np.pi, 40)
    top = np.stack([cx + (wide + 13) * np.cos(angle), cy - 18 + (tall + 2) * np.sin(angle)], axis=1)
    x = np.linspace(1, -1, 40)
    part = (0.0, 0.5, -0.5, 0.0, 0.35)[looks.cut]
    height = 70 + 12 * (1 - np.abs(x - part)) - 52 * np.abs(x) ** 6
    edge = np.stack([cx + wide * 1.02 * x, cy - height * looks.length], axis=1)
    polygon(image, np.vstack([top, edge]), looks.hair)
    polygon(alpha, np.vstack([top, edge]), 255)
    blob(image, (cx - 26, cy - tall + 2), (46, 16), shade(looks.hair, 1.7), 0.5)


def face(base: Image, looks: Looks, show: Expression, gape: float, blink: bool) -> Image:
    """``base`` with eyes, brows and mouth; ``gape`` opens the mouth beyond the expression's own."""
    image = base.copy()
    for side in (-1, 1):
        _eye(image, looks, side, 0.08 if blink else show.eyes)
        _brow(image, looks, side, show)
    _mouth(image, looks, show, max(0.0, show.gape) * 0.9 + gape)
    return image


def _eye(image: Image, looks: Looks, side: int, openness: float) -> None:
    x, y = CENTRE[0] + side * 36 * looks.gap, CENTRE[1] - 12.0
    tall = 11.0 * openness
    lid, line = shade(looks.skin, 0.78), shade(looks.hair, 0.6)
    ellipse(image, (x, y - 1.5), (20, tall + 4), lid)
    ellipse(image, (x, y - 2.0), (19.5, tall + 2.5), line)
    if openness < 0.3:
        ellipse(image, (x, y - 3.5), (19, tall + 1.5), lid)
        return
    mask = np.zeros(image.shape[:2], np.uint8)
    ellipse(mask, (x, y + 0.8), (17.5, tall), 255)
    ball = image.copy()
    ellipse(ball, (x, y), (20, tall + 3), (236, 234, 231))
    ellipse(ball, (x, y), (10.5, 10.5), looks.iris)
    ellipse(ball, (x, y), (5.8, 5.8), (14, 12, 12))
    ellipse(ball, (x - 3.5, y - 3.8), (2.6, 2.6), (255, 255, 255))
    image[:] = mix(image, ball, mask)


def _brow(image: Image, looks: Looks, side: int, show: Expression) -> None:
    x = np.linspace(-1, 1, 20)
    middle = CENTRE[0] + side * 38 * looks.gap
    height = CENTRE[1] - 38 - 9 * show.lift - 4 * (1 - x**2) + 9 * show.frown * -x * 1.0
    along = middle + side * 24 * x
    thick = looks.brows * 4.2 * (1.15 - 0.75 * (x + 1) / 2)
    points = np.vstack([np.stack([along, height - thick], 1), np.stack([along, height + thick], 1)[::-1]])
    polygon(image, points, shade(looks.hair, 0.85))


def _mouth(image: Image, looks: Looks, show: Expression, gape: float) -> None:
    cx, cy = CENTRE[0], CENTRE[1] + 62
    half = 30 * (1 + show.stretch)
    x = np.linspace(-1, 1, 31)
    bend = -15 * show.smile * (x**2 - 0.45)
    arch = np.sqrt(np.clip(1 - x**2, 0, 1))
    upper = cy + bend - (2 + 5 * gape) * arch
    lower = cy + bend + (2 + 24 * gape) * arch
    lip = shade((196, 96, 92), 0.55 + 0.45 * looks.skin[0] / 255)

    def ring(top: NDArray[np.float64], bottom: NDArray[np.float64], grow: float) -> NDArray[np.float64]:
        across = cx + (half + grow) * x
        return np.vstack([np.stack([across, top - grow * arch], 1), np.stack([across, bottom + grow * arch], 1)[::-1]])

    polygon(image, ring(upper, lower, 5.0), lip)
    polygon(image, ring(upper, lower, 0.0), (70, 26, 30))
    if gape > 0.16:
        polygon(image, ring(upper, np.minimum(upper + 5 * arch + 1, lower), -1.0), (240, 238, 232))


def mix(under: Image, over: Image, mask: Image) -> Image:
    """``over`` where ``mask`` is 255, ``under`` where it is 0."""
    weight = cv2.merge([mask, mask, mask])
    kept = cv2.multiply(under, 255 - weight, scale=1 / 255)
    return np.asarray(cv2.add(kept, cv2.multiply(over, weight, scale=1 / 255)), np.uint8)
