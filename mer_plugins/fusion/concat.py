"""Concatenation fusion: the control that every other fusion has to beat."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from mer_core.plugin import FusionOutput, StreamInfo, TargetSpec
from mer_plugins.fusion.encoders import Answer, MLPEncoder, StreamEncoders
from mer_plugins.fusion.options import ConcatOptions

__all__ = ["Concat", "ConcatModule", "ConcatOptions"]


class Concat:
    """Fusion plugin ``concat``."""

    def __init__(self, options: ConcatOptions) -> None:
        self.options = options

    def build(self, streams: Mapping[str, StreamInfo], targets: TargetSpec) -> ConcatModule:
        """A fresh module over ``streams``, in their order."""
        return ConcatModule(streams, targets, self.options)


class ConcatModule(nn.Module):
    """Encoded streams side by side, one more encoder, one linear layer."""

    def __init__(self, streams: Mapping[str, StreamInfo], targets: TargetSpec, options: ConcatOptions) -> None:
        super().__init__()
        self.streams = StreamEncoders(streams, options.hidden, options.dropout, options.absent)
        self.joint = MLPEncoder(len(streams) * options.hidden, options.hidden, options.dropout)
        self.fc_out = Answer(options.hidden, targets)

    def forward(self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> FusionOutput:
        """Dicts of [B, D] and bool [B] -> logits [B, C]."""
        hidden, _ = self.streams(x, mask)
        return self.fc_out.output(self.joint(hidden.flatten(1)))
