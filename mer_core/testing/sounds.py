"""Synthetic speech-like sound and text for the conformance kit; the same on every machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mer_core.aliases import FloatArray

FORMANTS = ((700.0, 130.0), (1200.0, 160.0), (2500.0, 250.0))
"""Resonances of the synthetic vocal tract: centre and width in Hz."""

TABLE = 2048
SENTENCES = (
    "你怎么现在才来，我等了一个多小时。",
    "I never thought that we would see each other again.",
    "太好了，我们终于成功了！",
    "Please leave the key under the mat before you go.",
    "这件事情我真的不知道该怎么办。",
    "Why did nobody tell me that the train was late?",
    "今天的天气很好，我们去公园走走吧。",
    "The children were laughing in the garden all afternoon.",
)
PER_SECOND = (5, 12)
"""Characters said in a second: Chinese, English."""


def voice(seconds: float, rate: int, seed: int, *, steady: bool = False) -> FloatArray:
    """``seconds`` of something like a vowel, float32 [N] in [-1, 1]; another ``seed``, another voice.

    A melody and syllables, four in a second, up to the very end; with ``steady`` neither: any two
    stretches of it sound alike, and a shorter one is the beginning of a longer one.
    """
    time = np.arange(max(1, round(seconds * rate))) / rate
    pitch = 110.0 + 23.0 * (seed % 7)
    phase = pitch * time
    loud = np.full(len(time), 0.3)
    if not steady:
        phase = phase + 0.06 * pitch * np.sin(2 * np.pi * (0.4 + 0.05 * seed) * time)
        loud = 0.1 + 0.25 * np.abs(np.sin(np.pi * 4 * time + seed))
    table = _period(pitch, rate, 0.9 + 0.05 * (seed % 5))
    hiss = np.resize(np.random.default_rng(seed).normal(0, 0.002, 4001), len(time))
    sound: FloatArray = (loud * table[(phase % 1 * TABLE).astype(np.int64)] + hiss).astype(np.float32)
    return sound


def _period(pitch: float, rate: int, tract: float) -> NDArray[np.float64]:
    """One period of a voice at ``pitch`` Hz [TABLE], peak 1, nothing above half of ``rate``."""
    numbers = np.arange(1, max(2, min(40, int(0.45 * rate / pitch))))
    hertz = numbers * pitch / tract
    gain = sum(np.exp(-(((hertz - centre) / (2 * width)) ** 2)) for centre, width in FORMANTS) + 0.05
    angle = 2 * np.pi * np.arange(TABLE)[:, None] / TABLE
    wave: NDArray[np.float64] = (np.sin(angle * numbers + numbers**2) * gain / numbers**0.5).sum(axis=1)
    wave /= np.abs(wave).max()
    return wave


def words(seconds: float, seed: int) -> tuple[str, str]:
    """What is said in ``seconds`` and its language: Chinese where ``seed`` is even, else English."""
    language = seed % 2
    wanted = max(1, round(seconds * PER_SECOND[language]))
    chosen = [SENTENCES[(seed + 2 * turn) % len(SENTENCES)] for turn in range(wanted // 10 + 1)]
    content = ("", " ")[language].join(chosen)
    return content[:wanted].strip(), ("zh", "en")[language]
