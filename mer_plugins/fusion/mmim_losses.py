"""The two parts of MMIM that learn beside the fusion: a Gaussian from one stream to another, and CPC."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from mer_plugins.fusion.encoders import mean_over
from mer_plugins.fusion.layers import masked

LIMIT = 5.0
"""Logarithms of variances stay within plus and minus this, smoothly: unbounded ones diverge."""


class Likelihood(nn.Module):
    """How likely y is given x, under a Gaussian whose mean and variance x predicts, up to a constant.

    Without ``normaliser`` the variance's own term is left out, as in the authors' code: the sum over columns of
    -(mean - y)^2 / (2 variance). With it, y has no gradient: the most likely y is a constant one, and y's entropy,
    which would hold against that, is not estimated.
    """

    def __init__(self, hidden: int, normaliser: bool) -> None:
        super().__init__()
        self.normaliser = normaliser
        self.mean, self.log_variance = _mlp(hidden), _mlp(hidden)

    def forward(self, x: Tensor, y: Tensor, rows: Tensor) -> Tensor:
        """[B, H] twice and bool [B] -> the mean over ``rows``, zero without any."""
        y = y.detach() if self.normaliser else y
        log_variance = LIMIT * torch.tanh(self.log_variance(x) / LIMIT)
        each = -(self.mean(x) - y).square() / (2 * log_variance.exp())
        if self.normaliser:
            each = each - log_variance / 2
        return mean_over(each.sum(1), rows)


class Predictor(nn.Module):
    """Contrastive predictive coding: from the fused vector of a clip, find its stream among those of the batch."""

    def __init__(self, hidden: int, layers: int) -> None:
        super().__init__()
        self.net = nn.Sequential()
        for number in range(layers):
            self.net.append(nn.Linear(hidden, hidden))
            if number == 0 and layers > 1:
                self.net.append(nn.Tanh())

    def forward(self, stream: Tensor, fused: Tensor, rows: Tensor) -> Tensor:
        """[B, H] twice and bool [B] -> mean of -log softmax over ``rows``; the other rows are no candidates."""
        found, wanted = normalize(self.net(fused), dim=1, eps=1e-6), normalize(stream, dim=1, eps=1e-6)
        among = torch.logsumexp(masked(wanted @ found.transpose(0, 1), rows.unsqueeze(0)), 1)
        return mean_over(among - (wanted * found).sum(1), rows)


def _mlp(hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, hidden))
