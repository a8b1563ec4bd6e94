"""The published weights of the face detectors. Light."""

from __future__ import annotations

from mer_core.plugin import Weights

YUNET_FILE = "face_detection_yunet_2023mar.onnx"

YUNET = (
    Weights(
        name="yunet",
        repo="opencv/face_detection_yunet",
        revision="main",
        files=(YUNET_FILE,),
        licence="MIT",
    ),
)
