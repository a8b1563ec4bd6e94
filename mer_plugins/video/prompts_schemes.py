"""What each scheme of prompts learns: vectors, and small networks between them."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mer_plugins.video.prompts_plan import PromptPlan, Scheme

DEVIATION = 0.02
"""Of the normal distribution at which prompts begin."""

NARROWER = 16
"""How many times narrower than an embedding CoCoOp's network is inside."""


@dataclass(frozen=True)
class Sizes:
    """Prompts of a model: how many, widths of the towers, depth in each, size of the embeddings."""

    tokens: int
    text: int
    vision: int
    text_depth: int
    vision_depth: int
    dim: int

    @classmethod
    def of(cls, model: Any, plan: PromptPlan) -> Sizes:
        """Depths are at most the towers' layers."""
        layers = {"text": len(model.transformer.resblocks), "vision": len(model.visual.transformer.resblocks)}
        depths = min(plan.text_depth, layers["text"]), min(plan.vision_depth, layers["vision"])
        widths = model.token_embedding.embedding_dim, len(model.visual.class_embedding)
        return cls(plan.tokens, *widths, *depths, model.visual.output_dim)


class Draw:
    """Beginnings, the same for a seed wherever they are put."""

    def __init__(self, seed: int) -> None:
        self._source = torch.Generator().manual_seed(seed)

    def prompts(self, tokens: int, width: int) -> nn.Parameter:
        """Prompts [tokens, width] of one layer."""
        return nn.Parameter(torch.empty(tokens, width, device="cpu").normal_(0, DEVIATION, generator=self._source))

    def linear(self, wide: int, narrow: int) -> nn.Linear:
        """A layer from ``wide`` to ``narrow``, begun as torch begins it."""
        layer = nn.Linear(wide, narrow, device="cpu")
        bound = 1 / math.sqrt(wide)
        for weight in layer.parameters():
            nn.init.uniform_(weight, -bound, bound, generator=self._source)
        return layer


class Prompts(nn.Module):
    """What is learnt. This one: nothing."""

    def for_text(self) -> list[Tensor]:
        """Prompts [n, width] of the text tower's first layers."""
        return []

    def for_vision(self) -> list[Tensor]:
        """Prompts [n, width] of the image tower's first layers."""
        return []


class Independent(Prompts):
    """Prompts of their own in either tower."""

    def __init__(self, sizes: Sizes, draw: Draw, words: bool = True) -> None:
        super().__init__()
        text, vision = sizes.text_depth if words else 0, sizes.vision_depth
        self.text = nn.ParameterList(draw.prompts(sizes.tokens, sizes.text) for _ in range(text))
        self.vision = nn.ParameterList(draw.prompts(sizes.tokens, sizes.vision) for _ in range(vision))

    def for_text(self) -> list[Tensor]:
        """As learnt."""
        return list(self.text)

    def for_vision(self) -> list[Tensor]:
        """As learnt."""
        return list(self.vision)


class Coupled(Prompts):
    """MaPLe: each layer's prompts of the image tower are a linear image of those of the text tower.

    The input's pair of towers has a layer of its own; those of the deeper layers begin as copies of one.
    """

    def __init__(self, sizes: Sizes, draw: Draw) -> None:
        super().__init__()
        depth = min(sizes.text_depth, sizes.vision_depth)
        self.text = nn.ParameterList(draw.prompts(sizes.tokens, sizes.text) for _ in range(depth))
        first, deeper = (draw.linear(sizes.text, sizes.vision) for _ in range(2))
        self.couple = nn.ModuleList([first, *(copy.deepcopy(deeper) for _ in range(depth - 1))])

    def for_text(self) -> list[Tensor]:
        """As learnt."""
        return list(self.text)

    def for_vision(self) -> list[Tensor]:
        """Computed from the text tower's."""
        return [couple(text) for couple, text in zip(self.couple, self.text, strict=True)]


class Conditional(Prompts):
    """CoCoOp: prompts at the text tower's input, all moved by one vector that depends on what is seen."""

    def __init__(self, sizes: Sizes, draw: Draw) -> None:
        super().__init__()
        narrow = max(1, sizes.dim // NARROWER)
        self.text = nn.ParameterList([draw.prompts(sizes.tokens, sizes.text)])
        self.meta = nn.Sequential(draw.linear(sizes.dim, narrow), nn.ReLU(), draw.linear(narrow, sizes.text))

    def for_text(self) -> list[Tensor]:
        """Those of nothing seen."""
        return list(self.text)

    def seen(self, video: Tensor) -> Tensor:
        """Prompts [B, n, width] for videos [B, D] of length 1."""
        moved: Tensor = self.text[0] + self.meta(video).unsqueeze(1)
        return moved


def _vision_only(sizes: Sizes, draw: Draw) -> Prompts:
    return Independent(sizes, draw, words=False)


def _nothing(sizes: Sizes, draw: Draw) -> Prompts:
    return Prompts()


SCHEMES: dict[Scheme, Callable[[Sizes, Draw], Prompts]] = {
    "vl": Independent,
    "ivlp": Independent,
    "vpt": _vision_only,
    "maple": Coupled,
    "cocoop": Conditional,
    "full": _nothing,
}
