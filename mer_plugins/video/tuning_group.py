"""Several processes that learn together, as torch's launcher starts them (``torchrun``), or one alone.

Every process computes its share of a step's clips; gradients are added up, so that all take the same step.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed


@dataclass(frozen=True, slots=True)
class Group:
    """This process's ``rank`` among ``size``; tensors are exchanged on ``device``."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    @property
    def first(self) -> bool:
        """The process that writes files and reports progress."""
        return self.rank == 0

    def mine(self, count: int) -> range:
        """Which of ``count`` things this process does."""
        return range(self.rank, count, self.size)

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over all processes, in place."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([one.reshape(-1) for one in tensors])
        distributed.all_reduce(flat)
        for one, part in zip(tensors, flat.split([one.numel() for one in tensors]), strict=True):
            one.copy_(part.view_as(one))

    def total(self, values: Sequence[float]) -> list[float]:
        """Sums of numbers over all processes, the same everywhere."""
        found = torch.tensor(values, dtype=torch.float64, device=self.device)
        self.add([found])
        return [float(one) for one in found.tolist()]

    def agreed(self, value: Any) -> Any:
        """What the first process has, everywhere."""
        if self.size == 1:
            return value
        held = [value]
        distributed.broadcast_object_list(held, src=0, device=torch.device(self.device))
        return held[0]


def own_device(device: str) -> str:
    """The GPU of this process where a launcher started several and ``device`` names none but the first."""
    local = os.environ.get("LOCAL_RANK", "")
    return f"cuda:{local}" if device in ("cuda", "cuda:0") and local and _processes() > 1 else device


def joined(device: str) -> Group:
    """The processes that the environment names (WORLD_SIZE, RANK), joined until this one ends; or this one alone."""
    if _processes() < 2:
        return Group(device=device)
    if not distributed.is_initialized():
        if device.startswith("cuda"):
            torch.cuda.set_device(device)
        distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
        atexit.register(_leave)
    return Group(distributed.get_rank(), distributed.get_world_size(), device)


def _processes() -> int:
    """As a launcher says, which also gives each process its number and an address."""
    told = [os.environ.get(name, "") for name in ("WORLD_SIZE", "RANK", "MASTER_ADDR")]
    return int(told[0]) if all(told) else 1


def _leave() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()
