"""Whether numbers are numbers."""

from __future__ import annotations

import torch
from torch import Tensor


def all_finite(values: Tensor) -> bool:
    """Nothing in a floating-point tensor is NaN or infinite: one pass for the extremes, which NaN takes over."""
    if not values.numel():
        return True
    wide = values.float() if values.itemsize == 1 else values  # of eight bits there are no extremes
    return all(bool(one.isfinite()) for one in torch.aminmax(wide))
