"""The prompts in a checkpoint of ViFi-CLIP (arXiv 2212.03640)."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mer_core.plugin import PluginError
from mer_plugins.image.tensors import read_state

FIRST = {"prompt_learner.ctx": "text.0", "image_encoder.VPT": "vision.0"}
"""ViFi-CLIP's names of the input's prompts, and the names here."""

DEEPER = {"text_encoder": "text", "image_encoder": "vision"}


class _Settings:
    """Stands for the class of the training's settings, which lie beside the weights: nothing of theirs is run."""

    def __new__(cls, *values: Any) -> Any:
        return OrderedDict()


def from_vifi(path: Path) -> dict[str, Tensor]:
    """What ``PromptedClip.load_trained`` takes (scheme vl), float32, from a checkpoint that ViFi-CLIP's training wrote.

    Its vectors of class names are dropped, as they belong to its classes, and so is its backbone. That may have been
    trained before the prompts were ("bridge by fine-tuning"): its prompts are of little use then with another one.

    Raises:
        PluginError: the file cannot be read, or holds no prompts.
    """
    with torch.serialization.safe_globals([(_Settings, "yacs.config.CfgNode")]):
        held = read_state(path)
    found = {_renamed(name): value.float() for name, value in held.items() if _renamed(name)}
    if "text.0" not in found:
        raise PluginError(
            f"{path} holds no prompts of ViFi-CLIP.", "Name a checkpoint of its training with prompts in both towers."
        )
    return found


def _renamed(name: str) -> str:
    """Empty for what is not learnt with prompts."""
    if name in FIRST:
        return FIRST[name]
    tower, _, inside = name.partition(".")
    if tower not in DEEPER or not inside.endswith(".VPT_shallow"):
        return ""
    return f"{DEEPER[tower]}.{inside.removeprefix('transformer.resblocks.').removesuffix('.VPT_shallow')}"
