"""The voice of the sample data set: glottal pulses through four resonances, breath and hiss.

Every glottal closure adds the damped ringing of the speaker's vocal tract at that moment (formant
wave functions, X. Rodet 1984), so pitch, loudness and vowel may change from pulse to pulse. The
emotion shows in pitch, its range, slope and tremor, in tempo, loudness, brightness and breath; the
words do not show in the sound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

RATE = 24000
"""Sample rate of the sound track, Hz."""

VOWELS = np.array(
    [[730, 1090, 2440], [530, 1840, 2480], [270, 2290, 3010], [570, 840, 2410], [300, 870, 2240], [490, 1350, 1690]],
    dtype=float,
)
"""First three formants in Hz of a, e, i, o, u and a neutral vowel."""

BANDWIDTHS = np.array([80.0, 100.0, 140.0, 200.0])
RINGING = 0.016


@dataclass(frozen=True, slots=True)
class Manner:
    """How something is said.

    ``pitch`` factor on the speaker's own; ``span`` its spread in syllables and ``slope`` over the
    clip (both in natural-log units); ``tempo`` syllables per second; ``loud`` peak level; ``bright``
    gain of the upper formants; ``breath`` noise beside the pulses; ``tremor`` depth of a 6.5 Hz
    wobble; ``pause`` share of syllables left out.
    """

    pitch: float
    span: float
    slope: float
    tempo: float
    loud: float
    bright: float
    breath: float
    tremor: float
    pause: float


MANNERS: Mapping[str, Manner] = {
    "neutral": Manner(1.00, 0.05, -0.05, 4.0, 0.30, 0.9, 0.03, 0.00, 0.05),
    "angry": Manner(1.25, 0.15, -0.10, 5.4, 0.90, 2.2, 0.02, 0.01, 0.02),
    "happy": Manner(1.50, 0.28, 0.05, 4.9, 0.55, 1.4, 0.03, 0.00, 0.05),
    "sad": Manner(0.86, 0.04, -0.25, 2.6, 0.14, 0.4, 0.16, 0.00, 0.20),
    "worried": Manner(1.15, 0.08, 0.10, 4.6, 0.22, 0.8, 0.14, 0.07, 0.30),
    "surprise": Manner(1.65, 0.12, 0.55, 3.2, 0.65, 1.5, 0.06, 0.00, 0.10),
}
"""The manner of each class, before the jitter of the single clip."""

JITTER = Manner(0.06, 0.03, 0.06, 0.30, 0.05, 0.15, 0.015, 0.006, 0.04)
"""Standard deviation around ``MANNERS`` from clip to clip."""


@dataclass(frozen=True, slots=True)
class Voice:
    """A speaker's own voice: ``pitch`` in Hz and ``tract``, the factor on all formants."""

    pitch: float
    tract: float


def voice_of(speaker: int, seed: int) -> Voice:
    """The voice of a speaker; half of the speakers have a higher one."""
    rng = np.random.default_rng([seed, 101, speaker])
    if speaker // 2 % 2:
        return Voice(rng.uniform(100, 130), rng.uniform(0.93, 1.02))
    return Voice(rng.uniform(165, 210), rng.uniform(1.06, 1.17))


def speak(shown: str, voice: Voice, seconds: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """``seconds`` of speech-like sound in the manner of class ``shown``: float32 [N] at ``RATE``."""
    manner = _jittered(MANNERS[shown], rng)
    grid = np.arange(0, seconds, 0.005)
    loudness, formants, lift = _syllables(manner, seconds, grid, rng)
    pitch = voice.pitch * manner.pitch * np.exp(lift + manner.slope * (grid / seconds - 0.5))
    pitch *= 1 + manner.tremor * np.sin(2 * np.pi * 6.5 * grid + rng.uniform(0, 6))
    sound = _pulses(pitch, loudness, formants * voice.tract, manner, grid, rng)
    sound += _breath(loudness, manner.breath, grid, len(sound), rng)
    sound *= manner.loud / max(float(np.abs(sound).max()), 1e-9)
    sound += rng.normal(0, 0.0015, len(sound))
    return np.clip(sound, -1, 1).astype(np.float32)


def _jittered(manner: Manner, rng: np.random.Generator) -> Manner:
    values = {
        f.name: getattr(manner, f.name) + getattr(JITTER, f.name) * float(np.clip(rng.normal(), -2, 2))
        for f in fields(Manner)
    }
    floors = {"span": 0.02, "loud": 0.06, "bright": 0.2, "breath": 0.0, "tremor": 0.0, "pause": 0.0}
    return Manner(**{name: max(value, floors.get(name, value)) for name, value in values.items()})


def _syllables(
    manner: Manner, seconds: float, grid: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Loudness [G], formants [G, 3] in Hz and pitch lift [G] in log units, on the time grid."""
    count = max(2, round(manner.tempo * (seconds - 0.2)))
    centres = 0.1 + (np.arange(count) + 0.5 + rng.uniform(-0.1, 0.1, count)) * (seconds - 0.2) / count
    width = 0.30 / manner.tempo
    spoken = rng.random(count) >= manner.pause
    spoken[rng.integers(count)] = True
    bells = np.exp(-(((grid[:, None] - centres) / width) ** 4))
    loudness = bells @ (spoken * rng.uniform(0.75, 1.0, count))
    vowels = VOWELS[rng.integers(len(VOWELS), size=count)]
    formants = np.stack([np.interp(grid, centres, vowels[:, k]) for k in range(3)], axis=1)
    lift = np.interp(grid, centres, rng.normal(0, manner.span, count))
    return np.minimum(loudness, 1.0), formants, lift


def _pulses(
    pitch: NDArray[np.float64],
    loudness: NDArray[np.float64],
    formants: NDArray[np.float64],
    manner: Manner,
    grid: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """The voiced part: one damped response per glottal closure, summed where it falls."""
    length, ring = round((grid[-1] + 0.005) * RATE), round(RINGING * RATE)
    phase = np.cumsum(pitch * 0.005)
    closures = np.interp(np.arange(1, int(phase[-1])), phase, grid)
    closures += rng.normal(0, 0.00004, len(closures))
    level = np.interp(closures, grid, loudness)
    gains = np.array([1.0, 0.55 * manner.bright, 0.28 * manner.bright, 0.12 * manner.bright**2])
    t = np.arange(ring) / RATE
    rise = np.minimum(t / 0.0004, 1.0)
    response = np.zeros((len(closures), ring))
    for k in range(4):
        centre = np.interp(closures, grid, formants[:, k]) if k < 3 else np.full(len(closures), 3600.0)
        decay = gains[k] * rise * np.exp(-np.pi * BANDWIDTHS[k] * t)
        response += decay * np.sin(2 * np.pi * centre[:, None] * t)
    starts = np.round(closures * RATE).astype(int).clip(0)
    places = starts[:, None] + np.arange(ring)
    summed = np.bincount(places.ravel(), (response * level[:, None]).ravel(), minlength=length + ring)
    return np.asarray(summed[:length], np.float64)


def _breath(
    loudness: NDArray[np.float64], amount: float, grid: NDArray[np.float64], length: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Noise of the breath, following the loudness, without its lowest part."""
    noise = np.diff(rng.normal(0, amount, length + 1))
    return noise * np.interp(np.arange(length) / RATE, grid, 0.15 + loudness)
