"""Pictures as published encoders want them: resized and cropped by Pillow, then normalised.

Bit for bit what transformers' own preprocessing on Pillow gives. Where a margin is odd, its crop lies half a
pixel further up and left than torchvision's; on square faces there is no margin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mer_core.plugin import EnvironmentProblem, FloatArray, ImageArray, PluginError
from mer_plugins.architecture import read_json
from mer_plugins.damage import short

LEVELS = 256
PREPROCESSOR, PROCESSOR = "preprocessor_config.json", "processor_config.json"
METHODS = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}
"""Pillow's numbers for what torchvision and open_clip call the ways to resize."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is done to one picture.

    Args:
        resize: length of the shorter side in pixels, or (height, width) whatever the shape was; None for neither.
        crop: (height, width) of the middle that is kept; None for all.
        method: Pillow's number of the way to resize.
        mean, std: of the three channels, after multiplication with ``scale``.
    """

    resize: int | tuple[int, int] | None
    crop: tuple[int, int] | None
    method: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    scale: float = 1 / 255

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of every picture that comes out.

        Raises:
            PluginError: it would depend on the picture.
        """
        found = self.crop or self.resize
        short = self.resize if isinstance(self.resize, int) else min(self.resize or (0, 0))
        if not isinstance(found, tuple) or (self.crop and short < max(self.crop)):
            raise PluginError(
                "the checkpoint's preprocessing does not give all pictures one size.", "Name other weights."
            )
        return found

    @property
    def table(self) -> FloatArray:
        """float32 [3, 256]: what becomes of each grey level of each channel."""
        levels = (np.arange(LEVELS, dtype=np.float64) * self.scale).astype(np.float32)
        mean, std = (np.array(one, np.float32)[:, None] for one in (self.mean, self.std))
        found: FloatArray = (levels - mean) / std
        return found

    def cut(self, image: ImageArray) -> ImageArray:
        """uint8 [h, w, 3] of ``size`` from uint8 [H, W, 3]."""
        picture = self._resized(Image.fromarray(image))
        if self.crop is None:
            return np.asarray(picture)
        height, width = self.crop
        top, left = (picture.height - height) // 2, (picture.width - width) // 2
        return np.asarray(picture)[top : top + height, left : left + width]

    def _resized(self, picture: Image.Image) -> Image.Image:
        if self.resize is None:
            return picture
        if isinstance(self.resize, tuple):
            height, width = self.resize
        else:
            short, long = sorted(picture.size)
            other = int(self.resize * long / short)
            width, height = (self.resize, other) if picture.width <= picture.height else (other, self.resize)
        return picture.resize((width, height), Image.Resampling(self.method))


def of_open_clip(told: Mapping[str, Any], size: int | tuple[int, int]) -> Recipe:
    """The recipe of open_clip's ``preprocess_cfg``; ``size`` is the model's.

    Raises:
        PluginError: it pads pictures.
    """
    from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

    height, width = (size, size) if isinstance(size, int) else (size[0], size[1])
    mode = told.get("resize_mode") or "shortest"
    if mode not in ("shortest", "squash"):
        raise PluginError(f"the checkpoint's preprocessing resizes by {mode!r}.", "Name other weights.")
    squash = mode == "squash"
    return Recipe(
        resize=(height, width) if squash else max(height, width),
        crop=None if squash else (height, width),
        method=METHODS[told.get("interpolation") or "bicubic"],
        mean=tuple(told.get("mean") or OPENAI_DATASET_MEAN),
        std=tuple(told.get("std") or OPENAI_DATASET_STD),
    )


def of_folder(folder: Path) -> Recipe:
    """The recipe of preprocessor_config.json, with the defaults of its class in transformers.

    Raises:
        PluginError: there is none, or it does not say what to do.
        EnvironmentProblem: transformers cannot be used with the torch that is installed.
    """
    if not (folder / PROCESSOR).is_file():
        read_json(folder / PREPROCESSOR, f"Copy the published {PREPROCESSOR} there: it says how to prepare pictures.")
    try:
        from transformers import AutoImageProcessor

        return _of_processor(AutoImageProcessor.from_pretrained(folder, local_files_only=True))
    except (ImportError, RuntimeError) as error:  # a torchvision that was not built for torch raises either
        raise EnvironmentProblem(
            f"transformers cannot prepare pictures here: {short(error)}.", "Run: mer doctor"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise PluginError(
            f"{folder / PREPROCESSOR} does not say how to prepare pictures: {short(error)}.",
            f"Copy the published {PREPROCESSOR} there.",
        ) from error


def check_size(folder: Path, recipe: Recipe, wanted: int | Sequence[int]) -> None:
    """Refuse a recipe that makes pictures of another size than a model with fixed positions takes.

    Raises:
        PluginError: naming both sizes.
    """
    size = (wanted, wanted) if isinstance(wanted, int) else tuple(wanted)
    if recipe.size != size:
        made, taken = (" x ".join(map(str, one)) for one in (recipe.size, size))
        raise PluginError(
            f"{folder / PREPROCESSOR} makes pictures of {made} pixels, and the model takes {taken}.",
            f"Copy the {PREPROCESSOR} there that was published with the model.",
        )


def _of_processor(told: Any) -> Recipe:
    cropped = bool(getattr(told, "do_center_crop", False))
    normalised = bool(getattr(told, "do_normalize", True))
    rescaled = bool(getattr(told, "do_rescale", True))
    return Recipe(
        resize=_resize(told.size) if getattr(told, "do_resize", True) else None,
        crop=_pair(told.crop_size) if cropped else None,
        method=_method(told.resample),
        mean=_three(told.image_mean) if normalised else (0.0, 0.0, 0.0),
        std=_three(told.image_std) if normalised else (1.0, 1.0, 1.0),
        scale=float(told.rescale_factor) if rescaled else 1.0,
    )


def _resize(size: Any) -> int | tuple[int, int]:
    given = {key: value for key, value in dict(size).items() if value}
    if set(given) == {"shortest_edge"}:
        return int(given["shortest_edge"])
    return _pair(size)


def _pair(size: Any) -> tuple[int, int]:
    given = {key: value for key, value in dict(size).items() if value}
    if set(given) != {"height", "width"}:
        raise PluginError(f"the checkpoint's preprocessing gives the size as {given}.", "Name other weights.")
    return int(given["height"]), int(given["width"])


def _three(values: Any) -> tuple[float, ...]:
    return tuple(float(one) for one in (values if isinstance(values, list | tuple) else [values] * 3))


def _method(resample: Any) -> int:
    """Pillow's number of what transformers or torchvision call a way to resize."""
    value = getattr(resample, "value", resample)
    return METHODS[value] if isinstance(value, str) else int(value)
