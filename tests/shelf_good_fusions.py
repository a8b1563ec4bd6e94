"""Fusions that keep the contract in less usual ways, so that the checks ask for nothing more than it."""

from __future__ import annotations

import torch
from shelf_fusions import HIDDEN, Good, Module
from torch import Tensor, nn

from mer_core.plugin import FusionOutput


class LearnsTokens(Good):
    """A transformer over streams, with learnt tokens for absent ones that start at zero."""

    class module(Module):
        def prepare(self) -> None:
            self.missing = nn.Parameter(torch.zeros(len(self.names), HIDDEN))
            layer = nn.TransformerEncoderLayer(HIDDEN, 2, 16, batch_first=True)
            self.layers = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)

        def mix(self, hidden: Tensor, present: Tensor) -> Tensor:
            return self.layers(torch.where(present.unsqueeze(-1), hidden, self.missing)).mean(1)


class Summarises(Good):
    """A summary token attends to present streams and to itself; its gate starts at zero."""

    class module(Module):
        def prepare(self) -> None:
            self.token = nn.Parameter(torch.zeros(1, 1, HIDDEN))
            self.gate = nn.Parameter(torch.zeros(()))
            self.attention = nn.MultiheadAttention(HIDDEN, 2, dropout=0.1, batch_first=True)

        def mix(self, hidden: Tensor, present: Tensor) -> Tensor:
            tokens = torch.cat([self.token.expand(len(hidden), -1, -1), hidden], 1)
            absent = torch.cat([torch.zeros_like(present[:, :1]), ~present], 1)
            seen, _ = self.attention(tokens[:, :1], tokens, tokens, key_padding_mask=absent)
            return torch.tanh(self.gate) * seen[:, 0]


class GoesThroughStreams(Good):
    """A recurrent layer, which cannot be stacked and does not say so."""

    class module(Module):
        def prepare(self) -> None:
            self.recurrent = nn.GRU(HIDDEN, HIDDEN, batch_first=True)

        def mix(self, hidden: Tensor, present: Tensor) -> Tensor:
            return self.recurrent(hidden)[0][:, -1]


class AddsLoss(Good):
    """An auxiliary loss, and a head for continuous values of which there are none."""

    class module(Module):
        def prepare(self) -> None:
            self.values = nn.Linear(HIDDEN, 0)

        def answer(self, logits: Tensor) -> FusionOutput:
            return FusionOutput(logits, logits[:, :0], {"size": 0.001 * logits.square().mean()})
