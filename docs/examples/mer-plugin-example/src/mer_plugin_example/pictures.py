"""From face crops to what a model wants: colour, scale, mean and deviation, order of the axes."""

from __future__ import annotations

import numpy as np
from mer_core.plugin import FloatArray, ImageArray

from mer_plugin_example.options import OnnxFaceOptions

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Shares of red, green and blue in grey (ITU-R BT.601)."""


def pictures(images: ImageArray, options: OnnxFaceOptions, channels_last: bool) -> FloatArray:
    """uint8 RGB [N, H, W, 3] -> float32 [N, C, H, W], or [N, H, W, C] with ``channels_last``."""
    mean: FloatArray = np.array(options.mean or (0.0,), np.float32)
    std: FloatArray = np.array(options.std or (1.0,), np.float32)
    scaled = _coloured(images, options.colour) / np.float32(255 if options.scale else 1)
    values: FloatArray = (scaled - mean) / std
    return np.ascontiguousarray(values if channels_last else values.transpose(0, 3, 1, 2))


def _coloured(images: ImageArray, colour: str) -> FloatArray:
    values = images.astype(np.float32)
    if colour == "grey":
        return (values @ LUMA)[..., np.newaxis]
    return values[..., ::-1] if colour == "bgr" else values


def softmax(logits: FloatArray) -> FloatArray:
    """Rows [N, D] that are positive and sum to 1."""
    powers: FloatArray = np.exp(logits - logits.max(axis=1, keepdims=True))
    sums: FloatArray = powers.sum(axis=1, keepdims=True)
    return powers / sums
