"""Options of the training of prompts. Light: nothing here imports numpy or torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from mer_core.plugin import Field, Options

EPOCHS, STEPS = 11, 200
"""Epochs where options do not say, and steps that there are at least."""


class TuningOptions(Options):
    """How a model is tuned to labelled clips; after ViFi-CLIP (arXiv 2212.03640) where it says."""

    epochs: int | None = Field(default=None, ge=1, le=1000)
    """Passes over the labelled clips; null: 11, and as many as 200 steps need."""
    batch: int = Field(default=16, ge=1, le=4096)
    """Clips of one step, in each process."""
    accumulate: int | None = Field(default=None, ge=1, le=4096)
    """Parts in which a step's clips are computed one after the other; null: as few as the memory allows."""
    lr: float = Field(default=4e-3, gt=0, le=1)
    """Highest learning rate."""
    weight_decay: float = Field(default=1e-3, ge=0, le=1)
    """Of AdamW, on everything that is learnt."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """Of AdamW: memory of gradients."""
    beta2: float = Field(default=0.98, ge=0, lt=1)
    """Of AdamW: memory of their squares."""
    epsilon: float = Field(default=1e-8, gt=0)
    """Of AdamW."""
    warmup: float = Field(default=2.0, ge=0)
    """Epochs in which the learning rate rises from 0; at most half of all."""
    clip: float = Field(default=0.0, ge=0)
    """Gradients are scaled down to this length where they are longer; 0: never."""
    smoothing: float = Field(default=0.1, ge=0, lt=1)
    """Share of a label that is spread over all classes."""
    mixup: float = Field(default=0.0, ge=0)
    """Two clips are mixed, by a share from Beta(mixup, mixup); 0: never. 0.8 in ViFi-CLIP."""
    cutmix: float = Field(default=0.0, ge=0)
    """A rectangle comes from another clip, by a share from Beta(cutmix, cutmix); 0: never. 1 in ViFi-CLIP."""
    crops: bool = True
    """Crops of several sizes at several places; without, the middle of each frame."""
    flip: float = Field(default=0.5, ge=0, le=1)
    """Probability that a clip is mirrored."""
    colour: float = Field(default=0.5, ge=0, le=2)
    """Strength of changes to brightness, contrast, saturation and hue; 1 in ViFi-CLIP, 0: none."""
    grey: float = Field(default=0.2, ge=0, le=1)
    """Probability that a clip loses its colours."""
    select: Literal["inner", "last"] = "inner"
    """Keep the epoch that is best on a held-out part of the clips to learn from, where there are enough; or the
    last one."""
    inner: float = Field(default=0.1, gt=0, lt=1)
    """Share of the clips that is held out for that."""
    cache_gb: float = Field(default=16.0, ge=0)
    """Gigabytes of prepared frames that are kept from epoch to epoch (on disk where there is a folder)."""
    save_minutes: float = Field(default=10.0, gt=0)
    """Where it stands is saved after each epoch, and so often in between."""
    checkpointing: bool = False
    """Save memory: compute each layer twice. Half as much time more."""

    def fingerprint(self) -> Mapping[str, Any]:
        """What changes no result, or none beyond rounding."""
        harmless = ("accumulate", "cache_gb", "save_minutes", "checkpointing")
        return {**super().fingerprint(), **dict.fromkeys(harmless)}

    def epochs_of(self, steps: int) -> int:
        """Epochs, where one has ``steps`` steps."""
        return self.epochs or max(EPOCHS, -(-STEPS // steps))
