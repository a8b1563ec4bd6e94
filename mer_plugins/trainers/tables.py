"""The features as the training loop wants them: one gather per stream and step, standardised on the way.

Each fold has its own standardisation, but all folds share one copy of the raw rows: standardising a
gathered batch costs a few per cent of a step, a standardised copy per fold would cost five times the
memory and the time to fill it. Frames are read from where they lie, a file perhaps, batch by batch.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mer_core.plugin import StreamData, TrainingData, frames_of
from mer_core.pooling import Standardiser
from mer_plugins.finite import all_finite
from mer_plugins.trainers.frame_tables import FrameTable
from mer_plugins.trainers.views import seen_by

Rows = NDArray[np.int64]
CELLS = 2**25
"""Numbers that an evaluation holds at once where streams have frames: 128 MB."""
_BLOCK = 4096
"""Rows that are looked through at a time."""


@dataclass(frozen=True, slots=True)
class FoldScales:
    """The standardisers of F folds as tensors [F, 1, D]; ``None`` where there is nothing to do."""

    median: Tensor | None
    mean: Tensor | None
    scale: Tensor | None
    limit: float | None

    @classmethod
    def of(cls, parts: Sequence[Standardiser], holes: bool, device: str) -> FoldScales:
        """``holes``: the stream has non-finite cells, which the median replaces."""

        def stacked(name: str) -> Tensor:
            return torch.from_numpy(np.stack([getattr(part, name) for part in parts])).unsqueeze(1).to(device)

        idle = all((part.mean == 0).all() and (part.scale == 1).all() for part in parts)
        median = stacked("median") if holes else None
        return cls(median, None if idle else stacked("mean"), None if idle else stacked("scale"), parts[0].limit)

    def apply(self, x: Tensor) -> Tensor:
        """``x`` [F, B, D], which may change: the same operations as :meth:`Standardiser.apply`."""
        if self.median is not None:
            x = torch.where(x.isfinite(), x, self.median)
        if self.mean is not None and self.scale is not None:
            x = x.sub_(self.mean).mul_(self.scale)
        bound = torch.finfo(x.dtype).max if self.limit is None else self.limit
        return x if self.mean is None and self.limit is None else x.clamp_(-bound, bound)


@dataclass(frozen=True, slots=True)
class StreamTable:
    """One stream for F folds: raw ``values`` [G, n, D] and ``present`` bool [G, n], G being F or 1 (shared)."""

    values: Tensor
    present: Tensor
    scales: FoldScales
    dtype: torch.dtype

    def gather(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """``rows`` [F, B] -> standardised values [F, B, D] and presence bool [F, B]."""
        own = torch.arange(len(rows), device=rows.device).unsqueeze(1) if len(self.values) > 1 else 0
        flat = (rows + own * self.values.shape[1]).flatten()
        found = self.values.flatten(0, 1).index_select(0, flat).view(*rows.shape, -1)
        present = self.present.flatten().index_select(0, flat).view(rows.shape)
        return self.scales.apply(found).to(self.dtype), present


class Tables:
    """All streams, restricted to the clips in ``rows`` (sorted indices into the data)."""

    def __init__(self, streams: Mapping[str, StreamTable | FrameTable], rows: Rows) -> None:
        self.streams = streams
        self.rows = rows

    @property
    def longest(self) -> dict[str, int]:
        """By stream that has frames, the frames of its longest clip in the data."""
        return {name: table.longest for name, table in self.streams.items() if isinstance(table, FrameTable)}

    def columns(self, members: int, most: int) -> int:
        """How many clips of each member can be looked at together; ``most`` where no stream has frames."""
        wide = [table.longest * table.dim for table in self.streams.values() if isinstance(table, FrameTable)]
        return max(1, min(most, CELLS // (members * sum(wide)))) if wide else most

    def local(self, rows: Rows) -> Rows:
        """Where clips ``rows`` are in these tables."""
        return np.searchsorted(self.rows, rows)

    def gather(self, rows: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Local ``rows`` [F, B] -> values and presence of every stream."""
        found = {name: table.gather(rows) for name, table in self.streams.items()}
        return {k: v[0] for k, v in found.items()}, {k: v[1] for k, v in found.items()}


def build_tables(
    data: TrainingData, standardisers: Sequence[Mapping[str, Standardiser]], rows: Rows, device: str, dtype: torch.dtype
) -> Tables:
    """Tables of the clips ``rows``; ``standardisers[f][stream]`` belong to fold ``f``."""
    found = {}
    for name in data.streams:
        own = [part[name] for part in standardisers]
        found[name] = _table(folded(data, name, len(own)), own, rows, device, dtype)
    return Tables(found, rows)


def folded(data: TrainingData, stream: str, folds: int) -> list[StreamData]:
    """A stream as each fold sees it; only the first where all see the same arrays."""
    seen = [seen_by(data, stream, fold) for fold in range(folds)]
    shared = all(
        part.values is seen[0].values and part.present is seen[0].present and part.offsets is seen[0].offsets
        for part in seen
    )
    return seen[:1] if shared else seen


def fit_standardiser(seen: StreamData, rows: Rows, standardise: bool, limit: float | None) -> Standardiser:
    """What the clips ``rows`` teach about a stream; where it has frames, all their frames alike."""
    if seen.offsets is None:
        return Standardiser.fit(seen.values, rows[seen.present[rows]], standardise, limit)
    return Standardiser.fit_frames(seen.values, frames_of(seen, rows), standardise, limit)


def _table(
    seen: Sequence[StreamData], own: Sequence[Standardiser], rows: Rows, device: str, dtype: torch.dtype
) -> StreamTable | FrameTable:
    if seen[0].offsets is not None:
        return FrameTable(seen, rows, FoldScales.of(own, True, device).apply, device, dtype)
    values = _stacked([_rows(part.values, rows) for part in seen])
    present = torch.from_numpy(np.stack([np.asarray(part.present[rows], bool) for part in seen]))
    holes = not all(all_finite(part) for part in values.flatten(0, 1).split(_BLOCK))
    return StreamTable(values.to(device), present.to(device), FoldScales.of(own, holes, device), dtype)


def _rows(values: NDArray[Any], rows: Rows) -> NDArray[np.float32]:
    """Rows (sorted) of a table; neighbours are not copied, so that a mapped file stays one."""
    first, count = (int(rows[0]), len(rows)) if len(rows) else (0, 0)
    near = bool(count) and int(rows[-1]) - first + 1 == count
    return np.asarray(values[first : first + count] if near else values[rows], np.float32)


def _stacked(parts: Sequence[NDArray[np.float32]]) -> Tensor:
    """[G, n, D]; a single part as it is. Nobody writes into it, whether its file lets them or not."""
    if len(parts) > 1:
        return torch.from_numpy(np.stack(parts))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writ", UserWarning)
        return torch.from_numpy(parts[0]).unsqueeze(0)
