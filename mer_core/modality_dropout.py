"""Modality dropout: in training, clear the presence bits of whole modalities at random.

:func:`drop_modalities` is arXiv 2409.07078, Eq. 1-2 (rate 0.3); :func:`drop_one` the two draws of AV-HuBERT
(arXiv 2201.02184) and u-HuBERT (arXiv 2207.07036). No value is touched: what a cleared bit means is decided in
one place, :mod:`mer_core.presence`, for training and prediction alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import torch

from mer_core.errors import OptionError

if TYPE_CHECKING:
    from torch import Tensor

Policy = Literal["keep_one", "allow"]
"""``keep_one``: a row never loses its last modality. ``allow``: Eq. 2 to the letter."""


def drop_modalities(
    present: Tensor, rate: float | Sequence[float], noise: Tensor, policy: Policy = "keep_one"
) -> Tensor:
    """Presence after dropout: each present modality goes with probability ``rate``, independently.

    With ``keep_one``, a row that would lose all it has keeps one of its present modalities, each with
    the same chance. That one is where ``noise`` is largest in proportion to its rate: given that all are
    below their rates, these proportions are exchangeable, so no second draw is needed.

    Args:
        present: bool [..., B, M], M modalities (not streams).
        rate: in [0, 1), or one for each of the M; 0 returns ``present`` itself.
        noise: uniform in [0, 1), of the shape of ``present``, or [..., 1, M] to decide once per batch.
        policy: see :data:`Policy`.

    Raises:
        OptionError: for a rate outside [0, 1).
    """
    rates = [rate] if isinstance(rate, int | float) else list(rate)
    if max(map(check_rate, rates)) == 0:
        return present
    limits = torch.tensor(rates, dtype=noise.dtype, device=noise.device)
    kept = present & (noise >= limits)
    if policy == "allow":
        return kept
    return kept | _rescued(present, kept, noise if len(set(rates)) == 1 else noise / limits)


def drop_one(present: Tensor, rates: Sequence[float], noise: Tensor) -> Tensor:
    """Presence after at most one modality went: two draws, of which the first decides whether and the second which.

    Modality m goes with probability ``rates[m]``, so that one of them goes with their sum; AV-HuBERT's 0.5 for
    both of its settings are the rates (0.25, 0.25). A row that has nothing else keeps it.

    Args:
        present: bool [..., B, M].
        rates: M numbers from 0 on, which add up to at most 1.
        noise: uniform in [0, 1), [..., B, 2], or [..., 1, 2] to decide once per batch.

    Raises:
        OptionError: for rates that are no such numbers.
    """
    total = sum(rates)
    if min(rates) < 0 or not 0 <= total <= 1 + 1e-9:
        raise OptionError(
            f"the rates of one modality going add up to {total:g}.", "Give rates that add up to 1 at most."
        )
    if total == 0:
        return present
    edges = torch.tensor(rates, dtype=torch.float64).cumsum(0).div(total)[:-1].to(noise)
    chosen = torch.bucketize(noise[..., 1:].contiguous(), edges, right=True)
    goes = (noise[..., :1] < total) & (chosen == torch.arange(len(rates), device=noise.device))
    alone = present.sum(-1, keepdim=True) < 2
    return present & (alone | ~goes)


def check_rate(rate: float) -> float:
    """``rate`` if it can be a modality dropout rate.

    Raises:
        OptionError: otherwise.
    """
    if not 0 <= rate < 1:
        raise OptionError(f"modality dropout {rate} is outside [0, 1).", "Use 0.3, or 0 to switch it off.")
    return rate


def _rescued(present: Tensor, kept: Tensor, noise: Tensor) -> Tensor:
    """One present modality of each row that lost all of them."""
    ranked = torch.where(present, noise, torch.full((), -1.0, dtype=noise.dtype, device=noise.device))
    best = torch.zeros_like(present).scatter_(-1, ranked.argmax(-1, keepdim=True), True)
    return best & present & ~kept.any(-1, keepdim=True)
