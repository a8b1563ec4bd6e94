"""Training data seen otherwise: one modality of it, some of its folds, or its clips in other folds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mer_core.plugin import Fold, StreamData, StreamInfo, TargetSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mer_core.plugin import TrainingData


def seen_by(data: TrainingData, stream: str, fold: int) -> StreamData:
    """``stream`` as member ``fold`` sees it; the only member of data without folds sees what all clips have."""
    return data.features(stream, fold if data.folds else None)


@dataclass(frozen=True, slots=True)
class View:
    """``data`` as it is; see :class:`mer_core.protocols.TrainingData`. Its kinds say what differs."""

    data: TrainingData

    @property
    def ids(self) -> tuple[str, ...]:
        """As there."""
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
        """As there."""
        return self.data.folds

    @property
    def streams(self) -> Mapping[str, StreamInfo]:
        """As there."""
        return self.data.streams

    def features(self, stream: str, fold: int | None) -> StreamData:
        """As there."""
        return self.data.features(stream, fold)


@dataclass(frozen=True, slots=True)
class OneModality(View):
    """``data`` without the streams of all other modalities."""

    modality: str

    @property
    def streams(self) -> Mapping[str, StreamInfo]:
        """Those of the one modality."""
        return {name: info for name, info in self.data.streams.items() if info.modality == self.modality}


@dataclass(frozen=True, slots=True)
class SomeFolds(View):
    """``data`` with some of its folds alone, numbered anew."""

    numbers: tuple[int, ...]

    @property
    def folds(self) -> tuple[Fold, ...]:
        """The chosen ones."""
        return tuple(self.data.folds[number] for number in self.numbers)

    def features(self, stream: str, fold: int | None) -> StreamData:
        """As the fold of that number here sees them."""
        return self.data.features(stream, None if fold is None else self.numbers[fold])


@dataclass(frozen=True, slots=True)
class Refolded(View):
    """``data`` with other folds, of which each sees the streams as the fold of the same number does."""

    others: tuple[Fold, ...]

    @property
    def folds(self) -> tuple[Fold, ...]:
        """The others."""
        return self.others

    def features(self, stream: str, fold: int | None) -> StreamData:
        """As there; of data without folds, those that all clips have."""
        return self.data.features(stream, fold if self.data.folds else None)
