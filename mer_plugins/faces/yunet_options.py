"""Options of the ``yunet`` face deriver. Light."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mer_core.plugin import Field, FramesInput, Input, Options
from mer_core.weights import Located, locate
from mer_plugins.faces.weights import YUNET


class YunetOptions(Options):
    """Options of the ``yunet`` face deriver."""

    model: str = YUNET[0].name
    """Name of known weights, hub id (owner/name), or a local .onnx file or the folder that holds it."""
    revision: str = ""
    """Commit, branch or tag of the hub, in place of the pinned one."""
    fps: float = Field(5.0, gt=0, le=120)
    """Frames per second to look at."""
    max_side: int = Field(480, ge=64)
    """Frames are searched at most this large (longer side, pixels); the network knows faces of 10 to 300 pixels."""
    min_size: float = Field(0.1, ge=0, lt=1)
    """Smallest face, as a share of the frame's shorter side."""
    min_score: float = Field(0.6, gt=0, lt=1)
    """Detections scored lower are dropped."""
    overlap: float = Field(0.3, gt=0, le=1)
    """Of two detections that overlap more (intersection over union), the better one is kept."""
    most: int = Field(200, ge=1)
    """So many raw detections of a frame are looked at, the best first."""

    def inputs(self) -> dict[str, Input]:
        """Frames one after the other, scaled down while they are decoded."""
        return {"frames": FramesInput(fps=self.fps, max_side=self.max_side, stream=True)}

    def located(self) -> Located:
        """Where the network is.

        Raises:
            MissingWeightsError: with the command that fetches it.
        """
        return locate(self.model, YUNET, self.revision)

    def fingerprint(self) -> Mapping[str, Any]:
        """The network's commit or content counts, not what it is called or where it lies."""
        return {"model": self.located().identity, "revision": None}
