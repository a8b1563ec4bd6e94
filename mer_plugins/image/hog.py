"""Face features without weights: histograms of oriented gradients of aligned face crops.

Method: N. Dalal and B. Triggs, "Histograms of oriented gradients for human detection", CVPR 2005.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mer_core.plugin import (
    Failure,
    Features,
    Field,
    FloatArray,
    Frames,
    FramesInput,
    ImageArray,
    Input,
    Missing,
    Options,
    Sample,
)


class HogOptions(Options):
    """Options of the ``hog`` extractor."""

    fps: float = Field(5.0, gt=0, le=60)
    """Face crops per second of video."""
    size: int = Field(128, ge=32, le=512, multiple_of=32)
    """Side of the square face crop in pixels."""
    cells: int = Field(8, ge=2, le=16, multiple_of=2)
    """Cells along each side of the crop; two by two of them are normalised together."""
    bins: int = Field(9, ge=4, le=18)
    """Directions per cell, over half a turn."""

    def inputs(self) -> dict[str, Input]:
        """Aligned face crops at ``fps``."""
        return {"frames": FramesInput(fps=self.fps, faces=True, size=self.size)}


class Hog:
    """Features [T, D] of the main face, one row per crop."""

    def __init__(self, options: HogOptions, device: str) -> None:
        self.options = options
        cell = options.size // options.cells
        window, block = (options.size, options.size), (2 * cell, 2 * cell)
        self._hog = cv2.HOGDescriptor(window, block, block, (cell, cell), options.bins)

    @property
    def dim(self) -> int:
        """Cells times bins, 576 with default options."""
        return self.options.cells**2 * self.options.bins

    def extract(self, batch: Sequence[Sample]) -> list[Features | Missing | Failure]:
        """Features of each clip; missing where no face was found."""
        return [self._one(sample.frames()) for sample in batch]

    def _one(self, faces: Frames) -> Features | Missing:
        if not len(faces):
            return Missing("no face")
        return Features(np.stack([self._describe(image) for image in faces.images]), faces.times)

    def _describe(self, image: ImageArray) -> FloatArray:
        """HOG [D] of one crop uint8 [H, W, 3]; crops of another size are brought to ``size``."""
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        side = self.options.size
        if grey.shape != (side, side):
            grey = cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA)
        return np.asarray(self._hog.compute(grey), np.float32).reshape(-1)
