"""MISA: modality-invariant and modality-specific codes, which meet as the tokens of a transformer.

Source: Hazarika et al. 2020 (ACM MM), with the MER2024 baseline's encoders; any number of streams.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mer_core.plugin import Absent, FusionOutput, StreamInfo, TargetSpec, clear_hidden
from mer_plugins.fusion.encoders import Answer, StreamEncoders
from mer_plugins.fusion.layers import TransformerLayer
from mer_plugins.fusion.misa_losses import difference, reconstruction, similarity
from mer_plugins.fusion.options import MisaOptions

__all__ = ["Misa", "MisaModule", "MisaOptions"]


class Misa:
    """Fusion plugin ``misa``."""

    def __init__(self, options: MisaOptions) -> None:
        self.options = options

    def build(self, streams: Mapping[str, StreamInfo], targets: TargetSpec) -> MisaModule:
        """A fresh module over ``streams``, in their order."""
        return MisaModule(streams, targets, self.options)


class MisaModule(nn.Module):
    """M private and M shared codes, one transformer layer over the 2 M tokens, two linear layers.

    Auxiliary losses: ``similarity`` of shared codes and ``difference`` of shared and private ones compare the
    clips of a batch (they are smaller in small batches, zero for one clip where they must be), and
    ``reconstruction``. Only clips that have a stream take part in its losses.
    """

    coupled = ("similarity", "difference")
    """Losses that depend on which clips are together in a batch."""

    def __init__(self, streams: Mapping[str, StreamInfo], targets: TargetSpec, options: MisaOptions) -> None:
        super().__init__()
        hidden, tokens = options.hidden, 2 * len(streams)
        self.absent: Absent = options.absent
        names = ("similarity", "difference", "reconstruction")
        self.shares: dict[str, float] = {name: getattr(options, name) for name in names}
        self.streams = StreamEncoders(streams, hidden, options.dropout, options.absent)
        self.project = nn.ModuleList(_projection(hidden) for _ in streams)
        self.private = nn.ModuleList(_sigmoid(hidden) for _ in streams)
        self.shared = _sigmoid(hidden)
        self.rebuild = nn.ModuleList(nn.Linear(hidden, hidden) for _ in streams)
        self.transformer = TransformerLayer(hidden, 2, options.feedforward, 0.1)
        self.fusion_1 = nn.Linear(tokens * hidden, tokens * hidden // 2)
        self.fusion_2 = nn.Linear(tokens * hidden // 2, hidden // 2)
        self.drop = nn.Dropout(options.dropout)
        self.fc_out = Answer(hidden // 2, targets)

    def forward(self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> FusionOutput:
        """Dicts of [B, D] and bool [B] -> logits [B, C]."""
        hidden, present = self.streams(x, mask)
        whole = _each(self.project, hidden)
        private, shared = _each(self.private, whole), self.shared(whole)
        fused = self._fused(torch.cat([private, shared], 1), torch.cat([present, present], 1))
        rebuilt = _each(self.rebuild, private + shared)
        return self.fc_out.output(fused, self._losses(whole, rebuilt, private, shared, present))

    def _fused(self, tokens: Tensor, present: Tensor) -> Tensor:
        """Tokens [B, 2 M, H] and presence [B, 2 M] -> [B, H / 2]."""
        seen = present if self.absent == "mask" else torch.ones_like(present)
        told = self.transformer(clear_hidden(tokens, present, self.absent), seen)
        told = clear_hidden(told, present, self.absent)
        fused: Tensor = self.fusion_2(torch.relu(self.drop(self.fusion_1(told.flatten(1)))))
        return fused

    def _losses(
        self, whole: Tensor, rebuilt: Tensor, private: Tensor, shared: Tensor, present: Tensor
    ) -> dict[str, Tensor]:
        return {
            "similarity": self.shares["similarity"] * similarity(shared, present),
            "difference": self.shares["difference"] * difference(private, shared, present),
            "reconstruction": self.shares["reconstruction"] * reconstruction(rebuilt, whole, present),
        }


def _each(layers: nn.ModuleList, hidden: Tensor) -> Tensor:
    """Layer m on hidden state m of [B, M, H]."""
    return torch.stack([layer(part) for layer, part in zip(layers, hidden.unbind(1), strict=True)], 1)


def _projection(hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.LayerNorm(hidden))


def _sigmoid(hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(hidden, hidden), nn.Sigmoid())
