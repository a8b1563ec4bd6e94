"""Building blocks of the fusions, as in the MER2024 baseline (facts: METHODS section 3)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mer_core.plugin import Absent, FusionOutput, PluginError, StreamInfo, TargetSpec, clear_hidden, clear_input


class MLPEncoder(nn.Module):
    """Dropout on the input, then three linear layers with ReLU: [B, size] -> [B, hidden]."""

    def __init__(self, size: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.drop = nn.Dropout(dropout)
        self.linear_1 = nn.Linear(size, hidden)
        self.linear_2 = nn.Linear(hidden, hidden)
        self.linear_3 = nn.Linear(hidden, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """[B, size] -> [B, hidden], not negative."""
        x = torch.relu(self.linear_1(self.drop(x)))
        x = torch.relu(self.linear_2(x))
        return torch.relu(self.linear_3(x))


class StreamEncoders(nn.Module):
    """One encoder per stream, in the order given: dicts of [B, D] and bool [B] -> [B, M, H], bool [B, M].

    Raises:
        PluginError: if a stream is frame level.
    """

    def __init__(self, streams: Mapping[str, StreamInfo], hidden: int, dropout: float, absent: Absent) -> None:
        super().__init__()
        _check_clip_level(streams)
        self.names, self.absent = tuple(streams), absent
        self.encoders = nn.ModuleList(MLPEncoder(info.dim, hidden, dropout) for info in streams.values())

    def forward(self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Hidden states of all streams (those of absent ones as ``absent`` says) and who is present."""
        pairs = zip(self.names, self.encoders, strict=True)
        hidden = torch.stack([encoder(clear_input(x[name], mask[name])) for name, encoder in pairs], dim=1)
        present = torch.stack([mask[name] for name in self.names], dim=1)
        return clear_hidden(hidden, present, self.absent), present


class Answer(nn.Linear):
    """The last layer of a fusion: one linear layer to the logits of all classes, then to all continuous values."""

    def __init__(self, size: int, targets: TargetSpec) -> None:
        super().__init__(size, len(targets.classes) + len(targets.values))
        self.classes = len(targets.classes)

    def split(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """[..., size] -> logits [..., C] and values [..., V]."""
        found = self(hidden)
        return found[..., : self.classes], found[..., self.classes :]

    def output(self, hidden: Tensor, losses: Mapping[str, Tensor] | None = None) -> FusionOutput:
        """[B, size] -> the fusion's output, with its auxiliary losses."""
        logits, values = self.split(hidden)
        return FusionOutput(logits, values, dict(losses or {}))


def mean_over(values: Tensor, rows: Tensor) -> Tensor:
    """The mean of ``values`` [B, ...] over dimension 0 where ``rows`` bool [B]; zero where there are none."""
    kept = torch.where(rows.view(-1, *[1] * (values.dim() - 1)), values, torch.zeros_like(values))
    return kept.sum(0) / rows.sum().clamp(min=1).to(values.dtype)


def _check_clip_level(streams: Mapping[str, StreamInfo]) -> None:
    if not streams:
        raise PluginError("a fusion needs at least one stream.", "Name an extractor or a modality.")
    framed = [name for name, info in streams.items() if info.level != "clip"]
    if framed:
        raise PluginError(
            f"{', '.join(framed)}: this fusion reads one vector per clip, not frames.",
            "Pool the stream (pooling=mean_std), or choose a frame-level fusion.",
        )
