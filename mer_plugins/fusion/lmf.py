"""Low-rank Multimodal Fusion: the products of TFN, with a weight tensor that is a sum of few outer products.

Source: Liu et al. 2018 (ACL). Encoders and sizes as in the MER2024 baseline; factors are initialised slice by slice,
as matrices, so that products of many streams do not vanish.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mer_core.plugin import FusionOutput, StreamInfo, TargetSpec
from mer_plugins.fusion.encoders import Answer, StreamEncoders
from mer_plugins.fusion.options import LmfOptions
from mer_plugins.fusion.tfn import with_one

__all__ = ["Lmf", "LmfModule", "LmfOptions"]


class Lmf:
    """Fusion plugin ``lmf``."""

    def __init__(self, options: LmfOptions) -> None:
        self.options = options

    def build(self, streams: Mapping[str, StreamInfo], targets: TargetSpec) -> LmfModule:
        """A fresh module over ``streams``, in their order."""
        return LmfModule(streams, targets, self.options)


class LmfModule(nn.Module):
    """z = sum_r w_r prod_m ([1; h_m] F_mr) + b, with F_m [R, H + 1, H / 2], then the layer that answers.

    It equals TFN's product times the tensor sum_r w_r F_1r x ... x F_Mr, which is never made. The factor
    of an absent stream (h = 0) is its row for the one.
    """

    def __init__(self, streams: Mapping[str, StreamInfo], targets: TargetSpec, options: LmfOptions) -> None:
        super().__init__()
        out, rank = max(1, options.hidden // 2), options.rank
        self.streams = StreamEncoders(streams, options.hidden, options.dropout, options.absent)
        self.factors = nn.ParameterList(_factor(rank, options.hidden + 1, out) for _ in streams)
        self.fusion_weights = nn.Parameter(nn.init.xavier_normal_(torch.empty(1, rank)))
        self.fusion_bias = nn.Parameter(torch.zeros(1, out))
        self.fc_out = Answer(out, targets)

    def forward(self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> FusionOutput:
        """Dicts of [B, D] and bool [B] -> logits [B, C]."""
        hidden, _ = self.streams(x, mask)
        return self.fc_out.output(self.fused(hidden))

    def fused(self, hidden: Tensor) -> Tensor:
        """Hidden states [B, M, H] -> z [B, H / 2]."""
        product = hidden.new_ones(())
        for code, factor in zip(hidden.unbind(1), self.factors, strict=True):
            product = product * torch.einsum("bi,rio->bro", with_one(code), factor)
        return (self.fusion_weights.unsqueeze(-1) * product).sum(1) + self.fusion_bias


def _factor(rank: int, size: int, out: int) -> nn.Parameter:
    slices = [nn.init.xavier_normal_(torch.empty(size, out)) for _ in range(rank)]
    return nn.Parameter(torch.stack(slices))
