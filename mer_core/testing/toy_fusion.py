"""A small fusion for looking at trainers: quick to learn, keeps the contract, works under vmap."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mer_core.feature_set import FusionOutput, StreamInfo, TargetSpec
from mer_core.presence import clear_hidden, clear_input

HIDDEN = 32


class ToyFusion:
    """Fusion plugin without options: every stream votes, absent ones abstain."""

    def __init__(self, options: object = None) -> None:
        pass

    def build(self, streams: Mapping[str, StreamInfo], targets: TargetSpec) -> ToyModule:
        """A fresh module over ``streams``, in their order."""
        return ToyModule(streams, len(targets.classes), len(targets.values))


class ToyModule(nn.Module):
    """Per stream, one hidden layer and a vote; logits and values are the sums of the votes.

    Votes start at zero, so that even a trainer of few and small steps gets somewhere; hidden layers start at
    random, so that the seed matters.
    """

    def __init__(self, streams: Mapping[str, StreamInfo], classes: int, values: int = 0) -> None:
        super().__init__()
        self.classes = classes
        self.names = tuple(streams)
        self.encoders = nn.ModuleList(nn.Linear(info.dim, HIDDEN) for info in streams.values())
        self.votes = nn.ModuleList(nn.Linear(HIDDEN, classes + values) for _ in streams)
        self.drop = nn.ModuleList(nn.Dropout(0.1) for _ in streams)
        for vote in self.votes:
            nn.init.zeros_(vote.weight)  # type: ignore[arg-type]
            nn.init.zeros_(vote.bias)  # type: ignore[arg-type]

    def forward(self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> FusionOutput:
        """Dicts of [B, D] and bool [B] -> logits [B, C] and values [B, V]."""
        votes = [self._vote(number, x[name], mask[name]) for number, name in enumerate(self.names)]
        total = torch.stack(votes).sum(0)
        return FusionOutput(total[:, : self.classes], total[:, self.classes :], {})

    def _vote(self, number: int, x: Tensor, present: Tensor) -> Tensor:
        hidden = torch.relu(self.encoders[number](clear_input(x, present)))
        return clear_hidden(self.votes[number](self.drop[number](hidden)), present, "mask")
