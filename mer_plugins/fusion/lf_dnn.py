"""LF-DNN, late fusion by a deep network, as the MER2024 baseline and MMSA have it; any number of streams.

Source: LF-DNN of Yu et al. 2020 (CH-SIMS, ACL), in the form of the MER2024 baseline (lf_dnn).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mer_core.plugin import FusionOutput, StreamInfo, TargetSpec
from mer_plugins.fusion.encoders import Answer, StreamEncoders
from mer_plugins.fusion.options import LfDnnOptions

__all__ = ["LfDnn", "LfDnnModule", "LfDnnOptions"]


class LfDnn:
    """Fusion plugin ``lf-dnn``."""

    def __init__(self, options: LfDnnOptions) -> None:
        self.options = options

    def build(self, streams: Mapping[str, StreamInfo], targets: TargetSpec) -> LfDnnModule:
        """A fresh module over ``streams``, in their order."""
        return LfDnnModule(streams, targets, self.options)


class LfDnnModule(nn.Module):
    """Encoded streams side by side [B, M H]: dropout, two linear layers with ReLU, one that answers."""

    def __init__(self, streams: Mapping[str, StreamInfo], targets: TargetSpec, options: LfDnnOptions) -> None:
        super().__init__()
        hidden = options.hidden
        self.streams = StreamEncoders(streams, hidden, options.dropout, options.absent)
        self.drop = nn.Dropout(options.dropout)
        self.post_fusion_layer_1 = nn.Linear(len(streams) * hidden, hidden)
        self.post_fusion_layer_2 = nn.Linear(hidden, hidden)
        self.fc_out = Answer(hidden, targets)

    def forward(self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> FusionOutput:
        """Dicts of [B, D] and bool [B] -> logits [B, C]."""
        hidden, _ = self.streams(x, mask)
        fused = torch.relu(self.post_fusion_layer_1(self.drop(hidden.flatten(1))))
        return self.fc_out.output(torch.relu(self.post_fusion_layer_2(fused)))
