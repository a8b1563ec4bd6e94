"""Specs of the video plugins. Light: nothing here imports numpy or torch."""

from __future__ import annotations

from mer_core.plugin import ExtractorSpec, FramesInput

VIDEO = [
    ExtractorSpec(
        name="motion",
        target="mer_plugins.video.motion:Motion",
        options="mer_plugins.video.motion:MotionOptions",
        summary="dense optical flow and appearance change of whole frames",
        modality="video",
        inputs={"frames": FramesInput(fps=5, max_side=320)},
        per_thread=True,
    ),
]
