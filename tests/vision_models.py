"""Tiny image and video models with random weights, saved as the hub has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from mer_core.plugin import ExtractorSpec, Frames, Sample
from mer_core.registry import discover

SIDE, PATCH = 32, 8
"""Pixels of the tiny models' pictures and of their patches."""

MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
CLIP_PICTURES = {
    "crop_size": SIDE,
    "do_center_crop": True,
    "do_normalize": True,
    "do_resize": True,
    "feature_extractor_type": "CLIPFeatureExtractor",
    "image_mean": MEAN,
    "image_std": STD,
    "resample": 3,
    "size": SIDE,
}
"""preprocessor_config.json of OpenAI's repositories, with another size."""


def roughened(model: Any) -> Any:
    """The model in evaluation with weights so large that layers matter."""
    for weight in model.parameters():
        weight.data += 0.08 * torch.randn_like(weight)
    return model.eval()


def save(model: Any, folder: Path, pictures: dict[str, Any]) -> Path:
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(pictures))
    return folder


def clip_config(activation: str = "quick_gelu", **text: Any) -> Any:
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "hidden_act": activation}
    vision = {**sizes, "num_hidden_layers": 3, "image_size": SIDE, "patch_size": PATCH}
    words = {**sizes, "num_hidden_layers": 2, "vocab_size": 50, "max_position_embeddings": 12}
    words |= {"eos_token_id": 2, "bos_token_id": 0, "pad_token_id": 1, **text}
    return transformers.CLIPConfig(text_config=words, vision_config=vision, projection_dim=24)


def clip_folder(folder: Path, activation: str = "quick_gelu", **text: Any) -> Path:
    """A folder of transformers' CLIPModel."""
    torch.manual_seed(3)
    return save(roughened(transformers.CLIPModel(clip_config(activation, **text))), folder, CLIP_PICTURES)


def pictures(count: int = 5, size: tuple[int, int] = (40, 40), seed: int = 0) -> Any:
    """uint8 [count, H, W, 3] with large and small shapes."""
    rough = np.random.default_rng(seed).integers(0, 256, (count, 6, 6, 3)).astype(np.uint8)
    rows, columns = (np.arange(length) * 6 // length for length in size)
    fine = np.random.default_rng(seed + 1).integers(-30, 30, (count, *size, 3))
    return np.clip(rough[:, rows][:, :, columns].astype(int) + fine, 0, 255).astype(np.uint8)


def sample(images: Any, fps: float = 5.0) -> Sample:
    array = np.asarray(images, np.uint8)
    return Sample("clip", {"frames": Frames(array, np.arange(len(array)) / fps)})


def make(name: str, model: Path | str, **values: Any) -> Any:
    """An extractor by its registry name, as the engine builds it."""
    catalogue = discover()
    options = catalogue.options(ExtractorSpec, name, {"model": str(model), **values})
    return catalogue.load(ExtractorSpec, name)(options, "cpu")
