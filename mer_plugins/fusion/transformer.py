"""A transformer over one token per stream and a summary token, in which each stream also learns to predict alone.

Inspired by Zong et al. 2023 (first in MER2023's track MER-MULTI), of which the abstract names a simple transformer over
tokens of all modalities, trained on a weighted blend of unimodal and multimodal losses. Its architecture is not
published; this one is mer's own.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mer_core.plugin import Absent, FusionOutput, Head, StreamInfo, TargetSpec, clear_hidden
from mer_plugins.fusion.encoders import Answer, StreamEncoders
from mer_plugins.fusion.layers import TransformerLayer
from mer_plugins.fusion.options import TransformerOptions

__all__ = ["Transformer", "TransformerModule", "TransformerOptions"]


class Transformer:
    """Fusion plugin ``transformer``."""

    def __init__(self, options: TransformerOptions) -> None:
        self.options = options

    def build(self, streams: Mapping[str, StreamInfo], targets: TargetSpec) -> TransformerModule:
        """A fresh module over ``streams``, in their order."""
        return TransformerModule(streams, targets, self.options)


class TransformerModule(nn.Module):
    """Token m = h_m + e_m, with a learnt e_m for each stream; the summary token answers after some layers.

    Absent streams are not attended to. In training each present stream's own prediction from h_m is a head, whose
    loss counts ``unimodal`` times.
    """

    def __init__(self, streams: Mapping[str, StreamInfo], targets: TargetSpec, options: TransformerOptions) -> None:
        super().__init__()
        hidden, self.unimodal = options.hidden, options.unimodal
        self.absent: Absent = options.absent
        self.names = tuple(streams)
        self.streams = StreamEncoders(streams, hidden, options.dropout, options.absent)
        self.kinds = nn.Parameter(0.02 * torch.randn(len(streams), hidden))
        self.summary = nn.Parameter(0.02 * torch.randn(1, hidden))
        self.layers = nn.ModuleList(
            TransformerLayer(hidden, options.heads, options.feedforward, 0.1, norm_first=True)
            for _ in range(options.layers)
        )
        self.norm = nn.LayerNorm(hidden)
        self.alone = nn.ModuleList(Answer(hidden, targets) for _ in streams)
        self.fc_out = Answer(hidden, targets)

    def forward(self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> FusionOutput:
        """Dicts of [B, D] and bool [B] -> logits [B, C]."""
        hidden, present = self.streams(x, mask)
        seen = present if self.absent == "mask" else torch.ones_like(present)
        logits, values = self.fc_out.split(self.summarise(hidden, seen))
        if not self.training:
            return FusionOutput(logits, values, {})
        return FusionOutput(logits, values, {}, self.heads(hidden, self.unimodal * seen.to(logits.dtype)))

    def heads(self, hidden: Tensor, weights: Tensor) -> dict[str, Head]:
        """What each stream says alone: hidden states [B, M, H], ``weights`` [B, M] of the losses."""
        pairs = zip(self.alone, hidden.unbind(1), strict=True)
        said = [answer.split(own) for answer, own in pairs if isinstance(answer, Answer)]
        parts = zip(self.names, said, weights.unbind(1), strict=True)
        return {name: Head(logits, values, weight) for name, (logits, values), weight in parts}

    def summarise(self, hidden: Tensor, seen: Tensor) -> Tensor:
        """Hidden states [B, M, H] and who is attended to, bool [B, M] -> the summary token [B, H]."""
        tokens = clear_hidden(hidden + self.kinds, seen, "mask")
        tokens = torch.cat([self.summary.expand(len(hidden), 1, -1), tokens], 1)
        seen = torch.cat([torch.ones_like(seen[:, :1]), seen], 1)
        for layer in self.layers:
            tokens = layer(tokens, seen)
        found: Tensor = self.norm(tokens[:, 0])
        return found
