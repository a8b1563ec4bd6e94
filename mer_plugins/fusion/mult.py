"""MulT: each stream attends to the frames of every other one, whatever their frame rates.

Source: Tsai et al. 2019 (ACL), with the MER2024 baseline's last layers; any number of streams.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mer_core.plugin import Absent, FusionOutput, StreamInfo, TargetSpec, clear_hidden
from mer_plugins.fusion.encoders import Answer, at_last, check_streams, who_is_present
from mer_plugins.fusion.mult_layers import Encoder, Projection
from mer_plugins.fusion.options import MultOptions

__all__ = ["Mult", "MultModule", "MultOptions"]


class Mult:
    """Fusion plugin ``mult``."""

    def __init__(self, options: MultOptions) -> None:
        self.options = options

    def build(self, streams: Mapping[str, StreamInfo], targets: TargetSpec) -> MultModule:
        """A fresh module over ``streams``, in their order.

        Raises:
            PluginError: a stream has no frames.
        """
        return MultModule(streams, targets, self.options)


class Projections(nn.Module):
    """A projection for each stream: dicts of [B, T, D] and bool [B, T] -> a list of frames and presence.

    Under ``absent="zero"`` a stream that is absent is one frame of zeros.
    """

    def __init__(self, streams: Mapping[str, StreamInfo], options: MultOptions) -> None:
        super().__init__()
        self.names, self.absent = tuple(streams), options.absent
        self.encoders = nn.ModuleList(
            Projection(info.dim, options.hidden, options.kernel, options.dropout) for info in streams.values()
        )

    def forward(self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Frames [B, T', H] and bool [B, T'] of each stream, present ones first."""
        pairs = zip(self.names, self.encoders, strict=True)
        found = [encoder(x[name], mask[name]) for name, encoder in pairs]
        if self.absent == "mask":
            return found
        return [(frames, torch.cat([torch.ones_like(there[:, :1]), there[:, 1:]], 1)) for frames, there in found]


class MultModule(nn.Module):
    """Per stream: one crossmodal encoder for every other stream, side by side, an encoder over these, its last frame.

    The last frames of all streams side by side, [B, M (M - 1) H], go through a residual block and two linear layers.
    A stream that is absent is not attended to, and its own last frame is zero. A single stream has no crossmodal
    encoders, only the one over its own frames.
    """

    def __init__(self, streams: Mapping[str, StreamInfo], targets: TargetSpec, options: MultOptions) -> None:
        super().__init__()
        check_streams(streams, "mult")
        self.absent: Absent = options.absent
        self.names, others = tuple(streams), len(streams) - 1
        width = max(1, others) * options.hidden
        self.streams = Projections(streams, options)
        self.cross = nn.ModuleList(
            nn.ModuleList(_encoder(options.hidden, options.layers, options) for _ in range(others)) for _ in streams
        )
        self.memory = nn.ModuleList(_encoder(width, max(options.layers, 3), options) for _ in streams)
        self.proj1 = nn.Linear(len(streams) * width, len(streams) * width)
        self.proj2 = nn.Linear(len(streams) * width, len(streams) * width)
        self.drop = nn.Dropout(options.out_dropout)
        self.out_layer = nn.Linear(len(streams) * width, max(1, options.hidden // 2))
        self.fc_out = Answer(max(1, options.hidden // 2), targets)

    def forward(self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> FusionOutput:
        """Dicts of [B, T, D] and bool [B, T] -> logits [B, C]."""
        return self.fc_out.output(self.fused(x, mask))

    def fused(self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> Tensor:
        """Dicts of [B, T, D] and bool [B, T] -> [B, H / 2], all that the answer stands on."""
        framed = self.streams(x, mask)
        last = torch.stack([self._last(number, framed) for number in range(len(framed))], 1)
        last = clear_hidden(last, who_is_present([mask[name] for name in self.names]), self.absent).flatten(1)
        fused: Tensor = self.out_layer(last + self.proj2(self.drop(torch.relu(self.proj1(last)))))
        return fused

    def _last(self, number: int, framed: list[tuple[Tensor, Tensor]]) -> Tensor:
        """What stream ``number`` has to say at its last frame, [B, W]."""
        frames, there = framed[number]
        sources = [*framed[:number], *framed[number + 1 :]]
        encoders: nn.Module = self.cross[number]
        assert isinstance(encoders, nn.ModuleList)
        heard = [encoder(frames, there, *source) for encoder, source in zip(encoders, sources, strict=True)]
        told = self.memory[number](torch.cat(heard, -1) if heard else frames, there)
        return at_last(told, there)


def _encoder(width: int, layers: int, options: MultOptions) -> Encoder:
    return Encoder(
        width,
        options.heads,
        layers,
        embed=options.dropout,
        attention=options.attention_dropout,
        relu=options.relu_dropout,
        residual=options.residual_dropout,
        causal=options.causal,
        positions=options.positions == "sinusoidal",
    )
