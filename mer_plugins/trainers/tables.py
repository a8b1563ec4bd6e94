"""The features as the training loop wants them: one gather per stream and step, already standardised.

Each fold has its own standardisation. Where memory allows (``table_gb``) every fold gets its own
standardised copy of the rows it needs; otherwise raw rows are gathered and standardised per batch.
The two ways do the same operations on the same numbers, so they give the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mer_core.pooling import Standardiser
from mer_core.protocols import TrainingData
from mer_core.types import StreamData

Rows = NDArray[np.int64]
_CHUNK = 64


@dataclass(frozen=True, slots=True)
class StreamTable:
    """One stream for F folds: ``values`` [G, n, D] and ``present`` bool [G, n], G being F or 1 (shared)."""

    values: Tensor
    present: Tensor
    standardisers: tuple[Standardiser, ...] | None
    dtype: torch.dtype

    def gather(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """``rows`` [F, B] -> standardised values [F, B, D] and presence bool [F, B]."""
        own = torch.arange(len(rows), device=rows.device).unsqueeze(1) if len(self.values) > 1 else 0
        flat = (rows + own * self.values.shape[1]).flatten()
        found = self.values.flatten(0, 1).index_select(0, flat).view(*rows.shape, -1)
        present = self.present.flatten().index_select(0, flat).view(rows.shape)
        return self._standardised(found), present

    def _standardised(self, found: Tensor) -> Tensor:
        if self.standardisers is None:
            return found
        done = [_apply(s, part.cpu().numpy()) for s, part in zip(self.standardisers, found, strict=True)]
        return torch.stack(done).to(found.device, self.dtype)


class Tables:
    """All streams, restricted to the clips in ``rows`` (sorted indices into the data)."""

    def __init__(self, streams: Mapping[str, StreamTable], rows: Rows) -> None:
        self.streams = streams
        self.rows = rows

    def local(self, rows: Rows) -> Rows:
        """Where clips ``rows`` are in these tables."""
        return np.searchsorted(self.rows, rows)

    def gather(self, rows: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Local ``rows`` [F, B] -> values and presence of every stream."""
        found = {name: table.gather(rows) for name, table in self.streams.items()}
        return {k: v[0] for k, v in found.items()}, {k: v[1] for k, v in found.items()}


def build_tables(
    data: TrainingData,
    standardisers: Sequence[Mapping[str, Standardiser]],
    rows: Rows,
    device: str,
    dtype: torch.dtype,
    limit_bytes: float,
) -> Tables:
    """Tables of the clips ``rows``; ``standardisers[f][stream]`` belong to fold ``f``.

    Streams get standardised copies from the smallest on, until ``limit_bytes`` are used up.
    """
    width = torch.empty((), dtype=dtype).element_size()
    made: dict[str, StreamTable] = {}
    for name in sorted(data.streams, key=lambda n: data.streams[n].dim):
        own = tuple(part[name] for part in standardisers)
        cost = len(own) * len(rows) * data.streams[name].dim * width
        made[name] = _table(folded(data, name, len(own)), own, rows, device, dtype, cost <= limit_bytes)
        limit_bytes -= cost if cost <= limit_bytes else 0
    return Tables({name: made[name] for name in data.streams}, rows)


def folded(data: TrainingData, stream: str, folds: int) -> list[StreamData]:
    """A stream as each fold sees it."""
    return [data.features(stream, fold if data.folds else None) for fold in range(folds)]


def _table(
    seen: Sequence[StreamData],
    standardisers: tuple[Standardiser, ...],
    rows: Rows,
    device: str,
    dtype: torch.dtype,
    copies: bool,
) -> StreamTable:
    shared = all(p.values is seen[0].values and p.present is seen[0].present for p in seen)
    present = np.stack([part.present[rows] for part in (seen[:1] if shared and not copies else seen)])
    if copies:
        values = _copies(seen, standardisers, rows, dtype)
    else:
        raw = [np.asarray(part.values[rows], np.float32) for part in (seen[:1] if shared else seen)]
        values = torch.from_numpy(np.stack(raw))
    rest = None if copies else standardisers
    return StreamTable(values.to(device), torch.from_numpy(present).to(device), rest, dtype)


def _copies(
    seen: Sequence[StreamData], standardisers: Sequence[Standardiser], rows: Rows, dtype: torch.dtype
) -> Tensor:
    """[F, n, D], filled by a few threads in chunks that stay in cache."""
    values = torch.empty((len(seen), len(rows), seen[0].values.shape[1]), dtype=dtype)

    def fill(fold: int, start: int) -> None:
        part = seen[fold].values[rows[start : start + _CHUNK]]
        values[fold, start : start + _CHUNK] = _apply(standardisers[fold], part).to(dtype)

    with ThreadPoolExecutor(max(1, torch.get_num_threads())) as pool:
        jobs = [pool.submit(fill, f, s) for f in range(len(seen)) for s in range(0, len(rows), _CHUNK)]
        for job in jobs:
            job.result()
    return values


def _apply(standardiser: Standardiser, values: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(standardiser.apply(values))
