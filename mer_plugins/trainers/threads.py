"""How many CPU threads a training is worth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

SMALL_STEP = 1e9
"""Floating-point operations of an optimiser step below which one thread does it best.

Several threads meet at a barrier many times in a step. For small steps that costs more than it
gains, and on a machine that others use too, a waiting thread may lose whole time slices.
"""


@contextmanager
def fitting_threads(operations: float) -> Iterator[None]:
    """Run torch's CPU work on one thread for a ``with`` block if a step is small.

    Args:
        operations: multiplications and additions of one optimiser step, forward and backward.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1 if operations < SMALL_STEP else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def step_operations(parameters: int, members: int, batch: int) -> float:
    """A dense network's operations per step: 2 forward and 4 backward per weight and clip."""
    return 6.0 * parameters * members * batch
