"""MMIM: the fusion keeps mutual information between streams, and between the fused vector and each stream.

Source: Han et al. 2021 (EMNLP), with the MER2024 baseline's encoders; any number of streams. The entropy of the
stream that is explained, which needs a memory of past batches, is left out here as it is in the baseline.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mer_core.plugin import FusionOutput, StreamInfo, TargetSpec
from mer_plugins.fusion.encoders import Answer, StreamEncoders
from mer_plugins.fusion.mmim_losses import Likelihood, Predictor
from mer_plugins.fusion.options import MmimOptions

__all__ = ["Mmim", "MmimModule", "MmimOptions"]


class Mmim:
    """Fusion plugin ``mmim``."""

    def __init__(self, options: MmimOptions) -> None:
        self.options = options

    def build(self, streams: Mapping[str, StreamInfo], targets: TargetSpec) -> MmimModule:
        """A fresh module over ``streams``, in their order."""
        return MmimModule(streams, targets, self.options)


class MmimModule(nn.Module):
    """Encoded streams side by side, two linear layers with tanh: the fused vector, and the layer that answers.

    Auxiliary losses: ``likelihood`` of every other stream given the anchor (the first text stream by name, else
    the first stream by name), and ``nce``, which finds a clip's stream among those of the batch. Only clips that
    have the streams take part, and none is found among clips that lack it; for a single clip ``nce`` is zero.
    """

    coupled = ("nce",)
    """Losses that depend on which clips are together in a batch."""

    def __init__(self, streams: Mapping[str, StreamInfo], targets: TargetSpec, options: MmimOptions) -> None:
        super().__init__()
        hidden, names = options.hidden, list(streams)
        self.shares = {"nce": options.nce, "likelihood": options.likelihood}
        self.anchor = names.index(min(names, key=lambda name: (streams[name].modality != "text", name)))
        self.others = [place for place in range(len(names)) if place != self.anchor]
        self.streams = StreamEncoders(streams, hidden, options.dropout, options.absent)
        self.likelihoods = nn.ModuleList(Likelihood(hidden, options.normaliser) for _ in self.others)
        self.drop = nn.Dropout(options.dropout)
        self.fusion_1, self.fusion_2 = nn.Linear(len(names) * hidden, hidden), nn.Linear(hidden, hidden)
        self.predictors = nn.ModuleList(Predictor(hidden, options.cpc_layers) for _ in names)
        self.fc_out = Answer(hidden, targets)

    def forward(self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> FusionOutput:
        """Dicts of [B, D] and bool [B] -> logits [B, C]."""
        hidden, present = self.streams(x, mask)
        fused = torch.tanh(self.fusion_2(torch.tanh(self.fusion_1(self.drop(hidden.flatten(1))))))
        losses = {
            "nce": self.shares["nce"] * self.nce(hidden, fused, present),
            "likelihood": -self.shares["likelihood"] * self.likelihood(hidden, present),
        }
        return self.fc_out.output(fused, losses)

    def nce(self, hidden: Tensor, fused: Tensor, present: Tensor) -> Tensor:
        """Contrastive loss, summed over streams: [B, M, H], [B, H], bool [B, M]."""
        pairs = enumerate(self.predictors)
        return torch.stack([predictor(hidden[:, m], fused, present[:, m]) for m, predictor in pairs]).sum()

    def likelihood(self, hidden: Tensor, present: Tensor) -> Tensor:
        """Log-likelihood of the other streams given the anchor, mean over clips, summed over streams."""
        total, anchor = hidden.new_zeros(()), self.anchor
        for place, model in zip(self.others, self.likelihoods, strict=True):
            total = total + model(hidden[:, anchor], hidden[:, place], present[:, anchor] & present[:, place])
        return total
