"""Measures of framed sound, as pure functions on arrays: T frames in, T rows out."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from mer_core.plugin import FloatArray

EDGES = (0, 200, 400, 800, 1600, 3200, 6400, 8001)
"""Hz, bounds of the octaves of the spectral contrast."""
SHAPE, CONTRAST, PROSODY = 6, len(EDGES) - 1, 14
"""Columns that the functions of these names return."""


def centred_frames(samples: FloatArray, size: int, hop: int) -> FloatArray:
    """Read-only view [1 + N // hop, size]: frame t is centred on sample ``t * hop``, zeros outside."""
    padded = np.pad(samples, size // 2)
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * (size // 2))[::hop][: 1 + len(samples) // hop]


def decibels(power: FloatArray) -> FloatArray:
    """Ten times the decimal logarithm, not below -100 dB."""
    found: FloatArray = 10 * np.log10(np.maximum(power, 1e-10))
    return found


def slope(values: FloatArray, reach: int) -> FloatArray:
    """Regression slope per frame of each column of ``values`` [T, K] over ``2 * reach + 1`` frames."""
    padded, count = np.pad(values, ((reach, reach), (0, 0)), mode="edge"), len(values)
    steps = range(1, reach + 1)
    total = [k * (padded[reach + k :][:count] - padded[reach - k :][:count]) for k in steps]
    found: FloatArray = np.sum(total, axis=0) / (2 * sum(k * k for k in steps))
    return found


def shape(frames: FloatArray, power: FloatArray, rate: int) -> FloatArray:
    """What the spectrum looks like [T, 6].

    Columns: log centroid and bandwidth (of Hz), 85% roll-off and zero crossings (shares of what is
    possible), log flatness, flux against the frame before.

    Args:
        frames: [T, N] samples at ``rate`` Hz.
        power: [T, F] their power spectrum from 0 to ``rate / 2``.
    """
    magnitude = np.sqrt(power) + 1e-7
    share = magnitude / magnitude.sum(axis=1, keepdims=True)
    hertz = np.linspace(0, rate / 2, power.shape[1], dtype=np.float32)
    centroid = share @ hertz
    bandwidth = np.sqrt(np.maximum(share @ hertz**2 - centroid**2, 0))
    rolloff = (np.cumsum(share, axis=1) < 0.85).mean(axis=1)
    flatness = np.log(magnitude).mean(axis=1) - np.log(magnitude.mean(axis=1))
    flux = np.sqrt((np.diff(share, axis=0, prepend=share[:1]) ** 2).sum(axis=1))
    crossings = np.diff(np.signbit(frames), axis=1).mean(axis=1)
    return np.column_stack([np.log(centroid + 50), np.log(bandwidth + 50), rolloff, crossings, flatness, flux])


def contrast(power: FloatArray, rate: int) -> FloatArray:
    """Spectral contrast [T, 7] in dB: loudest over softest fifth of each octave (Jiang et al., ICME 2002)."""
    hertz = np.linspace(0, rate / 2, power.shape[1])
    found = []
    for low, high in pairwise(EDGES):
        band = np.sort(power[:, (hertz >= low) & (hertz < high)], axis=1)
        fifth = max(1, band.shape[1] // 5)
        found.append(decibels(band[:, -fifth:].mean(axis=1)) - decibels(band[:, :fifth].mean(axis=1)))
    return np.stack(found, axis=1)


def prosody(f0: FloatArray, aperiodicity: FloatArray, level: FloatArray) -> FloatArray:
    """Melody and loudness [T, 14] from F0 (Hz), aperiodicity (0 to 1) and level (dB), each [T].

    F0 is in semitones above 150 Hz, bridged over unvoiced frames so that mean and deviation are
    those of the voice; it is 0 where nothing is voiced, which the ``voiced`` column tells apart.
    Columns: melody, voiced, periodicity, level, then for melody and level the slopes over 5, 9 and
    25 frames and the sizes of the first and last of these.
    """
    voiced = (aperiodicity < 0.25) & (level > level.max() - 35)
    melody = np.zeros_like(level)
    if voiced.any():
        at = np.arange(len(f0))
        melody = median5(np.interp(at, at[voiced], 12 * np.log2(f0[voiced] / 150)))
    pair = np.stack([melody, level], axis=1)
    quick, medium, slow = slope(pair, 2), slope(pair, 4), slope(pair, 12)
    return np.column_stack([melody, voiced, 1 - aperiodicity, level, quick, medium, slow, np.abs(quick), np.abs(slow)])


def median5(values: FloatArray) -> FloatArray:
    """Running median over five neighbours, which removes single octave errors."""
    found: FloatArray = np.median(np.lib.stride_tricks.sliding_window_view(np.pad(values, 2, mode="edge"), 5), axis=1)
    return found
