"""Specs of the image plugins. Light: nothing here imports numpy or torch."""

from __future__ import annotations

from mer_core.plugin import ExtractorSpec, FramesInput

IMAGE = [
    ExtractorSpec(
        name="hog",
        target="mer_plugins.image.hog:Hog",
        options="mer_plugins.image.hog:HogOptions",
        summary="histograms of oriented gradients of aligned faces",
        modality="image",
        inputs={"frames": FramesInput(fps=5, faces=True, size=128)},
        per_thread=True,
    ),
]
