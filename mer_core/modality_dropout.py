"""Modality dropout: in training, clear the presence bits of whole modalities at random.

arXiv 2409.07078, Eq. 1-2 (rate 0.3). Nothing is rescaled and no value is touched: what a cleared bit
means is decided in one place, :mod:`mer_core.presence`, for training and prediction alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

from mer_core.errors import OptionError

if TYPE_CHECKING:
    from torch import Tensor

Policy = Literal["keep_one", "allow"]
"""``keep_one``: a row never loses its last modality. ``allow``: Eq. 2 to the letter."""


def drop_modalities(present: Tensor, rate: float, noise: Tensor, policy: Policy = "keep_one") -> Tensor:
    """Presence after dropout: each present modality goes with probability ``rate``, independently.

    With ``keep_one``, a row that would lose all it has keeps one of its present modalities, each with
    the same chance. That one is where ``noise`` is largest: given that all are below ``rate`` they are
    still exchangeable, so no second draw is needed.

    Args:
        present: bool [..., B, M], M modalities (not streams).
        rate: in [0, 1); 0 returns ``present`` itself.
        noise: uniform in [0, 1), of the shape of ``present``, or [..., 1, M] to decide once per batch.
        policy: see :data:`Policy`.

    Raises:
        OptionError: for a rate outside [0, 1).
    """
    check_rate(rate)
    if rate == 0:
        return present
    kept = present & (noise >= rate)
    return kept if policy == "allow" else kept | _rescued(present, kept, noise)


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
