"""A tiny CLIP with weights of closed form, and words for it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import open_clip
import torch
from open_clip.model import CLIP

from mer_plugins.video.prompts import PromptedClip, PromptPlan, Scheme, prompted

SIDE, PATCH, DIM, LAYERS = 32, 8, 16, 4
VISION, TEXT = 128, 64
"""Widths of the towers: 2 heads and 1."""

SCHEMES: list[Scheme] = ["vl", "ivlp", "vpt", "maple", "cocoop", "full"]
SHALLOW = PromptPlan(vision_depth=3, text_depth=3)

TOLERANCE = 1e-4
"""Float32, of scores between 1 and 20: cosines times 100."""

WORDS = ("anger", "surprise", "worried_face")


def values(name: str, shape: tuple[int, ...]) -> Any:
    """Numbers in -1 to 1 that look random and are the same anywhere: quadratic residues."""
    count, key = math.prod(shape), sum(name.encode()) + 1
    index = np.arange(count, dtype=np.int64)
    residues = (7 * index * index + key * index + 31 * key) % 65521
    return torch.from_numpy((residues / 65521 * 2 - 1).astype(np.float32).reshape(shape))


def weight(name: str, shape: tuple[int, ...]) -> Any:
    """A weight of the backbone under open_clip's name, of a size at which every layer matters."""
    if name == "logit_scale":
        return torch.tensor(math.log(100))
    plain = values(name, shape)
    if name.endswith(".weight") and ".ln_" in f".{name}":
        return 1 + 0.3 * plain
    if len(shape) < 2 or "embedding" in name:
        return 0.3 * plain
    return plain * math.sqrt(3 / (shape[0] if name.endswith("proj") else math.prod(shape[1:])))


def prompt(name: str, shape: tuple[int, ...]) -> Any:
    """A learnt vector or weight under its name here, exact in float16."""
    return (0.5 * values(name, shape)).half().float()


def tiny(layers: int = LAYERS, **text: Any) -> Any:
    """open_clip's CLIP with closed-form weights; of OpenAI's vocabulary unless ``text`` says otherwise."""
    sizes = {"image_size": SIDE, "patch_size": PATCH, "width": VISION, "layers": layers}
    words = {"context_length": 77, "vocab_size": 49408, "width": TEXT, "heads": 1, "layers": layers, **text}
    model = CLIP(DIM, vision_cfg=sizes, text_cfg=words, quick_gelu=True)
    for name, one in model.named_parameters():
        one.data = weight(name, tuple(one.shape))
    return model.eval().requires_grad_(False)


def published() -> Any:
    """CLIP's own tokenizer."""
    return open_clip.get_tokenizer("ViT-B-32")


def small(texts: list[str], length: int = 14, size: int = 60) -> Any:
    """Tokens of a toy vocabulary: each word and mark its own number, the end the largest."""
    rows = []
    for text in texts:
        words = text.replace(".", " .").split()
        rows.append([size - 2, *(1 + sum(word.encode()) % (size - 4) for word in words), size - 1])
    return torch.tensor([[*row, *[0] * (length - len(row))] for row in rows])


def little(**text: Any) -> Any:
    """A tiny model for the toy vocabulary."""
    return tiny(**{"context_length": 14, "vocab_size": 60, **text})


def settle(made: PromptedClip) -> PromptedClip:
    """The prompts in closed form."""
    made.load_trained({name: prompt(name, tuple(one.shape)) for name, one in made.learnable().items()})
    return made


def clips(videos: int = 2, frames: int = 3) -> Any:
    """Prepared frames [videos, frames, 3, SIDE, SIDE]."""
    return 2 * values("clips", (videos, frames, 3, SIDE, SIDE))


def made(plan: PromptPlan = SHALLOW, model: Any = None, **text: Any) -> PromptedClip:
    """Prompts of closed form on a tiny model of the toy vocabulary."""
    return settle(prompted(little(**text) if model is None else model, plan, WORDS, small, seed=0))


def near(found: Any, wanted: Any, tolerance: float = TOLERANCE) -> None:
    torch.testing.assert_close(found.detach(), torch.as_tensor(wanted).detach(), atol=tolerance, rtol=0)
