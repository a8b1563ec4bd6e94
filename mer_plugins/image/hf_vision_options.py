"""Options of ``hf-vision``. Light: nothing here imports numpy or torch."""

from __future__ import annotations

from typing import ClassVar, Literal

from mer_core.plugin import Weights
from mer_plugins.image.options import FaceOptions
from mer_plugins.image.weights import VISION


class HfVisionOptions(FaceOptions):
    """Options of the ``hf-vision`` extractor."""

    known: ClassVar[tuple[Weights, ...]] = VISION

    model: str = VISION[0].name
    """Name of known weights, hub id (owner/name), or a local folder with config.json and preprocessor_config.json."""
    take: Literal["pooled", "cls", "mean", "mertools"] = "pooled"
    """pooled: what the model itself calls the picture's vector; cls: the last layer's class token; mean: the mean of
    its patches; mertools: the sum of all tokens before the final norm (MER2024 baseline, there with count=64)."""
