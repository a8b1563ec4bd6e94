"""Supervised toy extractors that do what they should not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from learners import LearnerOptions, Memory
from numpy.typing import NDArray

from mer_core.plugin import ExtractorSpec, Features, Missing, PluginSpec, Sample, Supervision, TextInput, hookimpl

State = Mapping[str, NDArray[Any]]


class Numbered(Memory):
    """Knows the number of its fit."""

    fits: ClassVar[int] = 0

    def fit(self, samples: Sequence[Sample], supervision: Supervision) -> State:
        Numbered.fits += 1
        return {**super().fit(samples, supervision), "number": np.asarray([Numbered.fits])}

    def restore(self, state: State) -> None:
        self.number = int(state["number"][0])
        super().restore(state)


class Faint(Numbered):
    """Has nothing to say after its second fit."""

    def extract(self, batch: Sequence[Sample]) -> list[Any]:
        return [Missing("tired") for _ in batch] if self.number == 2 else super().extract(batch)


class Mute(Memory):
    """Never has anything to say."""

    def extract(self, batch: Sequence[Sample]) -> list[Any]:
        return [Missing("mute") for _ in batch]


class Wide(Numbered):
    """Has a column more with every fit."""

    @property
    def dim(self) -> int:
        return self.number

    def extract(self, batch: Sequence[Sample]) -> list[Features]:
        return [Features(np.ones(self.number, np.float32)) for _ in batch]


class Odd(Memory):
    """Returns what a test wants from its fit."""

    returns: ClassVar[Callable[[], Any]] = dict
    summary_of: ClassVar[Any] = {}

    def fit(self, samples: Sequence[Sample], supervision: Supervision) -> Any:
        found = super().fit(samples, supervision)
        self.summary = Odd.summary_of
        return Odd.returns() or found


class Turns(Memory):
    """Works in the threads that decode."""


class OddLearners:
    """The plugin object with the toys."""

    @hookimpl
    def mer_specs(self) -> list[PluginSpec]:
        return [
            ExtractorSpec(
                name=toy.__name__.lower(),
                target=f"{__name__}:{toy.__name__}",
                options=f"{LearnerOptions.__module__}:LearnerOptions",
                modality="text",
                inputs={"text": TextInput()},
                level="clip",
                supervised=True,
                per_thread=toy is Turns,
            )
            for toy in (Faint, Mute, Wide, Odd, Turns)
        ]
