"""DINOv2, ViT, SigLIP and kin: what is read of them, preprocessing, batches; parity with transformers."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from mer_core.errors import MissingWeightsError, PluginError
from mer_core.plugin import ExtractorSpec, FramesInput, Missing
from mer_core.registry import discover
from mer_core.spec import declared_inputs
from mer_core.testing import check_plugin
from mer_plugins.image.preprocess import of_folder
from mer_plugins.image.weights import VISION
from tests.vision_models import SIDE, make, pictures, roughened, sample, save

TOLERANCE = 1e-4
"""Float32 sums in other orders; of values of size 1 to 20, over 17 tokens."""

SIZES = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
PATCHES = {"image_size": SIDE, "patch_size": 8}
PICTURES = {
    "dinov2": {
        "image_processor_type": "BitImageProcessor",
        "size": {"shortest_edge": 36},
        "crop_size": {"height": SIDE, "width": SIDE},
        "resample": 3,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
        "do_center_crop": True,
        "do_convert_rgb": True,
    },
    "vit": {
        "feature_extractor_type": "ViTFeatureExtractor",
        "do_normalize": True,
        "do_resize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "size": SIDE,
    },
    "siglip": {
        "image_processor_type": "SiglipImageProcessor",
        "size": {"height": SIDE, "width": SIDE},
        "resample": 3,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "do_rescale": True,
        "rescale_factor": 0.00392156862745098,
    },
}
PICTURES["dinov2_with_registers"] = PICTURES["dinov2"]
PICTURES["convnext"] = PICTURES["vit"]
PROCESSORS = {"dinov2": "BitImageProcessor", "vit": "ViTImageProcessor", "siglip": "SiglipImageProcessor"}
PREFIX = {"dinov2": 1, "vit": 1, "siglip": 0, "dinov2_with_registers": 5}
"""Tokens before those of the patches."""


def built(kind: str) -> Any:
    if kind == "dinov2":
        return transformers.Dinov2Model(transformers.Dinov2Config(**SIZES, **PATCHES, mlp_ratio=2))
    if kind == "dinov2_with_registers":
        return transformers.Dinov2WithRegistersModel(transformers.Dinov2WithRegistersConfig(**SIZES, **PATCHES))
    if kind == "vit":
        return transformers.ViTModel(transformers.ViTConfig(**SIZES, **PATCHES, intermediate_size=48))
    if kind == "siglip":
        text = {**SIZES, "intermediate_size": 48, "vocab_size": 50, "max_position_embeddings": 8}
        vision = {**SIZES, **PATCHES, "intermediate_size": 48}
        return transformers.SiglipModel(transformers.SiglipConfig(text_config=text, vision_config=vision))
    return transformers.ConvNextModel(transformers.ConvNextConfig(hidden_sizes=[8, 8, 16, 32], depths=[1, 1, 1, 1]))


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """``shelf(kind)``: folder of a tiny checkpoint as the hub has it."""
    top = tmp_path_factory.mktemp("vision")

    @cache
    def made(kind: str) -> Path:
        torch.manual_seed(5)
        return save(roughened(built(kind)), top / kind, PICTURES[kind])

    return made


def prepared(kind: str, images: Any) -> Any:
    """Pictures as the kind's own class in transformers prepares them on Pillow."""
    name = PROCESSORS[kind]
    cls = getattr(transformers, f"{name}Pil", getattr(transformers, name))
    told = {key: value for key, value in PICTURES[kind].items() if not key.endswith("_type")}
    return torch.from_numpy(
        np.stack(cls(**told)([Image.fromarray(i) for i in images], return_tensors="np").pixel_values)
    )


def by_transformers(folder: Path, kind: str, images: Any) -> Any:
    """The model's whole output, and what went into its final norm."""
    model = transformers.AutoModel.from_pretrained(folder).eval()
    model = getattr(model, "vision_model", model)
    raw: list[Any] = []
    norm = model.post_layernorm if kind == "siglip" else model.layernorm
    norm.register_forward_hook(lambda _, given, __: raw.append(given[0]))
    with torch.no_grad():
        return model(pixel_values=prepared(kind, images)), raw[0]


@pytest.mark.parametrize("kind", PROCESSORS)
@pytest.mark.parametrize("size", [(112, 112), (128, 128), (24, 24), (50, 91)])
def test_7_preprocessing_is_that_of_transformers_to_the_last_bit(shelf: Any, kind: str, size: tuple[int, int]) -> None:
    """Sizes without a shape mean a square for ViT and the shorter side for CLIP: the class knows."""
    images = pictures(2, size)
    recipe = of_folder(shelf(kind))
    cut = np.stack([recipe.cut(image) for image in images])
    found = np.stack([recipe.table[channel][cut[..., channel]] for channel in range(3)], axis=1)
    np.testing.assert_array_equal(found, prepared(kind, images).numpy())


@pytest.mark.parametrize("kind", PROCESSORS)
@pytest.mark.parametrize("take", ["pooled", "cls", "mean", "mertools"])
def test_7_what_is_read_of_the_model(shelf: Any, kind: str, take: str) -> None:
    """MERTools adds up all tokens of the last layer, the class token among them, before the final norm."""
    images = pictures(3, (128, 128))
    if (kind, take) == ("siglip", "cls"):
        with pytest.raises(PluginError, match="no class token"):
            make("hf-vision", shelf(kind), take=take)
        return
    output, raw = by_transformers(shelf(kind), kind, images)
    tokens = output.last_hidden_state
    expected = {
        "pooled": output.pooler_output,
        "cls": tokens[:, 0],
        "mean": tokens[:, PREFIX[kind] :].mean(dim=1),
        "mertools": raw.sum(dim=1),
    }[take]
    extractor = make("hf-vision", shelf(kind), take=take)
    found = extractor.extract([sample(images)])[0]
    assert extractor.dim == 32
    assert found.values.shape == (3, 32)
    np.testing.assert_array_equal(found.times, np.arange(3) / 5)
    np.testing.assert_allclose(found.values, expected.numpy(), atol=TOLERANCE)


def test_7_mertools_sum_is_of_the_last_hidden_states(shelf: Any) -> None:
    """For DINOv2 these are what its encoder gives, in every version."""
    images = pictures(2, (128, 128))
    model = transformers.AutoModel.from_pretrained(shelf("dinov2")).eval()
    with torch.no_grad():
        states = model(pixel_values=prepared("dinov2", images), output_hidden_states=True).hidden_states
    found = make("hf-vision", shelf("dinov2"), take="mertools").extract([sample(images)])[0]
    np.testing.assert_allclose(found.values, states[-1].sum(dim=1).numpy(), atol=TOLERANCE)


@pytest.mark.parametrize(("kind", "prefix"), PREFIX.items())
def test_class_tokens_and_registers_are_no_patches(shelf: Any, kind: str, prefix: int) -> None:
    assert make("hf-vision", shelf(kind), take="mean").prefix == prefix


def test_convolutional_models(shelf: Any) -> None:
    images = sample(pictures(2))
    pooled, mean = (make("hf-vision", shelf("convnext"), take=take) for take in ("pooled", "mean"))
    assert pooled.dim == mean.dim == 32
    assert pooled.extract([images])[0].values.shape == (2, 32)
    assert mean.extract([images])[0].values.shape == (2, 32)
    with pytest.raises(PluginError, match="no class token"):
        make("hf-vision", shelf("convnext"), take="cls")


@pytest.mark.parametrize("kind", PROCESSORS)
def test_neither_batches_nor_other_clips_change_features(shelf: Any, kind: str) -> None:
    clips = [pictures(count, seed=count) for count in (3, 1, 5)]
    whole, parted = (make("hf-vision", shelf(kind), batch=batch) for batch in (100, 2))
    together = parted.extract([sample(clip) for clip in [*clips, pictures(0)]])
    assert together.pop() == Missing("no picture")
    for clip, found in zip(clips, together, strict=True):
        np.testing.assert_allclose(found.values, whole.extract([sample(clip)])[0].values, atol=TOLERANCE)


def test_a_pooler_that_was_never_trained_is_refused(shelf: Any, tmp_path: Path) -> None:
    """google/vit-base-patch16-224 has none: transformers would fill in random weights, others each time."""
    model = transformers.ViTForImageClassification(transformers.ViTConfig(**SIZES, **PATCHES, intermediate_size=48))
    folder = save(model, tmp_path, PICTURES["vit"])
    with pytest.raises(PluginError, match="no trained pooler"):
        make("hf-vision", folder)
    assert make("hf-vision", folder, take="cls").dim == 32


def test_models_that_hide_patches_are_refused(tmp_path: Path) -> None:
    config = transformers.ViTMAEConfig(**SIZES, **PATCHES, decoder_hidden_size=16, decoder_num_attention_heads=2)
    folder = save(transformers.ViTMAEModel(config), tmp_path, PICTURES["vit"])
    with pytest.raises(PluginError, match="leaves out most patches"):
        make("hf-vision", folder)


def test_pictures_of_many_sizes_are_refused(shelf: Any, tmp_path: Path) -> None:
    for file in shelf("dinov2").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    told = {**PICTURES["dinov2"], "do_center_crop": False}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(told))
    with pytest.raises(PluginError, match="does not give all pictures one size"):
        make("hf-vision", tmp_path)


def test_7_frames_that_are_asked_for() -> None:
    catalogue = discover()
    spec = catalogue.find(ExtractorSpec, "hf-vision")
    for values, expected in (
        ({}, FramesInput(fps=5, faces=True, size=128)),
        ({"count": 64, "size": 112}, FramesInput(count=64, faces=True, size=112)),
    ):
        options = catalogue.options(ExtractorSpec, "hf-vision", values)
        assert declared_inputs(spec, options)["frames"] == expected
    assert spec.weights == VISION


def test_weights_that_are_not_here_name_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MissingWeightsError, match="mer weights fetch dinov2-large"):
        make("hf-vision", "dinov2-large")


def test_contract(shelf: Any) -> None:
    only = ["light-import", "options", "starts", "dimension", "times", "order", "batch-invariance", "finite", "short"]
    report = check_plugin("hf-vision", options={"model": str(shelf("dinov2"))}, only=only)
    assert report.ok, str(report)
