"""What the model rows are beside: a plain loop over clips with transformers alone, and the bare forward."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from mer_core.types import Sample

RATE, LAYERS = 16000, 4


class Plain:
    """A model of transformers, in float32, with the preprocessing of transformers.

    ``values`` are a clip's features, computed by themselves; ``amount`` is how much of the model's work a clip is
    (``unit``); ``block`` is an input of so many clips of average size, ready on the device.
    """

    unit = ""

    def __init__(self, folder: Path, device: str) -> None:
        self.device = device
        self.model = self._load(folder).eval().to(device)

    def _load(self, folder: Path) -> Any:
        raise NotImplementedError

    def values(self, sample: Sample) -> NDArray[np.float32]:
        raise NotImplementedError

    def amount(self, sample: Sample) -> float:
        raise NotImplementedError

    def block(self, samples: Sequence[Sample], count: int) -> tuple[dict[str, torch.Tensor], float]:
        raise NotImplementedError

    def bare(self, samples: Sequence[Sample], count: int) -> tuple[Callable[[], Any], float]:
        """A forward pass of ``count`` rows in what the engine computes in, and its amount of work."""
        inputs, amount = self.block(samples, count)
        dtype = _fast(self.device)
        inputs = {name: one.to(dtype) if one.is_floating_point() else one for name, one in inputs.items()}
        self.model.to(dtype)

        def forward() -> None:
            with torch.inference_mode():
                self.model(**inputs)

        return forward, amount


def _fast(device: str) -> torch.dtype:
    if not device.startswith("cuda"):
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


class PlainSpeech(Plain):
    unit = "s of sound"

    def _load(self, folder: Path) -> Any:
        self.prepare = transformers.AutoFeatureExtractor.from_pretrained(folder)
        return transformers.HubertModel.from_pretrained(folder)

    def values(self, sample: Sample) -> NDArray[np.float32]:
        inputs = self.prepare(sample.audio().samples, sampling_rate=RATE, return_tensors="pt").input_values
        with torch.no_grad():
            states = self.model(inputs.to(self.device), output_hidden_states=True).hidden_states
            found: NDArray[np.float32] = torch.stack(states)[-LAYERS:].sum(dim=0)[0].cpu().numpy()
        return found

    def amount(self, sample: Sample) -> float:
        return sample.audio().duration

    def block(self, samples: Sequence[Sample], count: int) -> tuple[dict[str, torch.Tensor], float]:
        seconds = float(np.mean([self.amount(sample) for sample in samples]))
        return {"input_values": torch.randn(count, int(seconds * RATE), device=self.device)}, count * seconds


class PlainClip(Plain):
    unit = "pictures"

    def _load(self, folder: Path) -> Any:
        self.prepare = transformers.AutoImageProcessor.from_pretrained(folder)
        return transformers.CLIPVisionModelWithProjection.from_pretrained(folder)

    def values(self, sample: Sample) -> NDArray[np.float32]:
        inputs = self.prepare(list(sample.frames().images), return_tensors="pt").pixel_values
        with torch.no_grad():
            found: NDArray[np.float32] = self.model(pixel_values=inputs.to(self.device)).image_embeds.cpu().numpy()
        return found

    def amount(self, sample: Sample) -> float:
        return len(sample.frames())

    def block(self, samples: Sequence[Sample], count: int) -> tuple[dict[str, torch.Tensor], float]:
        return {"pixel_values": torch.randn(count, 3, 224, 224, device=self.device)}, count


class PlainVideo(Plain):
    unit = "windows"

    def _load(self, folder: Path) -> Any:
        self.prepare = transformers.AutoImageProcessor.from_pretrained(folder)
        return transformers.VideoMAEModel.from_pretrained(folder)

    def values(self, sample: Sample) -> NDArray[np.float32]:
        inputs = self.prepare(list(sample.frames().images), return_tensors="pt").pixel_values
        with torch.no_grad():
            states = self.model(pixel_values=inputs.to(self.device)).last_hidden_state
            found: NDArray[np.float32] = states.reshape(8, -1, states.shape[-1]).mean(dim=1).cpu().numpy()
        return found

    def amount(self, sample: Sample) -> float:
        return 1

    def block(self, samples: Sequence[Sample], count: int) -> tuple[dict[str, torch.Tensor], float]:
        return {"pixel_values": torch.randn(count, 16, 3, 224, 224, device=self.device)}, count


class PlainText(Plain):
    unit = "tokens"

    def _load(self, folder: Path) -> Any:
        self.prepare = transformers.AutoTokenizer.from_pretrained(folder)
        return transformers.BertModel.from_pretrained(folder, add_pooling_layer=False)

    def values(self, sample: Sample) -> NDArray[np.float32]:
        inputs = self.prepare(sample.text().content, return_tensors="pt").to(self.device)
        with torch.no_grad():
            states = self.model(**inputs, output_hidden_states=True).hidden_states
            found: NDArray[np.float32] = torch.stack(states)[-LAYERS:].sum(dim=0)[0, 1:-1].cpu().numpy()
        return found

    def amount(self, sample: Sample) -> float:
        return len(sample.text().content) + 2

    def block(self, samples: Sequence[Sample], count: int) -> tuple[dict[str, torch.Tensor], float]:
        length = round(float(np.mean([self.amount(sample) for sample in samples])))
        words = torch.randint(200, 20000, (count, length), device=self.device)
        return {"input_ids": words, "attention_mask": torch.ones_like(words)}, count * length


PLAIN: dict[str, type[Plain]] = {
    "hubert": PlainSpeech,
    "clip-video": PlainClip,
    "videomae": PlainVideo,
    "hf-text": PlainText,
}
"""By extractor."""


def quiet() -> None:
    """No progress bars and no advice from transformers."""
    transformers.logging.set_verbosity_error()
    with contextlib.suppress(AttributeError):
        transformers.logging.disable_progress_bar()
