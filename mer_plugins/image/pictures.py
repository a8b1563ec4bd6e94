"""Pictures of many clips through one encoder: in batches that do not care where a clip ends, memory bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from mer_core.plugin import FloatArray, Frames, ImageArray
from mer_plugins import hf
from mer_plugins.image.preprocess import Recipe

BATCH = {"cuda": 64, "cpu": 8}
"""Pictures computed at once where options do not say: on a CPU larger batches are no faster."""

THREADS = 4
"""Threads that resize pictures, at most; Pillow lets other threads run meanwhile."""


class Pictures:
    """Runs ``encode`` (float32 [B, 3, h, w] to [B, D]) over pictures that ``recipe`` prepares."""

    def __init__(
        self, encode: Callable[[Tensor], Tensor], recipe: Recipe, device: str, dtype: str, batch: int | None = None
    ) -> None:
        kind = device.partition(":")[0]
        self._encode, self._recipe, self._device, self._dtype = encode, recipe, device, dtype
        self._cuda = kind == "cuda"
        self._batch = batch or BATCH.get(kind, BATCH["cpu"])
        self._levels = recipe.table
        self._table = hf.to_device(self._levels, device)

    def of_clips(self, clips: Sequence[Frames]) -> list[FloatArray]:
        """Values [T, D] of each clip; of one without frames [0]."""
        images = [image for clip in clips for image in clip.images]
        if not images:
            return [np.empty(0, np.float32) for _ in clips]
        values = self.of(images)
        ends = np.cumsum([len(clip) for clip in clips])
        return np.split(values, ends[:-1])

    def of(self, images: Sequence[ImageArray]) -> FloatArray:
        """Values [N, D] of N images uint8 [H, W, 3], of whatever sizes."""
        with hf.computing(self._device, self._dtype):
            found = [self._encode(self.prepared(part)).float() for part in _parts(images, self._batch)]
            values: FloatArray = torch.cat(found).cpu().numpy()
        return values

    def prepared(self, images: Sequence[ImageArray]) -> Tensor:
        """float32 [B, 3, h, w] on the device; a GPU is still busy with the batch before it."""
        cut = np.stack(self._cut(images))
        if not self._cuda:
            found = np.empty((len(cut), len(self._levels), *cut.shape[1:3]), np.float32)
            for number, row in enumerate(self._levels):
                found[:, number] = row[cut[..., number]]
            return hf.to_device(found, self._device)
        pixels = hf.to_device(cut, self._device)
        return torch.stack([row[pixels[..., number].int()] for number, row in enumerate(self._table)], dim=1)

    def _cut(self, images: Sequence[ImageArray]) -> list[ImageArray]:
        """What the recipe keeps of each: by several threads, on a CPU no more than compute."""
        threads = min(len(images), THREADS if self._cuda else min(THREADS, torch.get_num_threads()))
        if threads < 2:
            return [self._recipe.cut(image) for image in images]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(self._recipe.cut, images))


def _parts(images: Sequence[ImageArray], count: int) -> Iterator[list[ImageArray]]:
    left = iter(images)
    while part := list(islice(left, count)):
        yield part
