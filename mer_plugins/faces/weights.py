"""The published weights of the face detectors. Light."""

from __future__ import annotations

from mer_core.plugin import Weights

YUNET_FILE = "face_detection_yunet_2023mar.onnx"

YUNET = (
    Weights(
        name="yunet",
        repo="opencv/face_detection_yunet",
        revision="3cc26e7f1014a5ee5d74a42acee58bafc9d0a310",
        files=(YUNET_FILE,),
        bytes=232_589,
        licence="MIT",
    ),
)
