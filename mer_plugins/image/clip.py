"""Picture by picture through CLIP's image tower: the projected embedding, not normalised.

A. Radford et al., "Learning transferable visual models from natural language supervision", ICML 2021. The MER2024
baseline and its winner both take these embeddings of every aligned face.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from mer_core.plugin import Failure, Features, FloatArray, Missing, Sample
from mer_plugins import hf
from mer_plugins.image.clip_checkpoint import read_clip
from mer_plugins.image.clip_options import ClipWeights
from mer_plugins.image.pictures import Pictures
from mer_plugins.image.preprocess import check_size


class Clip:
    """Features [T, D] with the time of each picture (D 768 for ViT-L/14, 512 for ViT-B)."""

    def __init__(self, options: ClipWeights, device: str) -> None:
        checkpoint = read_clip(options.located(), options.architecture)
        self.model = checkpoint.tower().to(device)
        self.options, self.normalise = options, options.normalise
        self.dim = checkpoint.dim
        size: Any = self.model.image_size
        recipe = checkpoint.recipe(size)
        check_size(checkpoint.path, recipe, size)
        dtype = options.compute_dtype(device)
        hf.rounded(self.model, dtype)
        self.pictures = Pictures(self._embed, recipe, device, dtype, options.batch)

    def extract(self, batch: Sequence[Sample]) -> list[Features | Missing | Failure]:
        """Features of each clip; missing where there is no picture."""
        clips = [sample.frames() for sample in batch]
        values = self.pictures.of_clips(clips)
        return [
            Features(found, clip.times) if len(clip) else Missing("no picture")
            for clip, found in zip(clips, values, strict=True)
        ]

    def class_embeddings(self, classes: Sequence[str]) -> FloatArray:
        """Embeddings [C, D] of the classes' words, to compare pictures with; the text tower is read when asked."""
        from mer_plugins.image.clip_text import class_embeddings
        from mer_plugins.video.emovclip_words import class_words

        model = read_clip(self.options.located(), self.options.architecture).model()
        return class_embeddings(model, class_words(classes))

    def _embed(self, pixels: Tensor) -> Tensor:
        """Embeddings [B, D] of float32 [B, 3, h, w]."""
        found: Tensor = self.model(pixels)
        return nn.functional.normalize(found.float(), dim=-1) if self.normalise else found
