"""Specs of the faces plugins. Light: nothing here imports numpy or torch."""

from __future__ import annotations

from mer_core.plugin import DeriverSpec, FramesInput

DERIVERS = [
    DeriverSpec(
        name="haar",
        target="mer_plugins.faces.haar:Haar",
        options="mer_plugins.faces.haar:HaarOptions",
        summary="main face of a clip with OpenCV's bundled cascades",
        produces="faces",
        inputs={"frames": FramesInput(fps=5, stream=True)},
        per_thread=True,
    ),
]
