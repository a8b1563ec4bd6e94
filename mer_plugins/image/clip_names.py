"""CLIP in transformers' format as open_clip has it: the configuration and the names of the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mer_core.plugin import PluginError
from mer_plugins.image.tensors import State

QUICK = {"quick_gelu": True, "gelu": False, "gelu_new": False}
"""Whether open_clip's ``quick_gelu`` stands for an activation of transformers."""

TOP = {
    "visual_projection.weight": ("visual.proj", True),
    "text_projection.weight": ("text_projection", True),
    "logit_scale": ("logit_scale", False),
    "vision_model.embeddings.class_embedding": ("visual.class_embedding", False),
    "vision_model.embeddings.patch_embedding.weight": ("visual.conv1.weight", False),
    "vision_model.embeddings.position_embedding.weight": ("visual.positional_embedding", False),
    "text_model.embeddings.token_embedding.weight": ("token_embedding.weight", False),
    "text_model.embeddings.position_embedding.weight": ("positional_embedding", False),
}
"""transformers' name of a weight, open_clip's, and whether it is transposed there."""

NORMS = {
    "vision_model.pre_layrnorm.": "visual.ln_pre.",
    "vision_model.post_layernorm.": "visual.ln_post.",
    "text_model.final_layer_norm.": "ln_final.",
}
TOWERS = {"vision_model.encoder.layers.": "visual.transformer.", "text_model.encoder.layers.": "transformer."}
PARTS = {
    "self_attn.out_proj": "attn.out_proj",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
QKV = ("q", "k", "v")


def is_transformers(state: State) -> bool:
    """Whether the weights have the names of transformers' CLIPModel."""
    return "vision_model.embeddings.class_embedding" in state


def config_of(folder: Path) -> dict[str, Any]:
    """open_clip's arguments of a model, from config.json.

    Raises:
        PluginError: the model is none that open_clip can build.
    """
    from transformers import CLIPConfig

    config: Any = CLIPConfig.from_pretrained(folder, local_files_only=True)
    vision, text = config.vision_config, config.text_config
    activations = {str(vision.hidden_act), str(text.hidden_act)}
    if len(activations) != 1 or not activations <= set(QUICK):
        raise PluginError(f"{folder}: the activation is {' and '.join(sorted(activations))}.", "Name other weights.")
    return {
        "embed_dim": config.projection_dim,
        "quick_gelu": QUICK[activations.pop()],
        "vision_cfg": {
            "image_size": vision.image_size,
            "patch_size": vision.patch_size,
            "head_width": vision.hidden_size // vision.num_attention_heads,
            **_sizes(vision),
        },
        "text_cfg": {
            "context_length": text.max_position_embeddings,
            "vocab_size": text.vocab_size,
            "heads": text.num_attention_heads,
            **_sizes(text),
            **_end(text.eos_token_id),
        },
    }


def _sizes(part: Any) -> dict[str, Any]:
    return {
        "width": part.hidden_size,
        "layers": part.num_hidden_layers,
        "mlp_ratio": part.intermediate_size / part.hidden_size,
        "norm_kwargs": {"eps": part.layer_norm_eps},
    }


def _end(token: int) -> dict[str, Any]:
    """Where a text's vector is read; configurations of OpenAI's time say 2 and mean the largest token."""
    return {"pool_type": "argmax"} if token == 2 else {"pool_type": "eos", "eos_id": token}


def renamed(state: State) -> State:
    """The weights under open_clip's names; those of a single tower, too."""
    found: State = {}
    for name, value in state.items():
        if name in TOP:
            wanted, turned = TOP[name]
            found[wanted] = value.T.contiguous() if turned else value
        elif ".self_attn." not in name or ".out_proj." in name:
            new = _renamed(name)
            if new:
                found[new] = value
        elif ".q_proj." in name:
            parts = [state[name.replace(".q_proj.", f".{one}_proj.")] for one in QKV]
            found[_block(name).replace("self_attn.q_proj.", "attn.in_proj_")] = torch.cat(parts)
    return found


def _renamed(name: str) -> str:
    """Empty for what open_clip has no use for (numbers of positions)."""
    for old, new in NORMS.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    block = _block(name)
    for old, new in PARTS.items():
        block = block.replace(f".{old}.", f".{new}.")
    return block


def _block(name: str) -> str:
    """``vision_model.encoder.layers.3.X`` is ``visual.transformer.resblocks.3.X``."""
    for old, new in TOWERS.items():
        if name.startswith(old):
            return f"{new}resblocks.{name.removeprefix(old)}"
    return ""
