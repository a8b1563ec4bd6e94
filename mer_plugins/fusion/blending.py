"""Losses of several predictions at once, through an interface on which a fusion sees no labels.

A trainer takes the cross entropy of ``logits``, -L[y] + logsumexp(L), plus the fusion's auxiliary losses. With
L = log p + sum_m w_m log p_m as the logits in training, and -logsumexp(L) as an auxiliary loss, the two
normalisers cancel, and what is left is exactly CE(p) + sum_m w_m CE(p_m). Soft labels and label smoothing keep
that. Class weights scale -L[y], and add (weight - 1) times the cross entropy of the experts' product.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mer_plugins.fusion.encoders import mean_over


def blended(logits: Tensor, own: Tensor, weights: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and auxiliary loss that together train ``logits`` and every row of ``own``; for training mode only.

    Args:
        logits: [B, C] of the prediction that counts.
        own: [B, M, C], other predictions.
        weights: [B, M], of the other predictions' losses; zero where a prediction is not to learn.
        rows: bool [B], the clips that have any stream: the others are left out of the auxiliary loss.
    """
    total = torch.log_softmax(logits, -1) + (weights.unsqueeze(-1) * torch.log_softmax(own, -1)).sum(1)
    return total, -mean_over(torch.logsumexp(total, -1), rows)
