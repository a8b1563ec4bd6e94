"""Adam (Kingma and Ba 2015) for members that train together, each with a learning rate and weight decay of its own.

The arithmetic is torch's own fused kernel, called without the class around it: making a ``torch.optim.Adam`` imports
torch's compiler, which costs every process that trains some seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

import torch
from torch import Tensor
from torch.optim.adam import adam

BETAS, EPSILON = (0.9, 0.999), 1e-8


@dataclass(slots=True)
class _Kept:
    """What Adam remembers of one tensor: steps, and the running means of its gradient and of that squared."""

    steps: Tensor
    mean: Tensor
    square: Tensor

    @classmethod
    def of(cls, tensor: Tensor) -> _Kept:
        """Nothing yet."""
        steps = torch.zeros((), dtype=torch.float32, device=tensor.device)
        return cls(steps, torch.zeros_like(tensor), torch.zeros_like(tensor))


@dataclass(slots=True)
class Group:
    """Rows of the stacked tensors that learn with one rate and one decay (L2, added to the gradient).

    ``rows`` is None for whole tensors; ``lr`` may be changed from step to step, ``initial_lr`` is where it began.
    """

    rows: slice | None
    lr: float
    initial_lr: float
    weight_decay: float
    kept: list[_Kept] = field(default_factory=list)


class Adam:
    """Changes ``params`` in place, to the bit as ``torch.optim.Adam(params, lr, weight_decay=decay, fused=True)``."""

    def __init__(self, params: Sequence[Tensor], rate: float, decay: float) -> None:
        self._begin(params, [Group(None, rate, rate, decay)])

    @torch.no_grad()
    def step(self) -> None:
        """One step with the gradients there are; a tensor without one stays as it is."""
        for group in self.groups:
            changed = [(p, k) for p, k in zip(self.params, group.kept, strict=True) if p.grad is not None]
            if changed:
                self._change(group, [p for p, _ in changed], [k for _, k in changed])

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for param in self.params:
            param.grad = None

    def _begin(self, params: Sequence[Tensor], groups: Sequence[Group]) -> None:
        self.params, self.groups = list(params), list(groups)
        for group in self.groups:
            group.kept = [_Kept.of(_part(param.detach(), group.rows)) for param in self.params]

    def _change(self, group: Group, params: Sequence[Tensor], kept: Sequence[_Kept]) -> None:
        gradients = [_part(param.grad, group.rows) for param in params if param.grad is not None]
        adam(
            [_part(param.detach(), group.rows) for param in params],
            gradients,
            [one.mean for one in kept],
            [one.square for one in kept],
            [],
            [one.steps for one in kept],
            fused=True,
            amsgrad=False,
            maximize=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            eps=EPSILON,
            lr=group.lr,
            weight_decay=group.weight_decay,
        )


class MemberAdam(Adam):
    """:class:`Adam` over tensors [M, ...] whose leading axis are members; each learns as it would alone.

    Neighbours with the same rate and decay are one slice, which the kernel changes in place.

    Args:
        stacked: tensors [M, ...], contiguous.
        rates: [M] learning rates at the start; ``decays`` [M] likewise.
    """

    def __init__(self, stacked: Sequence[Tensor], rates: Sequence[float], decays: Sequence[float]) -> None:
        runs = _runs(list(zip(rates, decays, strict=True)))
        self._begin(stacked, [Group(rows, rate, rate, decay) for rows, (rate, decay) in runs])


def _part(tensor: Tensor, rows: slice | None) -> Tensor:
    return tensor if rows is None else tensor[rows]


def _runs(keys: Sequence[tuple[float, float]]) -> list[tuple[slice, tuple[float, float]]]:
    """Neighbours with equal keys."""
    found, start = [], 0
    for key, same in groupby(keys):
        stop = start + len(list(same))
        found.append((slice(start, stop), key))
        start = stop
    return found
