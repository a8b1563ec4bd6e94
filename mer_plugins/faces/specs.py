"""Specs of the faces plugins. Light: nothing here imports numpy or torch."""

from __future__ import annotations

from mer_core.plugin import DeriverSpec, FramesInput
from mer_plugins.faces.weights import YUNET

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
    DeriverSpec(
        name="yunet",
        target="mer_plugins.faces.yunet:Yunet",
        options="mer_plugins.faces.yunet_options:YunetOptions",
        summary="main face of a clip with OpenCV's YuNet, five landmarks",
        produces="faces",
        inputs={"frames": FramesInput(fps=5, max_side=480, stream=True)},
        per_thread=True,
        weights=YUNET,
        weights_licence="MIT",
    ),
    DeriverSpec(
        name="openface",
        target="mer_plugins.faces.openface:OpenFace",
        options="mer_plugins.faces.openface_options:OpenFaceOptions",
        summary="main face of a clip from an installed OpenFace 2, its output, or MERTools' openface_face",
        produces="faces",
        inputs={"frames": FramesInput(stream=True)},
        per_thread=True,
        needs=("OpenFace or its output",),
        weights_licence="OpenFace itself: academic, non-commercial (not part of mer)",
    ),
]
