"""Attention with linear biases: a head's score falls with the distance to the key.

Method: O. Press et al., "Train short, test long", ICLR 2022.
"""

from __future__ import annotations

import torch
from torch import Tensor


def slopes(heads: int) -> Tensor:
    """The slope of each head, float32 [heads].

    For a power of two they are 2^(-8i/heads), i from 1. Another number takes those of the next lower
    power, and then every other one, from the first, of twice that power.
    """
    power = 1 << (heads.bit_length() - 1)
    found = [2.0 ** (-8 * i / power) for i in range(1, power + 1)]
    found += [2.0 ** (-4 * i / power) for i in range(1, 2 * (heads - power), 2)]
    return torch.tensor(found)


def bias(slope: Tensor, length: int) -> Tensor:
    """What is added to the scores, float32 [heads, length, length]: slope times (key - query), no key ahead.

    Only differences count in a softmax over keys, so that this is the same as slope times key, which
    Baichuan-13B adds, but for rounding: that grows with the position.
    """
    places = torch.arange(length, device=slope.device, dtype=torch.float32)
    distance = places[None, :] - places[:, None]
    return (slope[:, None, None] * distance).masked_fill(distance > 0, float("-inf"))
