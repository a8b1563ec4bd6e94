"""A transformer layer over the streams of a clip, written with plain products, so that folds stack."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def masked(scores: Tensor, present: Tensor) -> Tensor:
    """``scores`` where ``present`` (bool, broadcast), elsewhere so low that no softmax sees them; finite."""
    low = torch.full((), torch.finfo(scores.dtype).min / 2, dtype=scores.dtype, device=scores.device)
    return torch.where(present, scores, low)


class SelfAttention(nn.Module):
    """Scaled dot-product attention of T tokens to those that are present (Vaswani et al. 2017)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.project_in = nn.Linear(width, 3 * width)
        self.project_out = nn.Linear(width, width)
        self.drop = nn.Dropout(dropout)
        nn.init.xavier_uniform_(self.project_in.weight)
        nn.init.zeros_(self.project_in.bias)
        nn.init.zeros_(self.project_out.bias)

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """[B, T, W] and bool [B, T] -> [B, T, W]."""
        query, key, value = self.project_in(x).unflatten(-1, (3, self.heads, -1)).movedim(-3, 0).transpose(2, 3)
        scores = query @ key.transpose(-1, -2) * key.shape[-1] ** -0.5
        weights = torch.softmax(masked(scores, present[:, None, None, :]), -1)
        told: Tensor = self.project_out((self.drop(weights) @ value).transpose(1, 2).flatten(2))
        return told


class TransformerLayer(nn.Module):
    """Attention and two linear layers with ReLU, each added to its input; normalised after that, or before."""

    def __init__(self, width: int, heads: int, feedforward: int, dropout: float, *, norm_first: bool = False) -> None:
        super().__init__()
        self.norm_first = norm_first
        self.attention = SelfAttention(width, heads, dropout)
        self.linear_1, self.linear_2 = nn.Linear(width, feedforward), nn.Linear(feedforward, width)
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.drop, self.drop_1, self.drop_2 = nn.Dropout(dropout), nn.Dropout(dropout), nn.Dropout(dropout)

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """[B, T, W] and bool [B, T] -> [B, T, W]."""
        if self.norm_first:
            x = x + self.drop_1(self.attention(self.norm_1(x), present))
            return x + self._feed(self.norm_2(x))
        x = self.norm_1(x + self.drop_1(self.attention(x, present)))
        told: Tensor = self.norm_2(x + self._feed(x))
        return told

    def _feed(self, x: Tensor) -> Tensor:
        told: Tensor = self.drop_2(self.linear_2(self.drop(torch.relu(self.linear_1(x)))))
        return told
