"""Frame and utterance features of emotion2vec, and its scores for nine emotions.

Recipe of the published pipeline (FunASR), which the MER2024 baseline calls too: the whole waveform normalised, the
last hidden states, their mean for an utterance. Unlike there, long sound goes in windows with context.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from mer_core.plugin import Audio, Failure, Features, FloatArray, Missing, Sample
from mer_plugins import hf
from mer_plugins.speech import emotion2vec_checkpoint as checkpoint
from mer_plugins.speech.chunks import Grid, windows
from mer_plugins.speech.emotion2vec_options import Emotion2vecOptions
from mer_plugins.speech.pieces import (
    RATE,
    Piece,
    encode_by_length,
    extract_in_pieces,
    normalised,
    side_by_side,
    unheard,
)

EPSILON = 1e-5
"""Added to the variance of the waveform; silence stays finite."""


class Emotion2vecExtractor:
    """Features [T, D], 50 frames per second; [1, D] their mean; or [1, 9] probabilities of the emotions."""

    def __init__(self, options: Emotion2vecOptions, device: str) -> None:
        self.options = options
        self.device = device
        file = checkpoint.find(options.located().path)
        self.model = checkpoint.load(file, device)
        self.grid = Grid.of(self.model.shape)
        self.labels = checkpoint.labels(file, self.model.shape.classes) if options.output == "scores" else []
        self.dtype = options.compute_dtype(device)

    @property
    def dim(self) -> int:
        """Width of the network, or the number of emotions."""
        return len(self.labels) or self.model.shape.width

    def extract(self, batch: Sequence[Sample]) -> list[Features | Missing | Failure]:
        """Features of each clip; missing where it is shorter than one frame (25 ms)."""
        return extract_in_pieces(batch, self._pieces, self._encoded, self._answer)

    def _answer(self, audio: Audio, parts: list[FloatArray]) -> Features | Missing | Failure:
        if not parts:
            return unheard(audio, f"one frame ({self.grid.window} samples)")
        values = np.concatenate(parts)
        if self.options.output == "frames":
            return Features(values, (np.arange(len(values)) * self.grid.hop + self.grid.window / 2) / RATE)
        mean = values.mean(axis=0, dtype=np.float64).astype(np.float32)
        row = self._scores(mean) if self.labels else mean
        return Features(row[None], np.array([audio.duration / 2]))

    @torch.inference_mode()
    def _scores(self, mean: FloatArray) -> FloatArray:
        """Probabilities of the emotions; unused classes have none."""
        logits = self.model.scores(hf.to_device(mean, self.device))[self.labels]
        found: FloatArray = logits.softmax(dim=-1).cpu().numpy()
        return found

    def _pieces(self, clip: int, audio: Audio) -> Iterator[Piece]:
        """Windows of one clip, in order; none where it is too short or not finite."""
        frames = self.grid.frames(len(audio.samples))
        if not frames or not np.isfinite(audio.samples).all():
            return
        wave = normalised(audio.samples, EPSILON) if self.options.normalise else audio.samples
        chunk, overlap = (round(each * RATE / self.grid.hop) for each in (self.options.chunk, self.options.overlap))
        for window in windows(frames, chunk, overlap):
            yield Piece(clip, wave[self.grid.samples(window.first, window.last)], window.kept)

    def _encoded(self, pieces: Sequence[Piece]) -> list[FloatArray]:
        """Hidden states [T, D] of each piece, computed in batches of similar length."""
        with hf.computing(self.device, self.dtype):
            return encode_by_length(pieces, self.grid, self.device, lambda waves: self._forward(waves).float())

    def _forward(self, waves: Sequence[FloatArray]) -> Tensor:
        """Hidden states [B, T, D] of waves, which are padded with zeros to the longest."""
        frames = np.array([self.grid.frames(len(wave)) for wave in waves])
        mask = hf.to_device(np.arange(frames.max()) < frames[:, None], self.device)
        found: Tensor = self.model(hf.to_device(side_by_side(waves), self.device), mask)
        return found
