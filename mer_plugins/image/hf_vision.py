"""Picture by picture through DINOv2, ViT, SigLIP and other image models of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mer_core.plugin import Failure, Features, Missing, PluginError, Sample
from mer_core.weights import LAYOUTS
from mer_plugins import hf
from mer_plugins.architecture import check_reads
from mer_plugins.damage import short
from mer_plugins.image.hf_vision_options import HfVisionOptions
from mer_plugins.image.pictures import Pictures
from mer_plugins.image.preprocess import PREPROCESSOR, of_folder
from mer_plugins.image.tensors import first_of, read_state

FINAL_NORMS = ("layernorm", "post_layernorm", "norm")
"""What models call the norm after their last layer."""

RANDOM = ("vit_mae",)
"""Models that leave out most of a picture by chance."""


class HfVision:
    """Features [T, D] with the time of each picture (D 1024 for the large models)."""

    def __init__(self, options: HfVisionOptions, device: str) -> None:
        folder = options.located().path
        check_reads(folder, "pictures", options.model)
        recipe = of_folder(folder)
        self.model = _image_part(hf.load(folder, device, code=options.runs_code))
        self.take = options.take
        self._raw: list[Tensor] = []
        self._refuse_untrained(folder)
        self._watch()
        dtype = options.compute_dtype(device)
        self.pictures = Pictures(self._read, recipe, device, dtype, options.batch)
        self.prefix = 0
        self.dim = self._probe(folder, torch.zeros(1, 3, *recipe.size, device=device))
        hf.rounded(self.model, dtype)

    def extract(self, batch: Sequence[Sample]) -> list[Features | Missing | Failure]:
        """Features of each clip; missing where there is no picture."""
        clips = [sample.frames() for sample in batch]
        values = self.pictures.of_clips(clips)
        return [
            Features(found, clip.times) if len(clip) else Missing("no picture")
            for clip, found in zip(clips, values, strict=True)
        ]

    def _read(self, pixels: Tensor) -> Tensor:
        """One vector [B, D] for each picture of float32 [B, 3, h, w]."""
        output = self.model(pixel_values=pixels)
        if self.take == "pooled":
            return _pooled(output)
        tokens = _tokens(output.last_hidden_state)
        if self.take == "mertools":
            return (self._raw.pop() if self._raw else tokens).sum(dim=1)
        if self.take == "mean":
            return tokens[:, self.prefix :].mean(dim=1)
        if not self.prefix:
            raise PluginError(
                f"{type(self.model).__name__} has no class token.", "Set the option take to pooled or mean."
            )
        return tokens[:, 0]

    @torch.inference_mode()
    def _probe(self, folder: Path, probe: Tensor) -> int:
        """Width of the features, found by trying.

        Raises:
            PluginError: the model does not take such pictures.
        """
        try:
            self.prefix = self._leading(probe)
            return int(self._read(probe).shape[-1])
        except (ValueError, RuntimeError) as error:
            size = " x ".join(map(str, probe.shape[2:]))
            raise PluginError(
                f"{folder}: the model does not take the pictures of {size} pixels that {PREPROCESSOR} makes: "
                f"{short(error)}.",
                f"Copy the {PREPROCESSOR} there that was published with the model.",
            ) from error

    def _leading(self, probe: Tensor) -> int:
        """How many tokens come before those of the patches: the class token, registers."""
        tokens = _tokens(self.model(pixel_values=probe).last_hidden_state)
        self._raw.clear()
        size = getattr(self.model.config, "patch_size", None)
        patch = (size, size) if isinstance(size, int) else size
        if not patch or len(patch) != 2:
            return 0
        patches = (probe.shape[2] // patch[0]) * (probe.shape[3] // patch[1])
        return max(0, tokens.shape[1] - patches)

    def _watch(self) -> None:
        """See what goes into the final norm, whatever a version of transformers calls the last hidden state."""
        norm = next((found for name in FINAL_NORMS if (found := getattr(self.model, name, None)) is not None), None)
        if self.take == "mertools" and isinstance(norm, nn.Module):
            norm.register_forward_pre_hook(lambda _, given: self._raw.append(given[0]))

    def _refuse_untrained(self, folder: Path) -> None:
        """A model made for other ends comes without its pooler, and transformers would make one up."""
        pooler = getattr(self.model, "pooler", None)
        if self.take != "pooled" or pooler is None or not list(pooler.parameters()):
            return
        if not any("pooler." in name for name in read_state(first_of(folder, LAYOUTS))):
            raise PluginError(
                f"{folder} holds no trained pooler of {type(self.model).__name__}.",
                "Set the option take to cls or mean.",
            )


def _image_part(model: Any) -> nn.Module:
    """The image tower of a model that has one beside a text tower.

    Raises:
        PluginError: the model sees only part of a picture.
    """
    kind = str(model.config.model_type)
    if kind in RANDOM:
        raise PluginError(f"a {kind} leaves out most patches of a picture, by chance.", "Name other weights.")
    found: nn.Module = getattr(model, "vision_model", model)
    return found


def _tokens(hidden: Tensor) -> Tensor:
    """[B, N, D] of tokens, or of the places of a convolutional map [B, D, h, w]."""
    return hidden.flatten(2).transpose(1, 2) if hidden.ndim == 4 else hidden


def _pooled(output: Any) -> Tensor:
    found: Tensor | None = getattr(output, "pooler_output", None)
    if found is None:
        raise PluginError("the model has no pooled output.", "Set the option take to cls or mean.")
    return found.flatten(1)
