"""EF-LSTM, early fusion: all streams side by side in every time step, read by an LSTM.

Source: the baseline of CMU-MOSEI and MMSA, in the form of the MER2024 baseline (ef_lstm). There the streams are aligned
beforehand; here a clip's frames are averaged into a fixed number of steps.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mer_core.plugin import FusionOutput, StreamInfo, TargetSpec, clear_input
from mer_plugins.fusion.encoders import Answer, check_streams, who_is_present
from mer_plugins.fusion.options import EfLstmOptions

__all__ = ["EfLstm", "EfLstmModule", "EfLstmOptions", "binned"]


class EfLstm:
    """Fusion plugin ``ef-lstm``."""

    def __init__(self, options: EfLstmOptions) -> None:
        self.options = options

    def build(self, streams: Mapping[str, StreamInfo], targets: TargetSpec) -> EfLstmModule:
        """A fresh module over ``streams``, in their order.

        Raises:
            PluginError: a stream has no frames.
        """
        return EfLstmModule(streams, targets, self.options)


class EfLstmModule(nn.Module):
    """Steps of all streams side by side [B, S, D_1 + ... + D_M]: LSTM, its last state, a linear layer with ReLU.

    An absent stream is zeros. Under ``absent="mask"`` each step also has M columns that say who is present.
    """

    def __init__(self, streams: Mapping[str, StreamInfo], targets: TargetSpec, options: EfLstmOptions) -> None:
        super().__init__()
        check_streams(streams, "ef-lstm")
        hidden, self.steps, self.told = options.hidden, options.steps, options.absent == "mask"
        self.names = tuple(streams)
        size = sum(info.dim for info in streams.values()) + self.told * len(streams)
        sizes = [size] + [hidden] * (options.layers - 1)
        self.rnn = nn.ModuleList(nn.LSTM(size, hidden, batch_first=True) for size in sizes)
        self.between = nn.Dropout(options.dropout)
        self.drop_1, self.drop_2 = nn.Dropout(options.dropout), nn.Dropout(options.dropout)
        self.linear = nn.Linear(hidden, hidden)
        self.fc_out = Answer(hidden, targets)

    def forward(self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> FusionOutput:
        """Dicts of [B, T, D] and bool [B, T] -> logits [B, C]."""
        state = self.side_by_side(x, mask)
        for number, layer in enumerate(self.rnn):
            state = layer(self.between(state) if number else state)[0]
        fused = torch.relu(self.linear(self.drop_1(state[:, -1])))
        return self.fc_out.output(self.drop_2(fused))

    def side_by_side(self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> Tensor:
        """What the LSTM reads, [B, S, columns]."""
        parts = [binned(x[name], mask[name], self.steps) for name in self.names]
        if self.told:
            present = who_is_present([mask[name] for name in self.names])
            parts.append(present.to(parts[0]).unsqueeze(1).expand(-1, self.steps, -1))
        return torch.cat(parts, -1)


def binned(x: Tensor, present: Tensor, steps: int) -> Tensor:
    """The present frames of each clip, averaged over ``steps`` equal parts of it: [B, T, D] -> [B, S, D].

    Frame j of n covers the time from j / n to (j + 1) / n: one on a border counts in both parts by its share, and
    where frames are fewer than parts, each is repeated. Zeros where no frame is present.
    """
    count = present.sum(1).view(-1, 1, 1).to(x.dtype)
    frame = (present.cumsum(1) - 1).unsqueeze(1).to(x.dtype)
    width = count / steps
    start = torch.arange(steps, device=x.device, dtype=x.dtype).view(1, -1, 1) * width
    overlap = torch.minimum(start + width, frame + 1) - torch.maximum(start, frame)
    weights = clear_input((overlap / width.clamp(min=1 / steps)).clamp(min=0).transpose(1, 2), present)
    return weights.transpose(1, 2) @ clear_input(x, present)
