"""What a model sees of a clip's frames: in training a crop, flipped and coloured at random; else the middle.

After ViFi-CLIP's pipeline (H. Rasheed et al., CVPR 2023): the shorter side is 256 / 224 of the model's, crops have
shares of it and lie at thirteen places, and what is drawn holds for all frames of a clip.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mer_core.plugin import ImageArray
from mer_plugins.hf import to_device
from mer_plugins.image.preprocess import Recipe

WIDE, SEEN = 256, 224
"""The shorter side of a frame where the model's pictures have this one, and in proportion."""

SCALES = (1.0, 0.875, 0.75, 0.66)
"""Sides of crops as shares of the shorter side; height and width are neighbours in this list at most."""

PLACES = ((0, 0), (0, 4), (4, 0), (4, 4), (2, 2), (2, 0), (2, 4), (4, 2), (0, 2), (1, 1), (1, 3), (3, 1), (3, 3))
"""Places of crops (down, right) in quarters of the room there is."""

BRIGHTNESS, CONTRAST, SATURATION, HUE = 0.4, 0.4, 0.2, 0.1
"""How far the colour jitter of strength 1 goes."""

LUMINANCE = (0.2989, 0.587, 0.114)


@dataclass(frozen=True, slots=True)
class Jitter:
    """How much of each change: probabilities of a flip, of other colours and of grey, and the colours' strength."""

    flip: float = 0.5
    colour: float = 0.5
    colour_p: float = 0.8
    grey: float = 0.2
    crops: bool = True


def kept_recipe(recipe: Recipe, side: int) -> Recipe:
    """How frames are made from which all views are cut: the shorter side resized, nothing cut off."""
    return Recipe(WIDE * side // SEEN, None, recipe.method, recipe.mean, recipe.std, recipe.scale)


def middle_recipe(recipe: Recipe, side: int) -> Recipe:
    """The view without chance, from a frame as it was decoded: the middle ``side`` pixels of the same frames."""
    return Recipe(WIDE * side // SEEN, (side, side), recipe.method, recipe.mean, recipe.std, recipe.scale)


class Views:
    """Cuts pictures [T, 3, side, side] for a model from uint8 frames [T, h, w, 3] that :func:`kept_recipe` made."""

    def __init__(self, recipe: Recipe, side: int, jitter: Jitter) -> None:
        self.side, self.jitter = side, jitter
        self._mean, self._std = (torch.tensor(one)[:, None, None] for one in (recipe.mean, recipe.std))
        self._scale = recipe.scale * 255

    def middle(self, frames: ImageArray, device: str) -> Tensor:
        """The view without chance."""
        top, left = ((length - self.side) // 2 for length in frames.shape[1:3])
        return self._normalised(_levels(frames[:, top : top + self.side, left : left + self.side], device))

    def random(self, frames: ImageArray, device: str, rng: np.random.Generator) -> Tensor:
        """A view of training; the same for the same state of ``rng``."""
        found = _levels(self._crop(frames, rng) if self.jitter.crops else _middle(frames, self.side), device)
        found = F.interpolate(found, (self.side, self.side), mode="bilinear", antialias=True).clamp(0, 1)
        draws = rng.random(3)
        if draws[0] < self.jitter.flip:
            found = found.flip(-1)
        if draws[1] < self.jitter.colour_p and self.jitter.colour > 0:
            found = coloured(found, self.jitter.colour, rng)
        if draws[2] < self.jitter.grey:
            found = grey(found).expand_as(found)
        return self._normalised(found)

    def _crop(self, frames: ImageArray, rng: np.random.Generator) -> ImageArray:
        height, width = frames.shape[1:3]
        sides = [int(min(height, width) * scale) for scale in SCALES]
        pairs = [(one, other) for (i, one), (j, other) in product(enumerate(sides), repeat=2) if abs(i - j) <= 1]
        high, wide = pairs[rng.integers(len(pairs))]
        down, right = PLACES[rng.integers(len(PLACES))]
        top, left = down * ((height - high) // 4), right * ((width - wide) // 4)
        return frames[:, top : top + high, left : left + wide]

    def _normalised(self, found: Tensor) -> Tensor:
        return (found * self._scale - self._mean.to(found.device)) / self._std.to(found.device)


def _middle(frames: ImageArray, side: int) -> ImageArray:
    top, left = ((length - side) // 2 for length in frames.shape[1:3])
    return frames[:, top : top + side, left : left + side]


def _levels(frames: ImageArray, device: str) -> Tensor:
    """float32 [T, 3, h, w] from 0 to 1."""
    return to_device(np.ascontiguousarray(frames), device).permute(0, 3, 1, 2).float() / 255


def coloured(found: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    """Brightness, contrast, saturation and hue of [T, 3, h, w] changed in random order, alike in all frames."""
    reach = np.array([BRIGHTNESS, CONTRAST, SATURATION, HUE]) * strength
    moves = rng.uniform(-reach, reach)
    for which in rng.permutation(4):
        found = CHANGES[which](found, float(moves[which]))
    return found


def grey(found: Tensor) -> Tensor:
    """Luminance [..., 1, h, w] of [..., 3, h, w]."""
    return (found * found.new_tensor(LUMINANCE)[:, None, None]).sum(dim=-3, keepdim=True)


def brighter(found: Tensor, move: float) -> Tensor:
    """Away from black, or towards it."""
    return _away(found, torch.zeros_like(found), move)


def harder(found: Tensor, move: float) -> Tensor:
    """Away from the picture's mean luminance."""
    return _away(found, grey(found).mean(dim=(-2, -1), keepdim=True), move)


def richer(found: Tensor, move: float) -> Tensor:
    """Away from grey."""
    return _away(found, grey(found), move)


def _away(found: Tensor, origin: Tensor, move: float) -> Tensor:
    return (origin + max(0.0, 1 + move) * (found - origin)).clamp(0, 1)


def turned(found: Tensor, move: float) -> Tensor:
    """Hues shifted by the share ``move`` of the colour circle; saturation and value (of HSV) stay."""
    high, low = found.amax(dim=-3), found.amin(dim=-3)
    range_ = (high - low).clamp(min=1e-12)
    red, green, blue = found.unbind(dim=-3)
    sixth = torch.where(high == green, 2 + (blue - red) / range_, 4 + (red - green) / range_)
    sixth = torch.where(high == red, (green - blue) / range_, sixth) + 6 * move
    places = [(sixth + offset) % 6 for offset in (5, 3, 1)]
    parts = [high - (high - low) * torch.minimum(place, 4 - place).clamp(0, 1) for place in places]
    return torch.stack(parts, dim=-3)


CHANGES = (brighter, harder, richer, turned)
