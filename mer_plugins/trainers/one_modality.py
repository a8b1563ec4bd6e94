"""The data of one modality alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mer_core.plugin import Fold, StreamData, StreamInfo, TargetSpec, TrainingData

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class OneModality:
    """``data`` without the streams of all other modalities."""

    data: TrainingData
    modality: str

    @property
    def ids(self) -> tuple[str, ...]:
        """See :class:`mer_core.protocols.TrainingData`; so for the others."""
        return self.data.ids

    @property
    def targets(self) -> TargetSpec:
        """As there."""
        return self.data.targets

    @property
    def labels(self) -> Rows:
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
        """Those of the one modality."""
        return {name: info for name, info in self.data.streams.items() if info.modality == self.modality}

    def features(self, stream: str, fold: int | None) -> StreamData:
        """As there."""
        return self.data.features(stream, fold)
