"""Absence has one meaning: modality dropout and missing modalities clear presence bits, and these
two functions are the only way a cleared bit takes effect.

``absent="mask"``: the stream's hidden state and its attention weight are zero. ``absent="zero"``: a
zero vector goes through the encoder, as in the paper (arXiv 2409.07078, Eq. 1-2). Either way the
values behind a cleared bit, NaN included, change no output and no gradient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from torch import Tensor

Absent = Literal["mask", "zero"]


def clear_input(x: Tensor, present: Tensor) -> Tensor:
    """``x`` [..., D] with absent rows replaced by zeros; ``present`` bool [...]."""
    return torch.where(present.unsqueeze(-1), x, torch.zeros((), dtype=x.dtype, device=x.device))


def clear_hidden(hidden: Tensor, present: Tensor, absent: Absent) -> Tensor:
    """Hidden states [..., H] of absent rows become zero under ``mask``, stay as they are under ``zero``."""
    return hidden if absent == "zero" else clear_input(hidden, present)


def clear_weights(weights: Tensor, present: Tensor, absent: Absent) -> Tensor:
    """Attention weights [..., M] of absent streams become zero under ``mask``; ``present`` bool [..., M]."""
    if absent == "zero":
        return weights
    return torch.where(present, weights, torch.zeros((), dtype=weights.dtype, device=weights.device))
