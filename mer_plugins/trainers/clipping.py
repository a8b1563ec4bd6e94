"""Gradient clipping by norm (Pascanu et al. 2013, arXiv 1211.5063), for each of several members on its own.

The arithmetic is that of ``torch.nn.utils.clip_grad_norm_``, with a leading axis of members.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

EPSILON = 1e-6
"""Added to a norm before dividing by it, as torch does."""


@torch.no_grad()
def clip(gradients: Sequence[Tensor], limit: float) -> None:
    """Scale ``gradients`` [F, ...] in place, so that no member's 2-norm over all of them is above ``limit``."""
    if not gradients:
        return
    factors = (limit / (norms(gradients) + EPSILON)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factors.view(-1, *[1] * (gradient.dim() - 1)))


def norms(gradients: Sequence[Tensor]) -> Tensor:
    """Each member's 2-norm [F] over all ``gradients`` [F, ...]."""
    each = [torch.linalg.vector_norm(gradient.reshape(len(gradient), -1), dim=1) for gradient in gradients]
    total: Tensor = torch.linalg.vector_norm(torch.stack(each), dim=0)
    return total
