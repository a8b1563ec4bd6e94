"""Fundamental frequency by YIN, in plain numpy and scipy: no compilation on the first call.

``librosa.yin`` gives the same answer on clearly voiced speech, but importing what it needs makes
numba compile for many seconds in a fresh environment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.fft

from mer_core.plugin import FloatArray

if TYPE_CHECKING:
    from numpy.typing import NDArray


def yin(frames: FloatArray, rate: int, fmin: float, fmax: float, threshold: float = 0.15) -> tuple[FloatArray, ...]:
    """F0 of each frame and how periodic the frame is.

    Steps 2 to 5 of A. de Cheveigne and H. Kawahara, "YIN, a fundamental frequency estimator for
    speech and music", JASA 111(4), 2002.

    Args:
        frames: float32 [T, N] at ``rate`` Hz; N must exceed twice the longest period, ``rate / fmin``.
        fmin: lowest frequency looked for, in Hz.
        fmax: highest frequency looked for, in Hz.
        threshold: the first dip of the normalised difference below it is the period; where there
            is none, the deepest dip is.

    Returns:
        ``(f0, aperiodicity)``, both float32 [T]: Hz, and 0 (periodic) to about 1 (noise, silence).

    Raises:
        ValueError: for frames too short for ``fmin``.
    """
    shortest, longest = int(rate / fmax), int(np.ceil(rate / fmin))
    if frames.shape[1] <= 2 * longest:
        raise ValueError(f"{frames.shape[1]} samples are too few for F0 down to {fmin} Hz at {rate} Hz")
    curve = normalised_difference(frames, longest + 1)[:, shortest - 1 :]
    lag = _first_dip(curve, threshold)
    rows = np.arange(len(curve))
    left, dip, right = curve[rows, lag - 1], curve[rows, lag], curve[rows, lag + 1]
    f0 = rate / (shortest - 1 + lag + _vertex(left, dip, right))
    return f0.astype(np.float32), np.clip(dip, 0, 1).astype(np.float32)


def normalised_difference(frames: FloatArray, lags: int) -> FloatArray:
    """Cumulative mean normalised difference [T, lags + 1] for lags 0 to ``lags`` (equations 6 and 8)."""
    width = frames.shape[1] - lags
    size = scipy.fft.next_fast_len(frames.shape[1], real=True)
    spectrum = scipy.fft.rfft(frames, size) * np.conj(scipy.fft.rfft(frames[:, :width], size))
    products = scipy.fft.irfft(spectrum, size)[:, : lags + 1]
    energy = np.cumsum(np.pad(frames.astype(np.float64) ** 2, ((0, 0), (1, 0))), axis=1)
    energy = energy[:, width : width + lags + 1] - energy[:, : lags + 1]
    difference = np.maximum(energy[:, :1] + energy - 2 * products, 0)
    difference[:, 0] = 1
    total = np.cumsum(difference[:, 1:], axis=1)
    silent = total < 1e-9 * (1 + np.arange(lags))
    difference[:, 1:] *= np.arange(1, lags + 1) / np.where(silent, 1, total)
    difference[:, 1:][silent] = 1
    found: FloatArray = difference.astype(np.float32)
    return found


def _first_dip(curve: NDArray[np.float32], threshold: float) -> NDArray[np.intp]:
    """Index in 1..L-2 of the first local minimum below ``threshold``, else of the lowest value."""
    inner = curve[:, 1:-1]
    deep = (inner <= curve[:, :-2]) & (inner < curve[:, 2:]) & (inner < threshold)
    found: NDArray[np.intp] = 1 + np.where(deep.any(axis=1), deep.argmax(axis=1), inner.argmin(axis=1))
    return found


def _vertex(left: FloatArray, middle: FloatArray, right: FloatArray) -> FloatArray:
    """Where between -1 and 1 the parabola through three neighbours is lowest; 0 if it has no dip."""
    bend = left + right - 2 * middle
    shift = (left - right) / 2
    found: FloatArray = np.where(np.abs(shift) < np.abs(bend), shift / np.where(bend == 0, 1, bend), 0)
    return found
