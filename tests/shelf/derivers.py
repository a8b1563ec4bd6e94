"""Derivers, good and broken. ``caught_by`` names the one check that has to fail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from mer_core.plugin import Audio, AudioInput, Derived, DeriverSpec, FramesInput, Input, Missing, NoOptions, Sample
from shelf import Shelf
from shelf.faults import FAULTS, SoundPlugin
from shelf.heavy import HeavyShelf

RATE = 4000


class Contour(SoundPlugin):
    """Loudness, roughness and brightness every 50 ms."""

    inputs: ClassVar[dict[str, Input]] = {"audio": AudioInput(RATE)}

    def derive(self, batch: Sequence[Sample]) -> list[Any]:
        return self.answers(batch)

    def answer(self, audio: Audio) -> Any:
        rows = self.measure(audio.samples, audio.rate)
        return Derived({"rows": rows}, {"seconds": audio.duration})


class Brightness(Contour):
    """When there is light in the picture, and how much; missing where it is dark."""

    inputs: ClassVar[dict[str, Input]] = {"frames": FramesInput(fps=5, stream=True)}

    def answers(self, batch: Sequence[Sample]) -> list[Any]:
        return [self.look(sample) for sample in batch]

    def look(self, sample: Sample) -> Any:
        seen = [(time, float(image.mean())) for time, image in sample.stream() if image.any()]
        return Derived({"seen": np.array(seen)}) if seen else Missing("too dark")


class Blind(Brightness):
    """Never finds anything, which a deriver may."""

    def look(self, sample: Sample) -> Any:
        return Missing("nothing found")


class Failing(Contour):
    """Answers with features."""

    caught_by = "starts"

    def answer(self, audio: Audio) -> Any:
        return self.measure(audio.samples, audio.rate)


class Wordy(Contour):
    """Stores text in an array."""

    caught_by = "storable"

    def answer(self, audio: Audio) -> Any:
        return Derived({"words": np.array(["one", "two"])})


class Telling(Contour):
    """Stores an array among the facts."""

    caught_by = "storable"

    def answer(self, audio: Audio) -> Any:
        return Derived({}, {"rows": self.measure(audio.samples, audio.rate)})


GOOD: tuple[type[Contour], ...] = (Contour, Brightness, Blind)
OWN: tuple[type[Contour], ...] = (Failing, Wordy, Telling)
MIXED: tuple[type[Contour], ...] = tuple(
    type(fault.__name__ + "Contour", (fault, Contour), {"__module__": __name__}) for fault in FAULTS
)
globals().update({made.__name__: made for made in MIXED})


def spec_of(made: type[Contour]) -> DeriverSpec:
    """What ``made`` declares, under its own name in lower case."""
    wanted = made.options_class
    return DeriverSpec(
        name=made.__name__.lower(),
        target=f"{__name__}:{made.__name__}",
        options="" if wanted is NoOptions else f"{wanted.__module__}:{wanted.__name__}",
        produces=f"made-by-{made.__name__.lower()}",
        inputs=made.inputs,
        per_thread=True,
    )


BROKEN: dict[str, str] = {made.__name__.lower(): made.caught_by for made in (*OWN, *MIXED)}
"""Name -> the check that has to catch it."""

SHELF = Shelf(*[spec_of(made) for made in (*GOOD, *OWN, *MIXED)])
HEAVY = HeavyShelf(
    DeriverSpec(name="heavy", target=f"{__name__}:Contour", produces="made-by-heavy", inputs=Contour.inputs)
)
