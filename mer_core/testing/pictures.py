"""Synthetic pictures for the conformance kit: a simple drawn face that moves and speaks.

Simple, but a face to OpenCV's cascades: dark sockets, a bright nose between them, a dark mouth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mer_core.aliases import ImageArray

    Plane = NDArray[np.float32]

SKINS = ((226, 180, 145), (244, 208, 178), (207, 156, 118), (236, 194, 160), (250, 219, 196))
MOUTHS = 4
"""Openings of the mouth, one after the other."""


@dataclass(frozen=True)
class DrawnStream:
    """A :class:`mer_core.types.FrameStream` over pictures uint8 [T, H, W, 3] at ``times`` [T] seconds."""

    images: ImageArray
    times: NDArray[np.float64]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return int(self.images.shape[2]), int(self.images.shape[1])

    def __iter__(self) -> Iterator[tuple[float, ImageArray]]:
        """Times with pictures that the reader may keep or change."""
        return ((float(time), image.copy()) for time, image in zip(self.times, self.images, strict=True))


def scene(count: int, width: int, height: int, seed: int, fps: float) -> ImageArray:
    """``count`` whole frames uint8 [T, height, width, 3]: a head swaying before a passing pattern."""
    behind = _pattern(width, height, seed)
    tall = round(0.8 * height)
    wide = round(0.78 * tall)
    heads = [head(wide, tall, seed, mouth) for mouth in range(MOUTHS)]
    frames = np.empty((count, height, width, 3), np.uint8)
    for number in range(count):
        time = number / fps
        frames[number] = np.roll(behind, round(0.2 * width * time), axis=1)
        sway = 0.5 + 0.3 * np.sin(2 * np.pi * 0.4 * time + seed)
        left, top = round((width - wide) * sway), (height - tall) // 2
        drawn, alpha = heads[int(time * 8) % MOUTHS]
        under = frames[number, top : top + tall, left : left + wide]
        under[:] = np.where(alpha[..., None], drawn, under)
    return frames


def faces(count: int, size: int, seed: int, fps: float) -> ImageArray:
    """``count`` aligned face crops uint8 [T, size, size, 3]: they speak, and nod a little."""
    states = [head(size, size, seed, mouth)[0] for mouth in range(MOUTHS)]
    frames = np.empty((count, size, size, 3), np.uint8)
    for number in range(count):
        time = number / fps
        nod = round(0.03 * size * np.sin(2 * np.pi * 0.7 * time + seed))
        frames[number] = np.roll(states[int(time * 8) % MOUTHS], nod, axis=0)
    return frames


def _pattern(width: int, height: int, seed: int) -> ImageArray:
    """Soft coloured waves that repeat at the left and right border."""
    y, x = np.mgrid[0:height, 0:width] / np.array([height, width]).reshape(2, 1, 1)
    waves = [np.sin(2 * np.pi * ((k + 1 + seed % 3) * x + (k + 2) * y) + seed + k) for k in range(3)]
    return np.asarray(110 + 25 * np.stack(waves, axis=-1), np.uint8)


def head(width: int, height: int, seed: int, mouth: int) -> tuple[ImageArray, NDArray[np.bool_]]:
    """A head, uint8 [height, width, 3], and where it is [height, width]."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    skin = np.array(SKINS[seed % len(SKINS)], np.float32)
    picture = np.ones((height, width, 3), np.float32) * (skin * 0.25)
    _paint(picture, _disc(x, y, 0, 0.12, 0.8, 0.88), skin * 0.95)
    for side in (-1, 1):
        _eye(picture, x, y, 0.37 * side, skin)
    _paint(picture, _disc(x, y, 0, 0.1, 0.1, 0.36), skin * 1.12)
    _paint(picture, _disc(x, y, 0, 0.4, 0.2, 0.05), skin * 0.6)
    gape = 0.05 + 0.035 * mouth
    _paint(picture, _disc(x, y, 0, 0.62, 0.34 - 0.03 * (seed % 3), gape + 0.06), skin * (0.75, 0.5, 0.5))
    _paint(picture, _disc(x, y, 0, 0.62, 0.27 - 0.03 * (seed % 3), gape), skin * 0.3)
    return np.clip(picture, 0, 255).astype(np.uint8), x**2 + y**2 < 1


def _eye(picture: Plane, x: Plane, y: Plane, at: float, skin: Plane) -> None:
    _paint(picture, 0.7 * _disc(x, y, at, -0.05, 0.32, 0.2), skin * 0.6)
    _paint(picture, _disc(x, y, 1.05 * at, 0.36, 0.3, 0.2), skin * 1.08)
    _paint(picture, _disc(x, y, at, -0.24, 0.26, 0.05), skin * 0.25)
    _paint(picture, _disc(x, y, at, -0.05, 0.2, 0.1), np.array([235, 233, 230], np.float32))
    _paint(picture, _disc(x, y, at, -0.05, 0.1, 0.1), np.array([40, 30, 25], np.float32))


def _disc(x: Plane, y: Plane, cx: float, cy: float, wide: float, tall: float) -> Plane:
    """A filled ellipse with a soft edge: 1 inside, 0 outside."""
    inside: Plane = np.clip(1.5 - np.hypot((x - cx) / wide, (y - cy) / tall), 0, 0.5) * 2
    return inside.astype(np.float32)


def _paint(picture: Plane, amount: Plane, colour: Plane) -> None:
    picture += amount[..., None] * (colour - picture)
