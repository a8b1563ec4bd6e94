"""VideoMAE: 16 frames at once, one vector for each moment that its tokens stand for (two frames).

Z. Tong et al., "VideoMAE: masked autoencoders are data-efficient learners for self-supervised video pre-training",
NeurIPS 2022. As in the MER2024 baseline, the patches of each moment are averaged: eight rows for 16 frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mer_core.media.sampling import segment_indices
from mer_core.plugin import Failure, Features, FloatArray, Frames, ImageArray, Missing, PluginError, Sample
from mer_plugins import hf
from mer_plugins.architecture import check_kind
from mer_plugins.image.pictures import Pictures
from mer_plugins.image.preprocess import check_size, of_folder
from mer_plugins.video.videomae_options import FRAMES, VideoMaeOptions

WINDOWS = {"cuda": 8, "cpu": 1}
"""Windows computed at once where options do not say."""


@dataclass(frozen=True, slots=True)
class Window:
    """16 frames of clip number ``clip``, by their places in it, and which moments of them count."""

    clip: int
    places: tuple[int, ...]
    kept: slice


class VideoMae:
    """Features [T, D] with the time of each moment, the middle of its two frames (D 768 or 1024)."""

    def __init__(self, options: VideoMaeOptions, device: str) -> None:
        folder = options.located().path
        check_kind(folder, "videomae")
        recipe = of_folder(folder)
        self.model = hf.load(folder, device)
        config = self.model.config
        if config.num_frames != FRAMES:
            raise PluginError(f"{folder} holds no VideoMAE for {FRAMES} frames.", "Name other weights.")
        check_size(folder, recipe, config.image_size)
        self.step = int(config.tubelet_size)
        self.dim = int(config.hidden_size)
        windows = options.batch or WINDOWS.get(device.partition(":")[0], WINDOWS["cpu"])
        dtype = options.compute_dtype(device)
        hf.rounded(self.model, dtype)
        self.pictures = Pictures(self._encode, recipe, device, dtype, windows * FRAMES)

    def extract(self, batch: Sequence[Sample]) -> list[Features | Missing | Failure]:
        """Features of each clip; missing where there is no frame."""
        clips = [sample.frames() for sample in batch]
        windows = [window for number, clip in enumerate(clips) for window in self._windows(number, len(clip))]
        rows: list[list[FloatArray]] = [[] for _ in clips]
        times: list[list[NDArray[np.float64]]] = [[] for _ in clips]
        for window, values in zip(windows, self._values(clips, windows), strict=True):
            moments = clips[window.clip].times[list(window.places)].reshape(-1, self.step).mean(axis=1)
            rows[window.clip].append(values[window.kept])
            times[window.clip].append(moments[window.kept])
        return [
            Features(np.concatenate(found), np.concatenate(when)) if found else Missing("no frame")
            for found, when in zip(rows, times, strict=True)
        ]

    def _windows(self, clip: int, count: int) -> Iterator[Window]:
        """Windows one after the other; the last one reaches back, and only what is new in it counts."""
        if not count:
            return
        if count < FRAMES:
            yield Window(clip, tuple(segment_indices(count, FRAMES)), slice(None))
            return
        for first in range(0, count - FRAMES + 1, FRAMES):
            yield Window(clip, tuple(range(first, first + FRAMES)), slice(None))
        left = -(-(count % FRAMES) // self.step)
        if left:
            yield Window(clip, tuple(range(count - FRAMES, count)), slice(FRAMES // self.step - left, None))

    def _values(self, clips: Sequence[Frames], windows: Sequence[Window]) -> list[FloatArray]:
        """Moments [FRAMES / step, D] of each window."""
        images: list[ImageArray] = [clips[one.clip].images[place] for one in windows for place in one.places]
        return np.split(self.pictures.of(images), len(windows)) if windows else []

    def _encode(self, pixels: Tensor) -> Tensor:
        """[B * FRAMES / step, D]: the mean over patches of each moment of float32 [B * FRAMES, 3, h, w]."""
        tokens: Tensor = self.model(pixel_values=pixels.unflatten(0, (-1, FRAMES))).last_hidden_state
        count, _, width = tokens.shape
        return tokens.reshape(count * FRAMES // self.step, -1, width).mean(dim=1)
