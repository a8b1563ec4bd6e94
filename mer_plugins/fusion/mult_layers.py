"""The transformer inside MulT, written with plain products: absent frames are never seen, and folds can stack.

Source: Tsai et al. 2019 (ACL), in the form of the authors' code (which took it from fairseq), of which these layers
keep the order of operations, the initial weights and the layout of the projections.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mer_core.plugin import clear_input
from mer_plugins.fusion.encoders import packed
from mer_plugins.fusion.layers import masked


class Projection(nn.Module):
    """A convolution over present frames, without bias and padding: [B, T, D] -> [B, T - kernel + 1, H].

    Absent frames are taken out first. A clip shorter than the kernel gives one frame, seen with zeros behind.
    """

    def __init__(self, size: int, hidden: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.kernel = kernel
        self.drop = nn.Dropout(dropout)
        self.linear = nn.Linear(size * kernel, hidden, bias=False)

    def forward(self, x: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Frames and bool [B, T] -> projected frames and who of them is present, [B, T']; T' is at least 1."""
        x, present = packed(x, present)
        missing = max(0, self.kernel - x.shape[1])
        x = nn.functional.pad(self.drop(x), (0, 0, 0, missing))
        found: Tensor = self.linear(x.unfold(1, self.kernel, 1).flatten(2))
        count = (present.sum(1, keepdim=True) - self.kernel + 1).clamp(min=1)
        there = torch.arange(found.shape[1], device=x.device) < torch.where(present[:, :1], count, 0)
        return clear_input(found, there), there


class Attention(nn.Module):
    """Scaled dot products of queries with keys, over those that may be seen; zero where nothing may be."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.width, self.heads = width, heads
        self.in_proj_weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(3 * width, width)))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = _linear(width, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, query: Tensor, source: Tensor, seen: Tensor) -> Tensor:
        """[B, Tq, W], [B, Tk, W] and bool [B, Tq, Tk] -> [B, Tq, W]."""
        asked, keys, values = self._project(query, 0), self._project(source, 1), self._project(source, 2)
        scores = (asked * asked.shape[-1] ** -0.5) @ keys.transpose(-1, -2)
        weights = torch.softmax(masked(scores, seen.unsqueeze(1)), -1)
        told: Tensor = self.out_proj((self.drop(weights) @ values).transpose(1, 2).flatten(2))
        return clear_input(told, seen.any(-1))

    def _project(self, x: Tensor, part: int) -> Tensor:
        """[B, T, W] -> [B, heads, T, W / heads]; queries, keys and values are parts 0, 1 and 2."""
        rows = slice(part * self.width, (part + 1) * self.width)
        found = nn.functional.linear(x, self.in_proj_weight[rows], self.in_proj_bias[rows])
        apart: Tensor = found.unflatten(-1, (self.heads, -1))
        return apart.transpose(1, 2)


class Layer(nn.Module):
    """Attention and two linear layers with ReLU, each normalised before and added to its input."""

    def __init__(self, width: int, heads: int, attention: float, relu: float, residual: float) -> None:
        super().__init__()
        self.attention = Attention(width, heads, attention)
        self.fc1, self.fc2 = _linear(width, 4 * width), _linear(4 * width, width)
        self.norm_0, self.norm_1 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.relu_drop = nn.Dropout(relu)
        self.drop_0, self.drop_1 = nn.Dropout(residual), nn.Dropout(residual)

    def forward(self, x: Tensor, source: Tensor | None, seen: Tensor) -> Tensor:
        """[B, Tq, W], the source [B, Tk, W] (x itself where None) and bool [B, Tq, Tk] -> [B, Tq, W]."""
        asking = self.norm_0(x)
        told = self.attention(asking, asking if source is None else self.norm_0(source), seen)
        x = x + self.drop_0(told)
        inner = self.relu_drop(torch.relu(self.fc1(self.norm_1(x))))
        return x + self.drop_1(self.fc2(inner))  # type: ignore[no-any-return]


class Encoder(nn.Module):
    """Layers between frames that ask and frames of a source, or of themselves.

    Under ``causal``, frame i sees the source's frames up to i + |n_q - n_k|, where n_q and n_k are how many frames
    either has in that clip.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        layers: int,
        *,
        embed: float,
        attention: float,
        relu: float,
        residual: float,
        causal: bool,
        positions: bool,
    ) -> None:
        super().__init__()
        self.causal, self.positions = causal, positions
        self.drop, self.source_drop = nn.Dropout(embed), nn.Dropout(embed)
        self.layers = nn.ModuleList(Layer(width, heads, attention, relu, residual) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, there: Tensor, source: Tensor | None = None, given: Tensor | None = None) -> Tensor:
        """[B, Tq, W], bool [B, Tq], [B, Tk, W] and bool [B, Tk], both packed -> [B, Tq, W]."""
        seen = self.seen(there, there if given is None else given)
        x = self.drop(self._embedded(x))
        told = None if source is None else self.source_drop(self._embedded(source))
        for layer in self.layers:
            x = layer(x, told, seen)
        found: Tensor = self.norm(x)
        return found

    def seen(self, there: Tensor, given: Tensor) -> Tensor:
        """Which frames of the source each frame sees, bool [B, Tq, Tk]."""
        seen = given.unsqueeze(1).expand(-1, there.shape[1], -1)
        if not self.causal:
            return seen
        reach = (there.sum(1) - given.sum(1)).abs().view(-1, 1, 1)
        frame, key = (torch.arange(bits.shape[1], device=bits.device) for bits in (there, given))
        return seen & (key <= frame.unsqueeze(1) + reach)

    def _embedded(self, x: Tensor) -> Tensor:
        scaled = math.sqrt(x.shape[-1]) * x
        return scaled + sinusoids(x.shape[1], x.shape[2], x.device).to(x.dtype) if self.positions else scaled


def sinusoids(count: int, width: int, device: torch.device) -> Tensor:
    """Positions 1 to ``count`` as sines, then cosines, [count, width]; a last odd column is zero."""
    half = width // 2
    rates = torch.exp(torch.arange(half, device=device) * (-math.log(10000) / max(1, half - 1)))
    angles = torch.arange(1, count + 1, device=device).unsqueeze(1) * rates
    return torch.cat([angles.sin(), angles.cos(), torch.zeros(count, width % 2, device=device)], 1)


def _linear(size: int, out: int) -> nn.Linear:
    made = nn.Linear(size, out)
    nn.init.xavier_uniform_(made.weight)
    nn.init.zeros_(made.bias)
    return made
