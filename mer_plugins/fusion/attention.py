"""The attention fusion of MER2024 (arXiv 2409.07078), any number of streams; layers as in its baseline, MERTools."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mer_core.plugin import Absent, FusionOutput, StreamInfo, TargetSpec, clear_weights
from mer_plugins.fusion.encoders import Answer, MLPEncoder, StreamEncoders
from mer_plugins.fusion.options import AttentionOptions

__all__ = ["Attention", "AttentionModule", "AttentionOptions"]


class Attention:
    """Fusion plugin ``attention``."""

    def __init__(self, options: AttentionOptions) -> None:
        self.options = options

    def build(self, streams: Mapping[str, StreamInfo], targets: TargetSpec) -> AttentionModule:
        """A fresh module over ``streams``, in their order."""
        return AttentionModule(streams, targets, self.options)


class AttentionModule(nn.Module):
    """Streams are encoded to h_m; an MLP over all of them weighs each: z = sum s_m h_m, logits = W z + b.

    The weights are unbounded, may be negative and do not sum to 1, unless ``softmax`` is set.
    """

    def __init__(self, streams: Mapping[str, StreamInfo], targets: TargetSpec, options: AttentionOptions) -> None:
        super().__init__()
        hidden, dropout = options.hidden, options.dropout
        self.absent: Absent = options.absent
        self.softmax = options.softmax
        self.streams = StreamEncoders(streams, hidden, dropout, options.absent)
        self.attention_mlp = MLPEncoder(len(streams) * hidden, hidden, dropout)
        self.fc_att = nn.Linear(hidden, len(streams))
        self.fc_out = Answer(hidden, targets)

    def forward(self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> FusionOutput:
        """Dicts of [B, D] and bool [B] -> logits [B, C]."""
        hidden, present = self.streams(x, mask)
        weights = self.weigh(hidden, present)
        return self.fc_out.output((weights.unsqueeze(-1) * hidden).sum(dim=1))

    def weigh(self, hidden: Tensor, present: Tensor) -> Tensor:
        """Attention weights [B, M] for hidden states [B, M, H] and presence bool [B, M]."""
        scores = self.fc_att(self.attention_mlp(hidden.flatten(1)))
        if self.softmax:
            scores = torch.softmax(self._without_absent(scores, present), dim=1)
        return clear_weights(scores, present, self.absent)

    def _without_absent(self, scores: Tensor, present: Tensor) -> Tensor:
        if self.absent == "zero":
            return scores
        return torch.where(present, scores, torch.full((), -1e4, dtype=scores.dtype, device=scores.device))
