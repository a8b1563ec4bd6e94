"""Options that the image and video encoders share. Light: nothing here imports numpy or torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mer_core.plugin import Field, FramesInput, Input
from mer_plugins.hf import WeightsOptions


class PictureOptions(WeightsOptions):
    """Options of a plugin that encodes pictures one by one."""

    fps: float | None = Field(default=5.0, gt=0, le=60)
    """Pictures per second of video; null: every frame."""
    count: int | None = Field(default=None, ge=1, le=1024)
    """Exactly so many pictures of each clip, evenly spread, in place of fps."""
    batch: int | None = Field(default=None, ge=1, le=4096)
    """Pictures that are computed at once; null: 64 on a GPU, 8 on a CPU."""

    def fingerprint(self) -> Mapping[str, Any]:
        """How many pictures are computed at once changes nothing."""
        return {**super().fingerprint(), "batch": None}

    @property
    def rate(self) -> float | None:
        """What to ask of the decoder beside ``count``."""
        return None if self.count else self.fps


class FaceOptions(PictureOptions):
    """Options of a plugin that encodes aligned faces."""

    size: int = Field(default=128, ge=32, le=512)
    """Side of the face crop in pixels, before it is brought to the model's size (112 in the MER2024 baseline)."""

    def inputs(self) -> dict[str, Input]:
        """Aligned face crops."""
        return {"frames": FramesInput(fps=self.rate, count=self.count, faces=True, size=self.size)}
