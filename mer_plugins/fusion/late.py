"""Late fusion: each modality predicts alone, and the predictions are averaged with weights.

Source: decision-level fusion in its usual form; the encoders are the MER2024 baseline's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mer_core.plugin import Absent, FusionOutput, Head, PluginError, StreamInfo, TargetSpec
from mer_plugins.fusion.encoders import Answer, StreamEncoders
from mer_plugins.fusion.layers import masked
from mer_plugins.fusion.options import LateOptions

__all__ = ["Late", "LateModule", "LateOptions"]


class Late:
    """Fusion plugin ``late``."""

    def __init__(self, options: LateOptions) -> None:
        self.options = options

    def build(self, streams: Mapping[str, StreamInfo], targets: TargetSpec) -> LateModule:
        """A fresh module over ``streams``, in their order.

        Raises:
            PluginError: weights are given for others than those who predict.
        """
        return LateModule(streams, targets, self.options)


class LateModule(nn.Module):
    """p = sum_g s_g p_g over G modalities, each p_g from that modality's streams alone; the logits are log p.

    Values are averaged with the same weights. In training every p_g is a head with a loss of its own, and the
    weights s (positive, summing to 1 over who is present) minimise that of p, without moving any p_g.
    """

    def __init__(self, streams: Mapping[str, StreamInfo], targets: TargetSpec, options: LateOptions) -> None:
        super().__init__()
        self.absent: Absent = options.absent
        names = [info.modality if options.by == "modality" else name for name, info in streams.items()]
        groups = list(dict.fromkeys(names))
        self.names = groups
        self.members = [[place for place, name in enumerate(names) if name == group] for group in groups]
        self.streams = StreamEncoders(streams, options.hidden, options.dropout, options.absent)
        self.answers = nn.ModuleList(Answer(len(own) * options.hidden, targets) for own in self.members)
        weights = _log_weights(groups, options)
        self.log_weights: Tensor
        if options.weights == "learned":
            self.log_weights = nn.Parameter(weights)
        else:
            self.register_buffer("log_weights", weights)

    def forward(self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> FusionOutput:
        """Dicts of [B, D] and bool [B] -> logits [B, C]."""
        hidden, bits = self.streams(x, mask)
        present = torch.stack([bits[:, own].any(1) for own in self.members], dim=1)
        shares = self.shares(present)
        logits, values = self.alone(hidden)
        if not self.training:
            return FusionOutput(mixture(logits, shares), average(values, shares), {})
        learning = (present if self.absent == "mask" else torch.ones_like(present)).to(logits.dtype)
        parts = zip(self.names, logits.unbind(1), values.unbind(1), learning.unbind(1), strict=True)
        heads = {name: Head(*part) for name, *part in parts}
        return FusionOutput(mixture(logits.detach(), shares), average(values.detach(), shares), {}, heads)

    def alone(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden states [B, M, H] -> each one's own logits [B, G, C] and values [B, G, V]."""
        pairs = zip(self.answers, self.members, strict=True)
        found = [answer.split(hidden[:, own].flatten(1)) for answer, own in pairs if isinstance(answer, Answer)]
        return torch.stack([logits for logits, _ in found], 1), torch.stack([values for _, values in found], 1)

    def shares(self, present: Tensor) -> Tensor:
        """Logarithms [B, G] of the weights of who is present, which sum to 1."""
        scores = self.log_weights.expand(present.shape)
        return torch.log_softmax(masked(scores, present) if self.absent == "mask" else scores, -1)


def mixture(logits: Tensor, shares: Tensor) -> Tensor:
    """The logarithm [B, C] of the weighted mean of predictions [B, G, C]; ``shares`` [B, G] are logarithms."""
    return torch.logsumexp(torch.log_softmax(logits, -1) + shares.unsqueeze(-1), 1)


def average(values: Tensor, shares: Tensor) -> Tensor:
    """The weighted mean [B, V] of values [B, G, V]; ``shares`` [B, G] are logarithms."""
    return (shares.exp().unsqueeze(-1) * values).sum(1)


def _log_weights(groups: list[str], options: LateOptions) -> Tensor:
    """[G], up to a constant; learned ones begin equal."""
    given = options.weights if isinstance(options.weights, dict) else dict.fromkeys(groups, 1.0)
    if set(given) != set(groups) or not any(given.values()):
        raise PluginError(
            f"late: weights are given for {', '.join(given) or 'nobody'}, and there are {', '.join(groups)}.",
            "Give each a weight, and at least one of them more than 0.",
        )
    return torch.tensor([math.log(max(given[group], 1e-8)) for group in groups])
