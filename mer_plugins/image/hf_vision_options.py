"""Options of ``hf-vision``. Light: nothing here imports numpy or torch."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from mer_core.plugin import Weights
from mer_plugins.architecture import check_known
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

    def check_weights(self, place: Path) -> None:
        """As for all weights; models that are known not to read pictures are refused, too."""
        check_known(place, "pictures", self.model)
        super().check_weights(place)
