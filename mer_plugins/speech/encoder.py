"""Frame features of HuBERT, wav2vec 2.0, WavLM and data2vec: the sum of the last hidden layers.

Recipe of the MER2024 baseline (MERTools): the whole waveform normalised, the last four hidden layers added.
Unlike there, long sound is cut into windows with context, and no padding gets into any feature.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import gcd
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mer_core.plugin import Audio, Failure, Features, FloatArray, Missing, PluginError, Sample
from mer_plugins import hf
from mer_plugins.architecture import check_kind, read_json
from mer_plugins.speech.chunks import windows
from mer_plugins.speech.encoder_options import EncoderOptions
from mer_plugins.speech.encoder_pass import EncoderPass
from mer_plugins.speech.pieces import RATE, Piece, encode_by_length, extract_in_pieces, normalised, unheard

EPSILON = 1e-7
"""Added to the variance, as the published preprocessing does; silence stays finite."""


class SpeechEncoder:
    """Features [T, D] with the centre of each frame, 50 frames per second (D 1024 in the large models)."""

    def __init__(self, options: EncoderOptions, device: str) -> None:
        self.options = options
        self.device = device.partition(":")[0]
        folder = options.located().path
        check_kind(folder, options.kind)
        self.normalise = _normalises(folder) if options.normalise is None else options.normalise
        model = hf.load(folder, device)
        _check_depth(len(model.encoder.layers), options.layers)
        raw = options.last_layer == "raw"
        self.encode = EncoderPass(model, device, layers=options.layers, combine=options.combine, raw=raw)
        self.grid = self.encode.grid
        self.dim = int(model.config.hidden_size)
        self.dtype = options.compute_dtype(device)
        hf.rounded(model, self.dtype)

    def extract(self, batch: Sequence[Sample]) -> list[Features | Missing | Failure]:
        """Features of each clip; missing where it is shorter than one frame (25 ms)."""
        return extract_in_pieces(batch, self._pieces, self._encoded, self._answer)

    def _answer(self, audio: Audio, parts: list[FloatArray]) -> Features | Missing | Failure:
        if parts:
            values = np.concatenate(parts)
            return Features(values, self._times(len(values), audio))
        return unheard(audio, f"one frame ({self.grid.window} samples)")

    def _times(self, frames: int, audio: Audio) -> NDArray[np.float64]:
        """Centres of the frames in seconds; those that MERTools makes of padding carry the clip's end."""
        rate = audio.rate if self.options.read_as == "16k" else RATE
        numbers = np.arange(frames)
        starts = numbers * self.grid.hop
        if self.options.chunking == "mertools":
            each = self.grid.frames(self._chunk)
            starts = numbers // each * self._chunk + numbers % each * self.grid.hop
        return np.minimum((starts + self.grid.window / 2) / rate, audio.duration)

    def _heard(self, audio: Audio) -> FloatArray:
        """What the model hears, float32 at 16 kHz (or taken for it), normalised over the whole clip."""
        wave = audio.samples
        if audio.rate != RATE and self.options.read_as == "resampled":
            wave = resample(wave, audio.rate)
        return normalised(wave, EPSILON) if self.normalise else wave

    @property
    def _chunk(self) -> int:
        """Length of a chunk in samples."""
        return round(self.options.chunk * RATE)

    def _pieces(self, clip: int, audio: Audio) -> Iterator[Piece]:
        """Windows of one clip, in order; none where it is too short or not finite."""
        if not len(audio.samples) or not np.isfinite(audio.samples).all():
            return
        wave = self._heard(audio)
        if self.options.chunking == "mertools":
            yield from self._padded(clip, wave)
        else:
            yield from self._overlapping(clip, wave)

    def _overlapping(self, clip: int, wave: FloatArray) -> Iterator[Piece]:
        options, hop = self.options, self.grid.hop
        chunk, overlap = (round(seconds * RATE / hop) for seconds in (options.chunk, options.overlap))
        frames = self.grid.frames(len(wave))
        found = windows(frames, chunk, overlap) if frames else []
        for window in found:
            whole = len(found) == 1
            yield Piece(clip, wave if whole else wave[self.grid.samples(window.first, window.last)], window.kept)

    def _padded(self, clip: int, wave: FloatArray) -> Iterator[Piece]:
        """The MER2024 baseline's: of a clip longer than a chunk, zeros make the last one whole, and count."""
        long = len(wave) > self._chunk
        whole = np.pad(wave, (0, -len(wave) % self._chunk)) if long else wave
        for start in range(0, len(whole), self._chunk) if self.grid.frames(len(wave)) else ():
            yield Piece(clip, whole[start : start + self._chunk], slice(None))

    def _encoded(self, pieces: Sequence[Piece]) -> list[FloatArray]:
        """Hidden layers [T, D] of each piece, computed in batches of similar length."""
        with hf.computing(self.device, self.dtype):
            return encode_by_length(pieces, self.grid, self.device, self.encode)


def resample(wave: FloatArray, rate: int) -> FloatArray:
    """``wave`` of ``rate`` Hz at 16 kHz, by a polyphase filter: ceil(n * 16000 / rate) samples."""
    from scipy.signal import resample_poly

    common = gcd(rate, RATE)
    found: FloatArray = resample_poly(wave, RATE // common, rate // common).astype(np.float32)
    return found


def _check_depth(depth: int, wanted: int) -> None:
    if wanted > depth:
        raise PluginError(f"the model has {depth} hidden layers; {wanted} were asked for.", "Lower the option layers.")


def _normalises(folder: Path) -> bool:
    """What preprocessor_config.json says of the waveform.

    Raises:
        PluginError: it is not there, or wants sound at another rate.
    """
    told = read_json(folder / "preprocessor_config.json", "Copy it beside config.json, or set the option normalise.")
    rate = told.get("sampling_rate", RATE)
    if rate != RATE:
        raise PluginError(f"{folder} holds a model for sound at {rate} Hz, not {RATE}.", "Name other weights.")
    return bool(told.get("do_normalize", True))
