"""Baichuan's decoder: layers of attention and a gated network, without the code that comes with its weights.

Baichuan-13B and Baichuan2-13B tell positions by linear biases (ALiBi), the models of 7B by rotation. The
output heads, plain or normalised (Baichuan2), are of no use for features and are not read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mer_core.plugin import PluginError
from mer_core.weights import refetch
from mer_plugins.architecture import check_kind
from mer_plugins.text.alibi import bias, slopes

SCORES = 2**25
"""Attention scores that are held at once, for heads one after the other where texts are long."""

ROTATION = 10_000.0


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a decoder, as its config.json says."""

    vocabulary: int
    hidden: int
    inner: int
    layers: int
    heads: int
    eps: float
    context: int
    rotary: bool

    @classmethod
    def read(cls, folder: Path) -> Shape:
        """The sizes in ``folder``/config.json.

        Raises:
            PluginError: it is not there, or not of a Baichuan.
        """
        return cls._of(folder, check_kind(folder, "baichuan"))

    @classmethod
    def _of(cls, folder: Path, config: Mapping[str, Any]) -> Shape:
        try:
            return cls(
                vocabulary=config["vocab_size"],
                hidden=config["hidden_size"],
                inner=config["intermediate_size"],
                layers=config["num_hidden_layers"],
                heads=config["num_attention_heads"],
                eps=config.get("rms_norm_eps", 1e-6),
                context=config.get("model_max_length") or config.get("max_position_embeddings") or 4096,
                rotary=_rotates(config),
            )
        except KeyError as error:
            raise PluginError(f"{folder}/config.json does not say {error}.", refetch(folder)) from None

    @property
    def parameters(self) -> int:
        """Number of parameters of the checkpoint, its output head included."""
        layer = 4 * self.hidden**2 + 3 * self.hidden * self.inner + 2 * self.hidden
        return 2 * self.vocabulary * self.hidden + self.layers * layer + self.hidden

    def expected(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every weight that features need."""
        wide = {"embed_tokens.weight": (self.vocabulary, self.hidden), "norm.weight": (self.hidden,)}
        found = {f"model.{name}": shape for name, shape in wide.items()}
        for number in range(self.layers):
            found |= {f"model.layers.{number}.{name}": shape for name, shape in self.layer().items()}
        return found

    def layer(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of a layer's weights, in the order of :class:`Layer`."""
        return {
            "self_attn.W_pack.weight": (3 * self.hidden, self.hidden),
            "self_attn.o_proj.weight": (self.hidden, self.hidden),
            "mlp.gate_proj.weight": (self.inner, self.hidden),
            "mlp.up_proj.weight": (self.inner, self.hidden),
            "mlp.down_proj.weight": (self.hidden, self.inner),
            "input_layernorm.weight": (self.hidden,),
            "post_attention_layernorm.weight": (self.hidden,),
        }


def _rotates(config: Mapping[str, Any]) -> bool:
    """The 7B models rotate. The first of them spells its class with a capital C; Baichuan2's is told by its width."""
    return "BaiChuanForCausalLM" in (config.get("architectures") or ()) or config["hidden_size"] == 4096


class Layer(NamedTuple):
    """Weights of a layer. The rows of ``packed`` are queries, keys, values, each head by head."""

    packed: Tensor
    out: Tensor
    gate: Tensor
    up: Tensor
    down: Tensor
    before: Tensor
    after: Tensor


def rms_norm(states: Tensor, weight: Tensor, eps: float) -> Tensor:
    """States of root mean square 1, times ``weight``, in its type; the mean is taken in float32."""
    exact = states.float()
    return (exact * torch.rsqrt(exact.square().mean(-1, keepdim=True) + eps)).to(weight.dtype) * weight


def step(shape: Shape, layer: Layer, states: Tensor, lengths: Sequence[int]) -> Tensor:
    """What a layer makes of texts.

    Args:
        states: float32 [N, D], the N tokens of all texts, one text after the other.
        lengths: tokens of each text.

    Returns:
        float32 [N, D].
    """
    packed = F.linear(rms_norm(states, layer.before, shape.eps), layer.packed)
    states = states + F.linear(attend(shape, packed, lengths), layer.out).float()
    normed = rms_norm(states, layer.after, shape.eps)
    gated = F.silu(F.linear(normed, layer.gate)).mul_(F.linear(normed, layer.up))
    return states.add_(F.linear(gated, layer.down))


def attend(shape: Shape, packed: Tensor, lengths: Sequence[int]) -> Tensor:
    """What each token [N, D] gathers from those before it in its text, and from itself.

    Texts are padded on the right. A token never looks ahead, so that no token looks at padding.
    """
    own = torch.arange(max(lengths), device=packed.device) < torch.tensor(lengths, device=packed.device)[:, None]
    padded = packed.new_zeros(*own.shape, packed.shape[-1])
    padded[own] = packed
    parts = padded.unflatten(-1, (3, shape.heads, -1)).permute(2, 0, 3, 1, 4).float()
    query, key, value = rotated(parts) if shape.rotary else parts
    slope = (torch.zeros(shape.heads) if shape.rotary else slopes(shape.heads)).to(packed.device)
    at_once = max(1, SCORES // (len(lengths) * max(lengths) ** 2))
    gathered = torch.empty_like(value)
    for first in range(0, shape.heads, at_once):
        some = slice(first, first + at_once)
        scores = query[:, some] @ key[:, some].mT / query.shape[-1] ** 0.5
        weights = scores.add_(bias(slope[some], max(lengths))).softmax(-1)
        torch.matmul(weights, value[:, some], out=gathered[:, some])
    return gathered.transpose(1, 2).flatten(2)[own].to(packed.dtype)


def rotated(parts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values [B, H, T, d], the first two turned by their positions (rotary embedding).

    Column i turns with column i + d/2, by position times 10000^(-2i/d).
    """
    query, key, value = parts
    half = query.shape[-1] // 2
    speed = ROTATION ** (-torch.arange(half, device=parts.device) / half)
    angle = torch.arange(query.shape[-2], device=parts.device)[:, None] * speed
    cos, sin = angle.cos(), angle.sin()

    def turn(x: Tensor) -> Tensor:
        one, other = x.split(half, dim=-1)
        return torch.cat([one * cos - other * sin, other * cos + one * sin], dim=-1)

    return turn(query), turn(key), value
