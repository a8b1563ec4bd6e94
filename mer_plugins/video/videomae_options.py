"""Options of ``videomae``. Light: nothing here imports numpy or torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from mer_core.plugin import Field, FramesInput, Input, Weights
from mer_plugins.hf import WeightsOptions
from mer_plugins.image.weights import VIDEOMAE

FRAMES = 16
"""Frames that every published VideoMAE takes at once."""


class VideoMaeOptions(WeightsOptions):
    """Options of the ``videomae`` extractor."""

    known: ClassVar[tuple[Weights, ...]] = VIDEOMAE
    kind: ClassVar[str] = "videomae"

    model: str = VIDEOMAE[0].name
    """Name of known weights, hub id (owner/name), or a local folder."""
    window: float | None = Field(default=None, gt=0, le=60)
    """Seconds that 16 frames cover; longer clips are cut into such windows. null: 16 frames of the whole clip."""
    max_side: int = Field(default=640, ge=64)
    """Frames are decoded with at most this many pixels on the longer side."""
    batch: int | None = Field(default=None, ge=1, le=256)
    """Windows that are computed at once; null: 8 on a GPU, 1 on a CPU."""

    def inputs(self) -> dict[str, Input]:
        """Whole frames: 16 spread over the clip, or as many per second as windows need."""
        if self.window is None:
            return {"frames": FramesInput(count=FRAMES, max_side=self.max_side)}
        return {"frames": FramesInput(fps=FRAMES / self.window, max_side=self.max_side)}

    def fingerprint(self) -> Mapping[str, Any]:
        """How many windows are computed at once changes nothing."""
        return {**super().fingerprint(), "batch": None}
