"""Streams of frames for the training loop and for prediction: padded batches, read from where the frames lie."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mer_core.plugin import StreamData, pad_clips
from mer_core.pooling import Standardiser

Rows = NDArray[np.int64]
STEP = 8
"""Batches are padded to a multiple of so many frames, or to the longest clip: few shapes, of which each is probed."""
CELLS = 2**24
"""Numbers of one stream that prediction pads at once: 64 MB."""


class FrameTable:
    """One stream of frames for F folds: ``seen`` by each of them, or by all (one).

    Args:
        rows: the clips of the table, indices into the data.
        scale: standardises [F, n, D] fold by fold.
    """

    def __init__(
        self,
        seen: Sequence[StreamData],
        rows: Rows,
        scale: Callable[[Tensor], Tensor],
        device: str,
        dtype: torch.dtype,
    ) -> None:
        self.values = [part.values for part in seen]
        self.scale, self.device, self.dtype = scale, device, dtype
        self.dim = seen[0].info.dim
        bounds = np.stack([np.asarray(part.offsets, np.int64) for part in seen])
        present = np.stack([np.asarray(part.present, bool) for part in seen])
        counts = np.where(present, bounds[..., 1] - bounds[..., 0], 0)
        self.longest = max(1, int(counts.max(initial=1)))
        self.starts, self.counts = bounds[:, rows, 0], counts[:, rows]

    def gather(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """``rows`` [F, B] -> standardised values [F, B, T, D] and presence bool [F, B, T].

        T is that of the longest clip of all folds' batches, rounded up to a multiple of ``STEP`` unless no clip in the
        data has as many frames. What is padded is absent.
        """
        wanted = rows.cpu().numpy()
        fold = np.arange(len(wanted))[:, None] if len(self.values) > 1 else np.zeros((1, 1), np.int64)
        starts, counts = self.starts[fold, wanted], self.counts[fold, wanted]
        longest = min(self.longest, -(-max(1, int(counts.max(initial=1))) // STEP) * STEP)
        found = np.zeros((*wanted.shape, longest, self.dim), np.float32)
        for place in np.ndindex(wanted.shape):
            start, count = starts[place], counts[place]
            found[place][:count] = self.values[place[0] if len(self.values) > 1 else 0][start : start + count]
        mask = torch.from_numpy(np.arange(longest) < counts[..., None])
        values = torch.from_numpy(found).to(self.device)
        return self.scale(values.flatten(1, 2)).view(values.shape).to(self.dtype), mask.to(self.device)


def batch_of(
    data: StreamData, rows: slice, standardiser: Standardiser, known: bool
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The clips ``rows`` as a module sees them, standardised: [n, D] and [n], or [n, T, D] and [n, T].

    Args:
        known: False for a stream that counts as absent in every clip.
    """
    if data.offsets is None:
        present = np.asarray(data.present[rows], bool) & known
        raw = data.values[rows]
        return (standardiser.apply(raw) if present.any() else np.zeros_like(raw, np.float32)), present
    own = data if known else replace(data, present=np.zeros_like(data.present))
    values, mask = pad_clips(own, np.arange(len(data.present))[rows])
    if mask.any():
        values = standardiser.apply(values.reshape(-1, data.info.dim)).reshape(values.shape)
    return values, mask


def parts_of(streams: Iterable[StreamData], count: int, most: int) -> Iterator[slice]:
    """``count`` clips in parts of at most ``most``, fewer where padding to the longest of them would take much room."""
    lengths, dims = [], []
    for part in streams:
        if part.offsets is not None:
            lengths.append(np.where(part.present, part.offsets[:, 1] - part.offsets[:, 0], 0))
            dims.append(part.info.dim)
    start = 0
    while start < count:
        size = most
        for own, dim in zip(lengths, dims, strict=True):
            longest = np.maximum.accumulate(np.maximum(own[start : start + most], 1))
            room = longest * np.arange(1, len(longest) + 1) * dim <= CELLS
            size = min(size, max(1, int(room.sum())))
        yield slice(start, start + size)
        start += size
