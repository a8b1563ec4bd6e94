"""The network of emotion2vec (Ma et al. 2023, arXiv 2312.15185), with the names of the published weights.

A data2vec 2.0 encoder without its decoder: convolutions over the waveform, convolutional positions added to their
projection, ten tokens in front, then blocks of attention with ALiBi biases in both directions and layer norm behind
each half. Masks keep padding out of every part, so that a clip comes out alone as in a batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KERNELS = (10, 3, 3, 3, 3, 2, 2)
STRIDES = (5, 2, 2, 2, 2, 2, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Sizes of the network; the defaults are those of the base models.

    Args:
        scales: rows of learned ALiBi scales: 1, or one for each block (``prenet`` + ``depth``).
        scaled_heads: columns of them: ``heads``, or 1.
        classes: rows of the classifier, 0 where there is none.
    """

    channels: int = 512
    width: int = 768
    heads: int = 12
    hidden: int = 3072
    prenet: int = 4
    depth: int = 8
    extra: int = 10
    positions: int = 5
    position_kernel: int = 19
    position_groups: int = 16
    scales: int = 1
    scaled_heads: int = 12
    classes: int = 0
    conv_kernel: tuple[int, ...] = KERNELS
    conv_stride: tuple[int, ...] = STRIDES


def slopes(heads: int) -> list[float]:
    """ALiBi's slope for each head: 2^(-8/n), 2^(-16/n) ..., for ``heads`` = n a power of two.

    Of other numbers, those of the power below come first, then every other one of the power above.
    """
    power = 2 ** math.floor(math.log2(heads))
    found = [2 ** (-8 * (k + 1) / power) for k in range(power)]
    return found if power == heads else found + slopes(2 * power)[0::2][: heads - power]


class Swap(nn.Module):
    """[B, C, T] to [B, T, C] and back."""

    def forward(self, x: Tensor) -> Tensor:
        """The last two axes swapped."""
        return x.transpose(-2, -1)


class Attention(nn.Module):
    """Attention of every token to every token."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """[B, N, D] from ``x`` of that shape and ``bias`` [1 or B, H, N, N], -inf where not to look."""
        batch, tokens, width = x.shape
        queries, keys, values = self.qkv(x).view(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        found = F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias.to(queries.dtype))
        seen: Tensor = self.proj(found.transpose(1, 2).reshape(batch, tokens, width))
        return seen


class Block(nn.Module):
    """Attention, then two linear layers, each added to what goes in, with a layer norm behind."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(shape.width)
        self.attn = Attention(shape.width, shape.heads)
        self.norm2 = nn.LayerNorm(shape.width)
        layers = {"fc1": nn.Linear(shape.width, shape.hidden), "fc2": nn.Linear(shape.hidden, shape.width)}
        self.mlp = nn.ModuleDict(layers)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """[B, N, D] to [B, N, D]."""
        seen = self.norm1(x + self.attn(x, bias))
        found: Tensor = self.norm2(seen + self.mlp["fc2"](F.gelu(self.mlp["fc1"](seen))))
        return found


class Context(nn.Module):
    """The first blocks, with a layer norm before them."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.prenet))
        self.norm = nn.LayerNorm(shape.width)


class Front(nn.Module):
    """From waveforms to what goes into the blocks."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.local_encoder = nn.ModuleDict({"conv_layers": nn.Sequential(*_convolutions(shape))})
        norm, linear = nn.LayerNorm(shape.channels), nn.Linear(shape.channels, shape.width)
        self.project_features = nn.Sequential(Swap(), norm, linear)
        self.relative_positional_encoder = nn.Sequential(nn.Identity(), *_positions(shape))
        self.extra_tokens = nn.Parameter(torch.zeros(1, shape.extra, shape.width))
        self.alibi_scale = nn.Parameter(torch.ones(shape.scales, 1, shape.scaled_heads, 1, 1))
        self.context_encoder = Context(shape)

    def forward(self, waves: Tensor, mask: Tensor) -> Tensor:
        """Frames [B, T, D] of ``waves`` [B, N], zeros where ``mask`` [B, T] is False."""
        inside = mask[..., None]
        x: Tensor = self.project_features(self.local_encoder["conv_layers"](waves[:, None])) * inside
        place = x
        for number, layer in enumerate(self.relative_positional_encoder):
            if number:
                place = layer(place.mT)[:, :, : x.shape[1]].mT
                place = F.gelu(F.layer_norm(place, place.shape[-1:])) * inside
        return x + place


class Emotion2vec(nn.Module):
    """emotion2vec without what only its training needed; ``proj`` where it was fine-tuned on classes."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.modality_encoders = nn.ModuleDict({"AUDIO": Front(shape)})
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.depth))
        self.proj = nn.Linear(shape.width, shape.classes) if shape.classes else None

    @property
    def front(self) -> Front:
        """What is before the blocks."""
        found: Front = self.modality_encoders["AUDIO"]  # type: ignore[assignment]
        return found

    def forward(self, waves: Tensor, mask: Tensor) -> Tensor:
        """Hidden states [B, T, D] of ``waves`` [B, N]; ``mask`` bool [B, T], False for padding.

        What a row has behind its own frames means nothing.
        """
        extra, context = self.shape.extra, self.front.context_encoder
        frames = self.front(waves, mask)
        tokens = self.front.extra_tokens.expand(len(frames), -1, -1)
        x: Tensor = context.norm(torch.cat([tokens.to(frames.dtype), frames], dim=1))
        biases = self._biases(F.pad(mask, (extra, 0), value=True))
        for block, bias in zip([*context.blocks, *self.blocks], biases, strict=True):
            x = block(x, bias)
        return x[:, extra:]

    def scores(self, mean: Tensor) -> Tensor:
        """Logits [C] of the mean [D] over a clip's frames."""
        assert self.proj is not None
        found: Tensor = self.proj(mean)
        return found

    def _biases(self, seen: Tensor) -> Iterator[Tensor]:
        """For each block, [1 or B, H, N, N]: ALiBi between frames, 0 for the tokens in front, -inf for padding.

        Args:
            seen: bool [B, N], False for padding.
        """
        shape, frames = self.shape, seen.shape[1] - self.shape.extra
        place = torch.arange(frames, device=seen.device)
        slope = torch.tensor(slopes(shape.heads), device=seen.device)
        plain = -(place[:, None] - place).abs() * slope[:, None, None]
        hidden = None if bool(seen.all()) else ~seen[:, None, None, :]
        bias = plain[None]
        for number in range(shape.prenet + shape.depth):
            if number < shape.scales:
                scaled = plain * self.front.alibi_scale[number].clamp(min=0)
                bias = F.pad(scaled, (shape.extra, 0, shape.extra, 0))
                bias = bias if hidden is None else bias.masked_fill(hidden, -torch.inf)
            yield bias


def _convolutions(shape: Shape) -> Iterator[nn.Module]:
    before = 1
    for kernel, stride in zip(shape.conv_kernel, shape.conv_stride, strict=True):
        convolution = nn.Conv1d(before, shape.channels, kernel, stride, bias=False)
        norm = nn.Sequential(Swap(), nn.LayerNorm(shape.channels), Swap())
        yield nn.Sequential(convolution, nn.Identity(), norm, nn.GELU())
        before = shape.channels


def _positions(shape: Shape) -> Iterator[nn.Module]:
    width, kernel = shape.width, shape.position_kernel
    for _ in range(shape.positions):
        yield nn.Sequential(nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=shape.position_groups))
