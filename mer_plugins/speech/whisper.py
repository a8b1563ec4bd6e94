"""Frame features of Whisper's encoder, and the MER2024 baseline's reading of its decoder.

Whisper hears windows of 30 s, padded with silence; the frames of the padding are cut off. Source of the decoder
reading: MERTools, ``extract_audio_huggingface`` (it calls the whole model with two start tokens).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mer_core.plugin import Audio, Failure, Features, FloatArray, Missing, PluginError, Sample
from mer_core.weights import refetch
from mer_plugins import hf
from mer_plugins.architecture import check_kind, read_json
from mer_plugins.speech.chunks import windows
from mer_plugins.speech.pieces import RATE, Piece, device_kind, extract_in_pieces, unheard
from mer_plugins.speech.whisper_options import WhisperOptions

HOP = 320
"""Samples (of 16 kHz) from one frame of the encoder to the next: 20 ms."""

SHORTEST = 400
"""Samples of one window of the spectrum; shorter sound has no features."""

AT_ONCE = {"cuda": 8, "cpu": 1}
"""Windows computed together; each of them takes as much work as 30 s of sound."""


class Whisper:
    """Features [T, D], 50 frames per second, of the encoder; or [2, D] of the decoder (``source=decoder2``)."""

    def __init__(self, options: WhisperOptions, device: str) -> None:
        self.options = options
        self.device = device
        folder = options.located().path
        check_kind(folder, "whisper")
        self.model = hf.load(folder, device)
        self.spectrum = read_spectrum(folder, int(self.model.config.num_mel_bins))
        self.dim = int(self.model.config.d_model)
        self.dtype = options.compute_dtype(device)
        self.frames = int(self.model.config.max_source_positions)
        if options.source == "encoder":
            self.model = self.model.encoder
        hf.rounded(self.model, self.dtype)

    def extract(self, batch: Sequence[Sample]) -> list[Features | Missing | Failure]:
        """Features of each clip; missing where it is shorter than 25 ms."""
        return extract_in_pieces(batch, self._pieces, self._encoded, self._answer)

    def _answer(self, audio: Audio, parts: list[FloatArray]) -> Features | Missing | Failure:
        if parts:
            values = np.concatenate(parts)
            step = HOP / RATE if self.options.source == "encoder" else self._first(audio).duration / len(values)
            return Features(values, np.minimum((np.arange(len(values)) + 0.5) * step, audio.duration))
        return unheard(audio, f"{SHORTEST} samples")

    def _first(self, audio: Audio) -> Audio:
        """What fits into one window."""
        return Audio(audio.samples[: self.frames * HOP], audio.rate)

    def _pieces(self, clip: int, audio: Audio) -> Iterator[Piece]:
        """Windows of one clip, in order; none where it is too short or not finite."""
        if len(audio.samples) < SHORTEST or not np.isfinite(audio.samples).all():
            return
        if self.options.source == "decoder2":
            yield Piece(clip, self._first(audio).samples, slice(None))
            return
        overlap = round(self.options.overlap * RATE / HOP)
        overlap = min(overlap, (self.frames - 1) // 2)
        for window in windows(ceil(len(audio.samples) / HOP), self.frames - 2 * overlap, overlap):
            yield Piece(clip, audio.samples[window.first * HOP : window.last * HOP], window.kept)

    def _encoded(self, pieces: Sequence[Piece]) -> Iterator[FloatArray]:
        """Values [T, D] of each piece, of the whole window."""
        size = AT_ONCE[device_kind(self.device)]
        for start in range(0, len(pieces), size):
            mel = self._mel([piece.samples for piece in pieces[start : start + size]])
            with hf.computing(self.device, self.dtype):
                found = self._forward(mel)
            yield from found.float().cpu().numpy()

    def _mel(self, waves: Sequence[FloatArray]) -> Tensor:
        """Log-mel spectra [B, bands, 100 frames a second], float32 whatever the model computes in."""
        heard = self.spectrum(list(waves), sampling_rate=RATE, return_tensors="pt", device=self.device)
        return hf.to_device(heard.input_features, self.device)

    def _forward(self, mel: Tensor) -> Tensor:
        """The last hidden states [B, T, D] of the encoder, or [B, 2, D] of the decoder."""
        more = {}
        if self.options.source == "decoder2":
            start = self.model.config.decoder_start_token_id
            more = {"decoder_input_ids": torch.full((len(mel), 2), start, device=self.device)}
        found: Tensor = self.model(mel, **more).last_hidden_state
        return found


def read_spectrum(folder: Path, bands: int) -> Any:
    """Log-mel spectra as preprocessor_config.json describes them.

    Raises:
        PluginError: it is not there, or is another model's.
    """
    from transformers import WhisperFeatureExtractor

    told = read_json(folder / "preprocessor_config.json", "Copy it beside config.json.")
    if told.get("feature_size") != bands:
        raise PluginError(
            f"{folder}: the model takes {bands} mel bands, preprocessor_config.json has {told.get('feature_size')}.",
            refetch(folder),
        )
    return WhisperFeatureExtractor.from_pretrained(folder, local_files_only=True)
