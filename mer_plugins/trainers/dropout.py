"""Dropout whose randomness comes from outside, so that folds trained together equal folds trained alone.

Every ``nn.Dropout`` of a fusion is replaced by :class:`MaskedDropout`, which multiplies by factors that
the trainer supplies for each step. They are drawn per fold from that fold's own generator. A random
byte decides over a cell (comparing bytes is some thirty times faster than torch's Bernoulli on a
CPU), so rates are rounded to 1/256; the scale matches the rounded rate, which keeps means unbiased.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from mer_core.plugin import FusionError

Factors = dict[str, list[Tensor]]
"""Per dropout module, one tensor per call of it in a forward pass: 0 or 1/(1 - rate)."""


class MaskedDropout(nn.Module):
    """Multiplies by the factors it was given; identity in evaluation. ``p`` is the rate asked for."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.threshold = min(256, max(1, round(p * 256))) if p > 0 else 0
        self.seen: list[tuple[int, ...]] | None = None
        self.factors: Iterator[Tensor] = iter(())

    @property
    def scale(self) -> float:
        """What a kept cell is multiplied by."""
        return 256 / (256 - self.threshold) if self.threshold < 256 else 0.0

    def forward(self, x: Tensor) -> Tensor:
        """``x`` with cells dropped, of the same shape."""
        if not self.training or not self.threshold:
            return x
        if self.seen is not None:
            self.seen.append(tuple(x.shape))
            return x
        factor = next(self.factors, None)
        if factor is None or factor.shape != x.shape:
            raise FusionError(
                "calls a dropout with shapes that change from step to step.",
                "Call it once per forward pass on tensors whose shape follows from the input's.",
            )
        return x * factor


def replace_dropout(module: nn.Module) -> nn.Module:
    """``module`` with every ``nn.Dropout`` in it replaced, in place."""
    for name, child in list(module.named_children()):
        if type(child) is nn.Dropout:
            setattr(module, name, MaskedDropout(child.p))
        else:
            replace_dropout(child)
    return module


def dropouts(module: nn.Module) -> dict[str, MaskedDropout]:
    """The replaced dropouts that do anything, by their place in ``module``."""
    return {n: m for n, m in module.named_modules() if isinstance(m, MaskedDropout) and m.threshold}


@dataclass(frozen=True, slots=True)
class Site:
    """One call of one dropout: which module, the shape it sees, its threshold and scale."""

    name: str
    shape: tuple[int, ...]
    threshold: int
    scale: float

    @property
    def size(self) -> int:
        """Cells per fold."""
        return int(np.prod(self.shape))


def find_sites(module: nn.Module, x: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> list[Site]:
    """Every dropout call of a training pass over one batch, in order of modules, then of calls."""
    watched = copy.deepcopy(module)
    found = dropouts(watched)
    for drop in found.values():
        drop.seen = []
    with torch.no_grad():
        watched.train()(x, mask)
    return [Site(n, shape, d.threshold, d.scale) for n, d in found.items() for shape in d.seen or ()]


@contextmanager
def supplied(found: Mapping[str, MaskedDropout], factors: Mapping[str, Sequence[Tensor]]) -> Iterator[None]:
    """Within the block, the dropouts ``found`` use ``factors``."""
    for name, drop in found.items():
        drop.factors = iter(factors.get(name, ()))
    try:
        yield
    finally:
        for drop in found.values():
            drop.factors = iter(())
