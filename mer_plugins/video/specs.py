"""Specs of the video plugins. Light: nothing here imports numpy or torch."""

from __future__ import annotations

from mer_core.plugin import ExtractorSpec, FramesInput
from mer_plugins.image.weights import CLIP, VIDEOMAE

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
    ExtractorSpec(
        name="clip-video",
        target="mer_plugins.image.clip:Clip",
        options="mer_plugins.image.clip_options:ClipVideoOptions",
        summary="CLIP embeddings of whole frames: ViT-L/14, or any model of open_clip",
        modality="video",
        inputs={"frames": FramesInput(fps=5, max_side=640)},
        batch_seconds=60,
        requires=("torch", "open_clip", "transformers"),
        install="pip install open_clip_torch transformers",
        weights_licence=CLIP[0].licence,
        weights=CLIP,
    ),
    ExtractorSpec(
        name="emovclip",
        target="mer_plugins.video.emovclip:EmoVClip",
        options="mer_plugins.video.emovclip_options:EmoVClipOptions",
        summary="CLIP on whole frames with prompts learnt from the labelled clips, fold by fold",
        modality="video",
        inputs={"frames": FramesInput(count=48, max_side=480)},
        batch_seconds=60,
        requires=("torch", "open_clip", "transformers"),
        install="pip install open_clip_torch transformers",
        weights_licence=CLIP[0].licence,
        weights=CLIP,
        supervised=True,
    ),
    ExtractorSpec(
        name="videomae",
        target="mer_plugins.video.videomae:VideoMae",
        options="mer_plugins.video.videomae_options:VideoMaeOptions",
        summary="VideoMAE over 16 frames of the clip, or over windows of it",
        modality="video",
        inputs={"frames": FramesInput(count=16, max_side=640)},
        batch_seconds=60,
        requires=("torch", "transformers"),
        weights_licence=VIDEOMAE[0].licence,
        weights=VIDEOMAE,
    ),
]
