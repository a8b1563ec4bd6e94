"""eGeMAPS and its kin, measured by openSMILE (Eyben et al. 2016, doi 10.1109/TAFFC.2015.2457417).

openSMILE is audEERING's, is no part of mer, and may be used for research and other non-commercial ends only.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from mer_core.plugin import Audio, Failure, Features, Missing, Sample
from mer_plugins.speech.egemaps_options import EgemapsOptions

HOP = 0.01
"""Seconds from one frame to the next, in all sets."""
WINDOW = {"ComParE_2016": 0.06}
OTHERS = 0.02
"""Seconds that openSMILE says a frame covers; what it measures of pitch reaches further."""
SHORTEST = 0.06
"""Seconds: openSMILE's window for pitch. Below it, it measures nothing."""
SILENCE = 1e-4
"""Peak (of 1) below which a sound track counts as silent: the dither of 16-bit sound stays under it."""


class Egemaps:
    """Features [D] of a clip, or [T, D] of its frames; D depends on the set and the level."""

    def __init__(self, options: EgemapsOptions, device: str) -> None:
        import opensmile

        warnings.filterwarnings("ignore", "Feature set .* is deprecated")
        level = "Functionals" if options.level == "functionals" else "LowLevelDescriptors"
        self.options = options
        self._smile: Any = opensmile.Smile(
            feature_set=getattr(opensmile.FeatureSet, options.feature_set),
            feature_level=getattr(opensmile.FeatureLevel, level),
        )

    @property
    def dim(self) -> int:
        """Number of functionals, or of descriptors."""
        return int(self._smile.num_features)

    def extract(self, batch: Sequence[Sample]) -> list[Features | Missing | Failure]:
        """Features of each clip; missing where it is silent or shorter than 60 ms."""
        return [self._one(sample.audio()) for sample in batch]

    def _one(self, audio: Audio) -> Features | Missing | Failure:
        if not np.isfinite(audio.samples).all():
            return Failure("the sound has samples that are not numbers")
        if len(audio.samples) < round(SHORTEST * audio.rate):
            return Missing(f"the sound is shorter than {SHORTEST * 1000:.0f} ms")
        if np.abs(audio.samples).max(initial=0) < SILENCE:
            return Missing("the sound is silent")
        values = self._smile.process_signal(audio.samples, audio.rate).to_numpy(np.float32)
        if self.options.level == "functionals":
            return Features(values[0])
        times = np.arange(len(values), dtype=np.float64) * HOP
        return Features(values, times + WINDOW.get(self.options.feature_set, OTHERS) / 2)
