"""EmoVCLIP: CLIP on whole frames with prompts that were learnt from labelled clips (arXiv 2409.07078, section 3.3).

Prompts in both towers, everything else frozen; the mean of a clip's frames is compared with the texts of the classes
(ViFi-CLIP, arXiv 2212.03640). The feature is that mean, before it is normalised.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from mer_core.media.sampling import segment_indices
from mer_core.plugin import (
    Failure,
    Features,
    FloatArray,
    Frames,
    Missing,
    PluginError,
    Sample,
    Supervision,
)
from mer_plugins import hf
from mer_plugins.image.clip_checkpoint import read_clip
from mer_plugins.image.clip_text import class_embeddings, tokenizer
from mer_plugins.image.pictures import Pictures
from mer_plugins.image.preprocess import Recipe
from mer_plugins.video.emovclip_fit import fit_prompts
from mer_plugins.video.emovclip_options import EmoVClipOptions
from mer_plugins.video.emovclip_words import class_words
from mer_plugins.video.prompts import PromptedClip, PromptPlan, prompted
from mer_plugins.video.tuning_group import own_device
from mer_plugins.video.tuning_views import middle_recipe

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and deviation of its pixels, from 0 to 1."""

ABOUT, LEARNT = "about", "learnt."
"""Names in a state: JSON as uint8; and what goes before the names of weights."""


class EmoVClip:
    """The mean embedding [D] of a clip's frames by default (D 768 for ViT-L/14)."""

    def __init__(self, options: EmoVClipOptions, device: str) -> None:
        self.options, self.device = options, own_device(device)
        located = options.located()
        checkpoint = read_clip(located, options.architecture)
        self.backbone = located.identity
        self.model = checkpoint.model().to(self.device)
        self.width = checkpoint.dim
        recipe = checkpoint.recipe(self.model.visual.image_size)  # type: ignore[union-attr,arg-type]
        self.recipe = _imagenet(recipe) if options.normalisation == "imagenet" else recipe
        self.side = _side(self.model)
        self.dtype = options.compute_dtype(self.device)
        shown = middle_recipe(self.recipe, self.side)
        self.pictures = Pictures(self._encode, shown, self.device, self.dtype, options.pictures)
        self.plan = options.plan()
        self.classes: tuple[str, ...] = ()
        self.clip: PromptedClip | None = None
        self.summary: dict[str, Any] = {}

    @property
    def dim(self) -> int:
        """Width of the embeddings; where classes are scored, how many there are.

        Raises:
            PluginError: that is not known before it has learnt.
        """
        if self.options.output in ("embedding", "frames"):
            return self.width
        self._fitted()
        return len(self.classes)

    @property
    def parameters(self) -> int:
        """Those of the image tower, which features come from; the text tower serves to learn prompts."""
        return sum(one.numel() for one in self.model.get_submodule("visual").parameters())

    def fit(self, samples: Sequence[Sample], supervision: Supervision) -> Mapping[str, NDArray[Any]]:
        """Learn prompts; a fit that was killed goes on where its folder's checkpoint says.

        Raises:
            DataError: no clip has a frame.
            PluginError: the prompts do not go into this model.
        """
        self.classes = tuple(supervision.classes)
        words = class_words(self.classes, self.options.label_words, self.options.words)
        self.clip = self._prompted(self.options.plan(), words, supervision.seed)
        told = fit_prompts(self.clip, self.options, self.recipe, samples, supervision, self.device, words)
        self.summary = {**told, "words": list(words), "backbone": self.backbone}
        return self._state(words)

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take what :meth:`fit` returned; the backbone stays as it is.

        Raises:
            PluginError: it is of another backbone, or no state of this extractor.
        """
        about = _about(state)
        plan, words = PromptPlan(**about["plan"]), tuple(about["words"])
        if self.clip is None or (self.clip.plan, self.words) != (plan, words):
            self.clip = self._prompted(plan, words, 0)
        learnt = {name.removeprefix(LEARNT): value for name, value in state.items() if name.startswith(LEARNT)}
        self.clip.load_trained({name: torch.from_numpy(np.array(value)) for name, value in learnt.items()})
        self.classes, self.summary = tuple(about["classes"]), dict(about["summary"])

    def extract(self, batch: Sequence[Sample]) -> list[Features | Missing | Failure]:
        """Features of each clip; missing where there is no frame.

        Raises:
            PluginError: nothing was learnt or restored.
        """
        self._fitted()
        clips = [sample.frames() for sample in batch]
        values = self.pictures.of_clips([_middles(clip, self.options.frames) for clip in clips])
        return [
            self._features(clip, found) if len(clip) else Missing("no frame")
            for clip, found in zip(clips, values, strict=True)
        ]

    def class_embeddings(self, classes: Sequence[str]) -> FloatArray:
        """Embeddings [C, D] of the classes' words by the backbone alone: what CLIP knows without labels."""
        return class_embeddings(self.model, class_words(classes, self.options.label_words, self.options.words))

    def _features(self, clip: Frames, values: FloatArray) -> Features:
        if self.options.output == "frames":
            times = clip.times[segment_indices(len(clip), self.options.frames)]
            return Features(_unit(values) if self.options.normalise else values, times)
        mean = values.mean(axis=0, keepdims=True)
        if self.options.output == "embedding":
            return Features((_unit(mean) if self.options.normalise else mean)[0])
        return Features(self._scores(mean)[0])

    def _scores(self, video: FloatArray) -> FloatArray:
        """[1, C]."""
        with hf.computing(self.device, self.dtype):
            found = self._fitted().logits(hf.to_device(video, self.device)).float()
            chances = F.softmax(found, dim=-1) if self.options.output == "probabilities" else found
            scores: FloatArray = chances.cpu().numpy()
        return scores

    def _encode(self, pixels: Tensor) -> Tensor:
        """Embeddings [B, D] of float32 [B, 3, h, w]."""
        return self._fitted().frames(pixels)

    def _fitted(self) -> PromptedClip:
        if self.clip is None:
            raise PluginError(
                "emovclip has learnt nothing yet.", "Fit it to labelled clips, or restore what a fit returned."
            )
        return self.clip

    def _prompted(self, plan: PromptPlan, words: tuple[str, ...], seed: int) -> PromptedClip:
        self.words = words
        return prompted(self.model, plan, words, tokenizer(self.model), seed).to(self.device)

    def _state(self, words: Sequence[str]) -> dict[str, NDArray[Any]]:
        clip = self._fitted()
        about = {"classes": self.classes, "words": words, "plan": asdict(clip.plan), "summary": self.summary}
        learnt = {LEARNT + name: value.float().numpy() for name, value in clip.trained().items()}
        text = json.dumps(about, ensure_ascii=False).encode()
        return {ABOUT: np.frombuffer(text, np.uint8).copy(), **learnt}


def _imagenet(recipe: Recipe) -> Recipe:
    mean, std = IMAGENET
    return replace(recipe, mean=mean, std=std, scale=1 / 255)


def _side(model: Any) -> int:
    height, width = model.visual.image_size
    if height != width:
        raise PluginError(f"the model takes pictures of {width} x {height} pixels.", "Name one that takes squares.")
    return int(height)


def _about(state: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(np.asarray(state[ABOUT], np.uint8).tobytes())
        missing = {"classes", "words", "plan", "summary"} - set(found)
    except (KeyError, ValueError, TypeError) as error:
        raise PluginError("this is no state of emovclip.", "Restore what its fit returned.") from error
    if missing:
        raise PluginError("this state of emovclip is not complete.", "Fit it again.")
    return found


def _middles(clip: Frames, count: int) -> Frames:
    """The frames that are looked at: the middle one of each segment's candidates."""
    if not len(clip):
        return clip
    places = segment_indices(len(clip), count)
    return Frames(clip.images[places], clip.times[places])


def _unit(values: FloatArray) -> FloatArray:
    found: FloatArray = values / np.maximum(np.linalg.norm(values, axis=-1, keepdims=True), 1e-12)
    return found
