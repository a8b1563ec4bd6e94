"""Video features without weights: how the whole picture moves and changes from frame to frame.

Dense flow by G. Farneback, "Two-frame motion estimation based on polynomial expansion", SCIA 2003.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

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

BINS = 8
"""Directions of the histogram of flow."""
WHOLE = 6
"""Figures for the whole picture: mean and peak speed, drift x and y, spread, brightness change."""


class MotionOptions(Options):
    """Options of the ``motion`` extractor."""

    fps: float = Field(5.0, gt=0, le=30)
    """Frames per second that are compared, each with the one before it."""
    max_side: int = Field(320, ge=64)
    """Frames are decoded with at most this many pixels on the longer side."""
    side: int = Field(128, ge=32, le=512)
    """Flow is computed on a square of so many pixels, whatever the shape of the frame."""
    grid: int = Field(4, ge=1, le=16)
    """The picture is described in this many rows and columns of cells."""

    def inputs(self) -> dict[str, Input]:
        """Whole frames at ``fps``."""
        return {"frames": FramesInput(fps=self.fps, max_side=self.max_side)}


class Motion:
    """Features [T - 1, D] of T frames: one row per pair of neighbours, timed between the two.

    Columns: speed, flow to the right, flow downwards and change of brightness in each cell; a
    histogram of directions; figures for the whole picture. Lengths count in pictures (widths
    across, heights down), flow in pictures per second, all as signed logarithms.
    """

    def __init__(self, options: MotionOptions, device: str) -> None:
        self.options = options

    @property
    def dim(self) -> int:
        """78 with default options."""
        return 4 * self.options.grid**2 + BINS + WHOLE

    def extract(self, batch: Sequence[Sample]) -> list[Features | Missing | Failure]:
        """Features of each clip; missing where there are no two frames to compare."""
        return [self._one(sample.frames()) for sample in batch]

    def _one(self, frames: Frames) -> Features | Missing:
        if len(frames) < 2:
            return Missing("fewer than two frames")
        pictures = (self._picture(image) for image in frames.images)
        gaps = np.maximum(np.diff(frames.times), 1e-3)
        rows = [self._compare(*pair, gap) for pair, gap in zip(pairwise(pictures), gaps, strict=True)]
        return Features(np.stack(rows), (frames.times[1:] + frames.times[:-1]) / 2)

    def _picture(self, image: ImageArray) -> ImageArray:
        """Grey uint8 [side, side] of an image uint8 [H, W, 3]."""
        side = self.options.side
        grey: ImageArray = cv2.resize(
            cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (side, side), interpolation=cv2.INTER_AREA
        )
        return grey

    def _compare(self, before: ImageArray, after: ImageArray, gap: float) -> FloatArray:
        """Features [D] of two pictures that are ``gap`` seconds apart."""
        side, grid = self.options.side, self.options.grid
        flow = cv2.calcOpticalFlowFarneback(before, after, None, 0.5, 3, 15, 3, 5, 1.2, 0) / (side * gap)
        speed = np.hypot(flow[..., 0], flow[..., 1])
        change = np.abs(after.astype(np.float32) - before) / 255
        cells = cv2.resize(np.dstack([speed, flow, change]), (grid, grid), interpolation=cv2.INTER_AREA)
        whole = [speed.mean(), np.percentile(speed, 95), *flow.mean(axis=(0, 1)), speed.std(), change.mean()]
        return squash(np.concatenate([cells.ravel(), directions(flow, speed), whole]))


def directions(flow: FloatArray, speed: FloatArray) -> FloatArray:
    """Mean speed of the flow [H, W, 2] towards each of ``BINS`` directions [BINS]."""
    turn = np.arctan2(flow[..., 1], flow[..., 0]) / (2 * np.pi)
    number = np.floor(turn * BINS + 0.5).astype(int) % BINS
    found: FloatArray = np.bincount(number.ravel(), speed.ravel() / speed.size, BINS).astype(np.float32)
    return found


def squash(values: FloatArray) -> FloatArray:
    """Signed logarithm: keeps small movements apart and large ones bounded."""
    found: FloatArray = (np.sign(values) * np.log1p(100 * np.abs(values))).astype(np.float32)
    return found
