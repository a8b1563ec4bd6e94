"""Tensor Fusion Network: every product of one number from each stream.

Source: Zadeh et al. 2017 (EMNLP), with the MER2024 baseline's encoders and its two layers after the product. The
paper's batch normalisation is left out (a batch may hold one clip) and so is its scaled sigmoid (it regresses).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mer_core.plugin import FusionOutput, PluginError, StreamInfo, TargetSpec
from mer_plugins.fusion.encoders import Answer, StreamEncoders
from mer_plugins.fusion.options import TfnOptions

__all__ = ["Tfn", "TfnModule", "TfnOptions", "outer_product", "with_one"]

CHOSEN, MOST = 1 << 20, 1 << 29
"""Weights of the layer after the product: as many as a chosen width may need, and as a given one may."""


class Tfn:
    """Fusion plugin ``tfn``."""

    def __init__(self, options: TfnOptions) -> None:
        self.options = options

    def build(self, streams: Mapping[str, StreamInfo], targets: TargetSpec) -> TfnModule:
        """A fresh module over ``streams``, in their order.

        Raises:
            PluginError: for more streams than products can be made of.
        """
        return TfnModule(streams, targets, self.options)


class TfnModule(nn.Module):
    """[1; h_1] x ... x [1; h_M], flattened to (w + 1)^M numbers, dropout, two linear layers with ReLU.

    The first stream's index changes slowest. The ones keep products of fewer streams, so an absent
    stream (h = 0) leaves what the others say together.
    """

    def __init__(self, streams: Mapping[str, StreamInfo], targets: TargetSpec, options: TfnOptions) -> None:
        super().__init__()
        hidden, width = options.hidden, code_width(len(streams), options)
        self.streams = StreamEncoders(streams, width, options.dropout, options.absent)
        self.drop = nn.Dropout(options.dropout)
        self.post_fusion_layer_1 = nn.Linear((width + 1) ** len(streams), hidden)
        self.post_fusion_layer_2 = nn.Linear(hidden, hidden)
        self.fc_out = Answer(hidden, targets)

    def forward(self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> FusionOutput:
        """Dicts of [B, D] and bool [B] -> logits [B, C]."""
        hidden, _ = self.streams(x, mask)
        products = outer_product([with_one(code) for code in hidden.unbind(1)])
        fused = torch.relu(self.post_fusion_layer_1(self.drop(products)))
        return self.fc_out.output(torch.relu(self.post_fusion_layer_2(fused)))


def with_one(code: Tensor) -> Tensor:
    """[B, w] -> [B, 1 + w], a one in front."""
    return torch.cat([torch.ones_like(code[:, :1]), code], dim=1)


def outer_product(codes: Sequence[Tensor]) -> Tensor:
    """Codes [B, w_m] -> [B, product of all w_m]; the last one's index changes fastest."""
    product = codes[0]
    for code in codes[1:]:
        product = (product.unsqueeze(2) * code.unsqueeze(1)).flatten(1)
    return product


def code_width(streams: int, options: TfnOptions) -> int:
    """The width given, or the largest up to ``hidden`` with which the first layer has ``CHOSEN`` weights at most.

    Raises:
        PluginError: there are too many streams for any width, or for the one given.
    """

    def weights(width: int) -> int:
        return int((width + 1) ** streams) * options.hidden

    if options.width is None:
        fitting = [width for width in range(1, options.hidden + 1) if weights(width) <= CHOSEN]
        if fitting:
            return fitting[-1]
    elif weights(options.width) <= MOST:
        return options.width
    narrower = options.width is not None and weights(1) <= CHOSEN
    raise PluginError(
        f"tfn: products of {streams} streams with codes of {options.width or 1} and hidden {options.hidden} need "
        f"{weights(options.width or 1):.1e} weights.",
        ("Leave out tfn.width, and the widest codes that fit are taken, or " if narrower else "")
        + f"{'c' if narrower else 'C'}hoose the fusion lmf, which does the same by factors, or give fewer streams.",
    )
