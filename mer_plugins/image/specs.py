"""Specs of the image plugins. Light: nothing here imports numpy or torch."""

from __future__ import annotations

from mer_core.plugin import ExtractorSpec, FramesInput
from mer_plugins.image.weights import CLIP, VISION

FACES = FramesInput(fps=5, faces=True, size=128)

IMAGE = [
    ExtractorSpec(
        name="hog",
        target="mer_plugins.image.hog:Hog",
        options="mer_plugins.image.hog:HogOptions",
        summary="histograms of oriented gradients of aligned faces",
        modality="image",
        inputs={"frames": FACES},
        per_thread=True,
    ),
    ExtractorSpec(
        name="clip",
        target="mer_plugins.image.clip:Clip",
        options="mer_plugins.image.clip_options:ClipOptions",
        summary="CLIP embeddings of aligned faces: ViT-L/14, or any model of open_clip",
        modality="image",
        inputs={"frames": FACES},
        requires=("torch", "open_clip", "transformers"),
        install="pip install open_clip_torch transformers",
        weights_licence=CLIP[0].licence,
        weights=CLIP,
    ),
    ExtractorSpec(
        name="hf-vision",
        target="mer_plugins.image.hf_vision:HfVision",
        options="mer_plugins.image.hf_vision_options:HfVisionOptions",
        summary="DINOv2, ViT, SigLIP and other image models of transformers, on aligned faces",
        modality="image",
        inputs={"frames": FACES},
        requires=("torch", "transformers"),
        weights_licence=VISION[0].licence,
        weights=VISION,
    ),
]
