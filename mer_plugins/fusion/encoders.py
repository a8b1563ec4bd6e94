"""Building blocks of the fusions, as in the MER2024 baseline (MERTools)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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


class LSTMEncoder(nn.Module):
    """One LSTM layer over the present frames, its state after the last of them, dropout, one linear layer.

    Absent frames are skipped wherever they are. A clip without any counts as one frame of zeros.
    """

    def __init__(self, size: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.rnn = nn.LSTM(size, hidden, batch_first=True)
        self.drop = nn.Dropout(dropout)
        self.linear_1 = nn.Linear(hidden, hidden)

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """[B, T, size] and bool [B, T] -> [B, hidden]."""
        x, present = packed(x, present)
        return self.linear_1(self.drop(at_last(self.rnn(x)[0], present)))  # type: ignore[no-any-return]


class StreamEncoders(nn.Module):
    """One encoder per stream, in the order given: dicts of [B, D] and bool [B] -> [B, M, H], bool [B, M].

    A stream of frames ([B, T, D] and bool [B, T]) has an :class:`LSTMEncoder`, a vector per clip an
    :class:`MLPEncoder`; both may be there together.
    """

    def __init__(self, streams: Mapping[str, StreamInfo], hidden: int, dropout: float, absent: Absent) -> None:
        super().__init__()
        check_streams(streams)
        self.names, self.absent = tuple(streams), absent
        kinds = {"clip": MLPEncoder, "frame": LSTMEncoder}
        self.encoders = nn.ModuleList(kinds[info.level](info.dim, hidden, dropout) for info in streams.values())

    def forward(self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Hidden states of all streams (those of absent ones as ``absent`` says) and who is present."""
        pairs = zip(self.names, self.encoders, strict=True)
        hidden = torch.stack([_encoded(encoder, x[name], mask[name]) for name, encoder in pairs], dim=1)
        present = who_is_present([mask[name] for name in self.names])
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


def packed(x: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """Frames [B, T, D], bool [B, T] -> the present ones first, in their order, and zeros behind them; who is there."""
    order = torch.argsort(~present, dim=1, stable=True)
    present = torch.gather(present, 1, order)
    found = torch.gather(x, 1, order.unsqueeze(-1).expand(x.shape))
    return clear_input(found, present), present


def at_last(x: Tensor, present: Tensor) -> Tensor:
    """Of frames [B, T, H] that are packed, the last present one [B, H]; the first where none is."""
    last = (present.sum(1) - 1).clamp(min=0)
    return torch.gather(x, 1, last.view(-1, 1, 1).expand(-1, 1, x.shape[-1])).squeeze(1)


def who_is_present(masks: Sequence[Tensor]) -> Tensor:
    """Bool [B] or [B, T] of M streams -> bool [B, M]: a clip has a stream if it has any frame of it."""
    return torch.stack([mask if mask.dim() == 1 else mask.any(1) for mask in masks], dim=1)


def check_streams(streams: Mapping[str, StreamInfo], framed: str = "") -> None:
    """See that there is a stream, and that all are of frames, where ``framed`` names a fusion that needs that.

    Raises:
        PluginError: otherwise.
    """
    if not streams:
        raise PluginError("a fusion needs at least one stream.", "Name an extractor or a modality.")
    vectors = [name for name, info in streams.items() if info.level == "clip"]
    if framed and vectors:
        raise PluginError(
            f"{framed}: {', '.join(vectors)} has one vector per clip, and this fusion reads frames.",
            "Keep the frames of every stream (--pooling frames:64), or choose a fusion of vectors, such as attention.",
        )


def _encoded(encoder: nn.Module, x: Tensor, present: Tensor) -> Tensor:
    found: Tensor = encoder(x, present) if isinstance(encoder, LSTMEncoder) else encoder(clear_input(x, present))
    return found
