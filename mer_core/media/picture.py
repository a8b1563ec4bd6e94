"""From decoder frames to upright RGB images with square pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from av.error import FFmpegError
from av.video.reformatter import VideoReformatter

if TYPE_CHECKING:
    from mer_core.aliases import ImageArray


NEARLY_SQUARE = 0.02
"""Pixel aspects this close to 1 come from rounding by some converter and are ignored."""


class Upright:
    """Turns the frames of one video upright, as its display matrix asks, at any smaller size.

    Args:
        frame: the first av frame; its size and display matrix stand for all of them.
        aspect: width over height of one pixel, None or 0 where unknown.
    """

    def __init__(self, frame: Any, aspect: Any | None = None) -> None:
        ratio = float(aspect) if aspect and 0.25 <= aspect <= 4 else 1.0
        ratio = ratio if abs(ratio - 1) > NEARLY_SQUARE else 1.0
        self._stored = (max(1, round(frame.width * ratio)), frame.height)
        self._swap, self._flip_x, self._flip_y = orientation(frame)
        self._scalers: dict[tuple[int, int], Any] = {}

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the upright image at full size."""
        return self._turned(self._stored)

    def scaled(self, max_side: int | None) -> tuple[int, int]:
        """(width, height) of the upright image whose longer side is at most ``max_side``."""
        return self._turned(self._shrunk(max_side))

    def image(self, frame: Any, max_side: int | None = None) -> ImageArray:
        """``frame`` as uint8 [H, W, 3] RGB, upright, its longer side at most ``max_side`` pixels."""
        width, height = self._shrunk(max_side)
        image = self._rgb(frame, width, height).to_ndarray()
        if self._swap:
            image = image.transpose(1, 0, 2)
        image = image[:: -1 if self._flip_y else 1, :: -1 if self._flip_x else 1]
        return np.array(image, dtype=np.uint8, order="C")

    def _rgb(self, frame: Any, width: int, height: int) -> Any:
        scaler = self._scalers.setdefault((width, height), VideoReformatter())
        wanted: dict[str, Any] = {"format": "rgb24", "interpolation": "AREA", "threads": 1}
        try:
            return scaler.reformat(frame, width, height, **wanted)
        except FFmpegError:  # a colour space that the converter does not know, or a damaged tag
            return scaler.reformat(frame, width, height, src_colorspace="ITU601", src_color_range="MPEG", **wanted)

    def _shrunk(self, max_side: int | None) -> tuple[int, int]:
        width, height = self._stored
        scale = min(1.0, max_side / max(width, height)) if max_side else 1.0
        return max(1, round(width * scale)), max(1, round(height * scale))

    def _turned(self, size: tuple[int, int]) -> tuple[int, int]:
        return (size[1], size[0]) if self._swap else size


def orientation(frame: Any) -> tuple[bool, bool, bool]:
    """``(swap axes, then flip left-right, then flip upside-down)`` that put ``frame`` upright.

    Read from the display matrix (x' = a x + c y, y' = b x + d y), rounded to right angles.
    """
    matrix = _display_matrix(frame)
    if matrix is None:
        return False, False, False
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return False, bool(a < 0), bool(d < 0)
    return True, bool(c < 0), bool(b < 0)


def _display_matrix(frame: Any) -> list[int] | None:
    for item in frame.side_data:
        if item.type.name == "DISPLAYMATRIX" and item.buffer_size >= 36:
            return [int(value) for value in np.frombuffer(bytes(item)[:36], dtype="=i4")]
    return None


class Shot:
    """One decoded frame whose RGB images are made at most once per size."""

    def __init__(self, frame: Any, upright: Upright) -> None:
        self._frame = frame
        self._upright = upright
        self._made: dict[tuple[int, int], ImageArray] = {}

    def image(self, max_side: int | None = None) -> ImageArray:
        """uint8 [H, W, 3] RGB, upright, longer side at most ``max_side``. Not to be written to."""
        size = self._upright.scaled(max_side)
        if size not in self._made:
            self._made[size] = self._upright.image(self._frame, max_side)
        return self._made[size]
