"""Adam over stacked members, each with a learning rate and weight decay of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor


class MemberAdam(torch.optim.Adam):
    """Adam over tensors [M, ...] whose leading axis are members.

    Neighbours with the same rate and decay are one slice, which torch's own fused kernel changes in place: every
    member learns, to the bit, as it would with :class:`torch.optim.Adam` alone.

    Args:
        stacked: tensors [M, ...], contiguous.
        rates: [M] learning rates at the start, also found as ``initial_lr`` of each group; ``decays`` [M] likewise.
    """

    def __init__(self, stacked: Sequence[Tensor], rates: Sequence[float], decays: Sequence[float]) -> None:
        self.stacked = list(stacked)
        groups: list[dict[str, Any]] = []
        self.pieces: list[tuple[Tensor, slice, Tensor]] = []
        for rows, (rate, decay) in _runs(list(zip(rates, decays, strict=True))):
            own = [(whole, rows, whole.detach()[rows]) for whole in self.stacked]
            self.pieces += own
            params = [piece for _, _, piece in own]
            groups.append({"params": params, "lr": rate, "initial_lr": rate, "weight_decay": decay})
        super().__init__(groups, fused=True)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step with the gradients of the stacked tensors."""
        for whole, rows, piece in self.pieces:
            piece.grad = None if whole.grad is None else whole.grad[rows]
        super().step(closure)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        for whole in self.stacked:
            whole.grad = None


def _runs(keys: Sequence[tuple[float, float]]) -> list[tuple[slice, tuple[float, float]]]:
    """Neighbours with equal keys."""
    found, start = [], 0
    for key, same in groupby(keys):
        stop = start + len(list(same))
        found.append((slice(start, stop), key))
        start = stop
    return found
