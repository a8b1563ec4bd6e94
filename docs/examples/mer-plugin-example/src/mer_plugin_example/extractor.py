"""The extractor: faces of a clip -> pictures as the model wants them -> one row per face."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mer_core.plugin import Failure, Features, FloatArray, Frames, ImageArray, Missing, OptionError, Sample

from mer_plugin_example.model import Model
from mer_plugin_example.options import OnnxFaceOptions
from mer_plugin_example.pictures import pictures, softmax


class OnnxFace:
    """Features [T, D] of the main face, one row per crop.

    Raises:
        OptionError: the file is no ONNX model, or is not one that fits the other options.
        MissingPackageError: hidden features are wanted and ``onnx`` is not installed.
    """

    def __init__(self, options: OnnxFaceOptions, device: str) -> None:
        self.options = options
        self._model = Model(options, device)
        black = np.zeros((1, options.size, options.size, 3), np.uint8)
        self._dim = int(self._rows(black).shape[1])
        self._check_classes()

    @property
    def dim(self) -> int:
        """Width of the chosen tensor."""
        return self._dim

    def extract(self, batch: Sequence[Sample]) -> list[Features | Missing | Failure]:
        """Each clip by itself, ``options.batch`` faces at once: nothing passes from one clip to another."""
        return [self._one(sample.frames()) for sample in batch]

    def _one(self, faces: Frames) -> Features | Missing:
        if not len(faces):
            return Missing("no face")
        step = self._model.batch or self.options.batch
        rows = [self._rows(faces.images[start : start + step]) for start in range(0, len(faces), step)]
        return Features(np.concatenate(rows), faces.times)

    def _rows(self, images: ImageArray) -> FloatArray:
        """[N, D] for crops uint8 [N, size, size, 3]."""
        values = self._model(pictures(images, self.options, self._model.channels_last))
        return softmax(values) if self.options.output == "probabilities" else values

    def _check_classes(self) -> None:
        named = len(self.options.classes)
        if named and self.options.output != "features" and named != self._dim:
            raise OptionError(
                f"onnx-face: {named} classes are named, but {self.options.model.name} has {self._dim} outputs.",
                "Name them all, in the model's order, or leave classes out.",
            )
