"""Speech features without weights: spectrum, cepstrum, spectral shape and prosody of each frame.

The mel filters come from librosa. The rest is numpy and scipy on purpose: most of ``librosa.feature``
and ``librosa.yin`` make numba compile for many seconds in a fresh environment.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.fft

from mer_core.plugin import Audio, Failure, Features, Field, FloatArray, Missing, Options, Sample
from mer_plugins.speech import dsp
from mer_plugins.speech.pitch import yin

RATE = 16000
WINDOW, FFT = 400, 512
SILENCE = 1e-4
"""Peak (of 1) below which a sound track counts as silent: the dither of 16-bit sound stays under it."""
BLOCK = 2000
"""Frames measured at once, so that memory does not grow with the length of a recording."""


class AcousticOptions(Options):
    """Options of the ``acoustic`` extractor."""

    n_mels: int = Field(40, ge=20, le=100)
    """Number of log-mel bands from 0 to 8 kHz."""
    n_mfcc: int = Field(13, ge=1, le=20)
    """Number of cepstral coefficients; their first and second slopes are added."""
    hop: float = Field(0.01, ge=0.005, le=0.1)
    """Seconds from one frame to the next."""
    fmin: float = Field(65.0, ge=30, le=200)
    """Lowest fundamental frequency looked for, in Hz."""
    fmax: float = Field(500.0, ge=250, le=1000)
    """Highest fundamental frequency looked for, in Hz."""
    activity_db: float | None = Field(40.0, gt=0)
    """Frames this many dB below the loud ones of the clip are left out as pauses; null keeps all."""


class Acoustic:
    """Features [T, D] of the frames in which somebody speaks; pauses are left out of the time axis.

    Columns: MFCC, log-mel, spectral shape and contrast, the slopes of the MFCC, prosody.
    """

    def __init__(self, options: AcousticOptions, device: str) -> None:
        from librosa.filters import mel

        self.options = options
        self._hop = round(options.hop * RATE)
        self._mel: FloatArray = mel(sr=RATE, n_fft=FFT, n_mels=options.n_mels).T
        self._taper = np.hanning(WINDOW).astype(np.float32)

    @property
    def dim(self) -> int:
        """Number of columns, 106 with default options."""
        return self.options.n_mels + 3 * self.options.n_mfcc + dsp.SHAPE + dsp.CONTRAST + dsp.PROSODY

    def extract(self, batch: Sequence[Sample]) -> list[Features | Missing | Failure]:
        """Features of each clip; missing where there is no sound or only silence."""
        return [self._one(sample.audio()) for sample in batch]

    def _one(self, audio: Audio) -> Features | Missing | Failure:
        if not np.isfinite(audio.samples).all():
            return Failure("the sound has samples that are not numbers")
        if np.abs(audio.samples).max(initial=0) < SILENCE:
            return Missing("the sound is silent")
        values, level = self._measure(audio.samples)
        limit = self.options.activity_db
        kept = np.flatnonzero(level >= (-np.inf if limit is None else np.percentile(level, 99) - limit))
        return Features(values[kept], kept * self._hop / RATE)

    def _measure(self, samples: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Features of all frames [T, D] and their level in dB [T]."""
        options = self.options
        short = dsp.centred_frames(samples, WINDOW, self._hop)
        long = dsp.centred_frames(samples, 4 * round(RATE / options.fmin), self._hop)
        blocks = [slice(start, start + BLOCK) for start in range(0, len(short), BLOCK)]
        level = np.concatenate([dsp.decibels(np.mean(short[block] ** 2, axis=1)) for block in blocks])
        spectral = np.concatenate([self._spectral(short[block]) for block in blocks])
        pitch = np.concatenate([np.stack(yin(long[block], RATE, options.fmin, options.fmax), 1) for block in blocks])
        first = dsp.slope(spectral[:, : options.n_mfcc], 4)
        prosody = dsp.prosody(pitch[:, 0], pitch[:, 1], level)
        return np.hstack([spectral, first, dsp.slope(first, 4), prosody]).astype(np.float32), level

    def _spectral(self, frames: FloatArray) -> FloatArray:
        """MFCC, log-mel, shape and contrast of ``frames`` [T, WINDOW]."""
        power = np.abs(scipy.fft.rfft(frames * self._taper, FFT)) ** 2
        bands = dsp.decibels(power @ self._mel)
        cepstrum = scipy.fft.dct(bands, norm="ortho")[:, : self.options.n_mfcc]
        return np.column_stack([cepstrum, bands, dsp.shape(frames, power, RATE), dsp.contrast(power, RATE)])
