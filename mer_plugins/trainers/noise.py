"""All randomness of a training step, one generator per (seed, fold).

On a CPU the generators are numpy's, elsewhere torch's on the device: other numbers, same properties.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from mer_plugins.trainers.dropout import Factors, Site

Purpose = Literal["weights", "order", "noise", "inner", "modulation", "unlabelled"]
_PURPOSES: tuple[Purpose, ...] = ("weights", "order", "noise", "inner", "modulation", "unlabelled")


def generator(seed: int, fold: int, purpose: Purpose) -> np.random.Generator:
    """The generator that ``fold`` uses for one purpose. Independent of every other fold's."""
    return np.random.default_rng([seed, fold, _PURPOSES.index(purpose)])


@contextmanager
def seeded(seed: int, device: str = "cpu") -> Iterator[None]:
    """torch's global random numbers, on the CPU and on ``device``, from ``seed``; afterwards as they were before.

    Where only the CPU is meant, its generator alone is set: ``torch.manual_seed`` would note down, on a machine
    without a GPU, the whole call stack for every kind of GPU.
    """
    if torch.device(device).type == "cpu":
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            yield
        return
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


class Noise:
    """Draws what one step needs, for all folds: uniform numbers, then dropout factors.

    The tensors it returns are reused by the next step.
    """

    def __init__(self, seed: int, folds: int, device: str, dtype: torch.dtype) -> None:
        self.device, self.dtype = torch.device(device), dtype
        self.folds = folds
        self.numpy = self.device.type == "cpu"
        self.generators = [generator(seed, fold, "noise") for fold in range(folds)]
        self.device_generators = [] if self.numpy else [self._on_device(rng) for rng in self.generators]
        self.buffers: dict[tuple[int, tuple[int, ...]], Tensor] = {}

    def uniform(self, rows: int, columns: int) -> Tensor:
        """[F, rows, columns] in [0, 1), float32."""
        if self.numpy:
            drawn = [rng.random((rows, columns), dtype=np.float32) for rng in self.generators]
            return torch.from_numpy(np.stack(drawn))
        made = [torch.rand((rows, columns), generator=g, device=self.device) for g in self.device_generators]
        return torch.stack(made)

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        """[F, *shape] of the standard normal distribution, float32."""
        if self.numpy:
            drawn = [rng.standard_normal(shape, dtype=np.float32) for rng in self.generators]
            return torch.from_numpy(np.stack(drawn))
        return torch.stack([torch.randn(shape, generator=g, device=self.device) for g in self.device_generators])

    def factors(self, sites: Sequence[Site]) -> Factors:
        """Dropout factors [F, *shape] of every site."""
        sizes = [site.size for site in sites]
        drawn = self._bytes(sum(sizes)).split(sizes, dim=1) if sites else ()
        found: Factors = {}
        for number, (site, cells) in enumerate(zip(sites, drawn, strict=True)):
            kept = self._buffer(number, (self.folds, *site.shape))
            torch.ge(cells.view(self.folds, *site.shape), site.threshold, out=kept)
            found.setdefault(site.name, []).append(kept.mul_(site.scale))
        return found

    def _bytes(self, count: int) -> Tensor:
        """Random bytes [F, count], each fold's from its own generator."""
        if self.numpy:
            words = np.empty((self.folds, -(-count // 8)), "<u8")
            for row, rng in zip(words, self.generators, strict=True):
                row[:] = rng.bit_generator.random_raw(len(row))
            return torch.from_numpy(words.view(np.uint8)[:, :count])
        empty = torch.empty((self.folds, count), dtype=torch.uint8, device=self.device)
        for row, drawer in zip(empty, self.device_generators, strict=True):
            row.random_(0, 256, generator=drawer)
        return empty

    def _buffer(self, number: int, shape: tuple[int, ...]) -> Tensor:
        if (number, shape) not in self.buffers:
            self.buffers[number, shape] = torch.empty(shape, dtype=self.dtype, device=self.device)
        return self.buffers[number, shape]

    def _on_device(self, rng: np.random.Generator) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(int(rng.integers(2**63)))
