"""The three losses of MISA over M streams of which a clip may lack some; codes [B, M, H], presence bool [B, M].

As in the authors' code, but for zero under a square root, whose gradient is infinite there.
"""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor

from mer_plugins.fusion.encoders import mean_over

_EPS = 1e-12
MOMENTS = 5


def similarity(shared: Tensor, present: Tensor) -> Tensor:
    """Central moment discrepancy of the shared codes, mean over pairs of streams."""
    places = list(combinations(range(shared.shape[1]), 2))
    pairs = [moments(shared[:, m], shared[:, n], present[:, m], present[:, n]) for m, n in places]
    return sum(pairs, start=shared.new_zeros(())) / max(1, len(pairs))


def difference(private: Tensor, shared: Tensor, present: Tensor) -> Tensor:
    """Overlap of private and shared code of each stream, and of the private codes of each two, summed."""
    count = private.shape[1]
    own = [overlap(private[:, m], shared[:, m], present[:, m]) for m in range(count)]
    both = [
        overlap(private[:, m], private[:, n], present[:, m] & present[:, n]) for m, n in combinations(range(count), 2)
    ]
    return sum([*own, *both], start=private.new_zeros(()))


def reconstruction(rebuilt: Tensor, whole: Tensor, present: Tensor) -> Tensor:
    """Mean square of what is lost, mean over streams."""
    each = (rebuilt - whole).square().mean(-1)
    count = each.shape[1]
    return torch.stack([mean_over(each[:, m], present[:, m]) for m in range(count)]).mean()


def moments(x: Tensor, y: Tensor, rows_x: Tensor, rows_y: Tensor) -> Tensor:
    """Distances of means and of central moments 2 to 5, summed; codes [B, H], rows bool [B]; zero without rows."""
    mean_x, mean_y = mean_over(x, rows_x), mean_over(y, rows_y)
    total = _norm(mean_x - mean_y)
    for power in range(2, MOMENTS + 1):
        total = total + _norm(mean_over((x - mean_x) ** power, rows_x) - mean_over((y - mean_y) ** power, rows_y))
    return torch.where(rows_x.any() & rows_y.any(), total, torch.zeros_like(total))


def overlap(x: Tensor, y: Tensor, rows: Tensor) -> Tensor:
    """Mean squared entry of X'Y, both centred over ``rows`` and of rows of length 1 (lengths without gradient)."""
    return (_directions(x, rows).transpose(0, 1) @ _directions(y, rows)).square().mean()


def _directions(x: Tensor, rows: Tensor) -> Tensor:
    centred = torch.where(rows.unsqueeze(1), x - mean_over(x, rows), torch.zeros_like(x))
    return centred / (centred.detach().square().sum(1, keepdim=True).sqrt() + 1e-6)


def _norm(x: Tensor) -> Tensor:
    return (x.square().sum() + _EPS).sqrt()
