"""Training data with fewer folds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mer_core.plugin import Fold, StreamData, StreamInfo, TargetSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mer_core.plugin import TrainingData


@dataclass(frozen=True, slots=True)
class SomeFolds:
    """``data`` with some of its folds alone, numbered anew."""

    data: TrainingData
    numbers: tuple[int, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """See :class:`mer_core.protocols.TrainingData`; so for the others."""
        return self.data.ids

    @property
    def targets(self) -> TargetSpec:
        """As there."""
        return self.data.targets

    @property
    def labels(self) -> NDArray[np.int64]:
        """As there."""
        return self.data.labels

    @property
    def votes(self) -> NDArray[np.float64] | None:
        """As there."""
        return self.data.votes

    @property
    def values(self) -> NDArray[np.float64] | None:
        """As there."""
        return self.data.values

    @property
    def groups(self) -> tuple[str, ...] | None:
        """As there."""
        return self.data.groups

    @property
    def folds(self) -> tuple[Fold, ...]:
        """The chosen ones."""
        return tuple(self.data.folds[number] for number in self.numbers)

    @property
    def streams(self) -> Mapping[str, StreamInfo]:
        """As there."""
        return self.data.streams

    def features(self, stream: str, fold: int | None) -> StreamData:
        """As the fold of that number here sees them."""
        return self.data.features(stream, None if fold is None else self.numbers[fold])
