"""The ``yunet`` deriver: the main face of a clip with OpenCV's YuNet, a small network with five landmarks.

Each frame is searched as a whole, so that nothing depends on what was seen before; the detections
become a track by the same rules as those of ``haar``. Eyes, nose tip and mouth corners align the face.
Method: Wu et al., YuNet: A Tiny Millisecond-level Face Detector (2023).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mer_core.media.faces import Detection
from mer_core.plugin import ImageArray, PluginError
from mer_plugins.faces.finder import Detector, FaceFinder
from mer_plugins.faces.weights import YUNET, YUNET_FILE
from mer_plugins.faces.yunet_options import YunetOptions

STRIDES = (8, 16, 32)
"""Pixels between the places at which the network looks for small, middling and large faces."""

OUTPUTS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
"""Numbers that the network gives per place: two scores, a box and five landmarks."""

TRIAL = (64, 96)
"""(height, width) in pixels of the blank picture that a network is tried on, multiples of the largest stride."""

REMEDY = f"Give the file {YUNET_FILE}, or run: mer weights fetch {YUNET[0].name}"


class Yunet(FaceFinder):
    """Finds the main face; one instance per thread (a network holds the frame that it works on)."""

    def __init__(self, options: YunetOptions | None = None, device: str = "cpu") -> None:
        self.options = options or YunetOptions()
        self._network = load(network_file(self.options.located().path), self.options)

    def detector(self) -> Detector:
        """One that looks at every frame as if it were the only one."""
        return lambda time, image: self.detect(image)

    def detect(self, image: ImageArray) -> list[Detection]:
        """Faces in ``image`` [H, W, 3] RGB."""
        height, width = image.shape[:2]
        if min(height, width) < STRIDES[0]:
            return []
        self._network.setInputSize((width, height))
        rows = self._network.detect(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1]
        least = self.options.min_size * min(height, width)
        return [] if rows is None else [found for found in map(_detection, rows) if found.box[2] >= least]


def network_file(place: Path) -> Path:
    """The network in ``place``, a file or a folder with one .onnx.

    Raises:
        PluginError: the folder holds none, or several of other names.
    """
    if not place.is_dir():
        return place
    named = place / YUNET_FILE
    found = [named] if named.is_file() else sorted(place.glob("*.onnx"))
    if len(found) != 1:
        raise PluginError(f"yunet: {place} holds {len(found) or 'no'} files *.onnx.", REMEDY)
    return found[0]


def load(file: Path, options: YunetOptions) -> cv2.FaceDetectorYN:
    """The detector.

    Raises:
        PluginError: the file is no ONNX network, or not one that gives what YuNet gives.
    """
    _require_yunet(file)
    return cv2.FaceDetectorYN.create(
        str(file), "", (TRIAL[1], TRIAL[0]), options.min_score, options.overlap, options.most
    )


def _require_yunet(file: Path) -> None:
    """OpenCV would read past the end of what another network gives."""
    try:
        network = cv2.dnn.readNetFromONNX(str(file))
    except (cv2.error, SystemError) as error:
        raise PluginError(f"yunet: {file} is no ONNX network that OpenCV can read.", REMEDY) from error
    wanted = {f"{part}_{stride}": (part, stride) for part in OUTPUTS for stride in STRIDES}
    missing = [name for name in wanted if name not in network.getUnconnectedOutLayersNames()]
    if missing:
        raise PluginError(f"yunet: {file} is another network: it gives no {', '.join(missing)}.", REMEDY)
    for name, answer in zip(wanted, _trial(file, network, wanted), strict=True):
        part, stride = wanted[name]
        shape = (1, TRIAL[0] // stride * (TRIAL[1] // stride), OUTPUTS[part])
        if answer.size != np.prod(shape):
            raise PluginError(
                f"yunet: {file} is another network: {name} has shape {list(answer.shape)}, not {list(shape)}.", REMEDY
            )


def _trial(file: Path, network: Any, outputs: Iterable[str]) -> list[NDArray[np.float32]]:
    try:
        network.setInput(cv2.dnn.blobFromImage(np.zeros((*TRIAL, 3), np.uint8)))
        return list(network.forward(list(outputs)))
    except cv2.error as error:
        raise PluginError(f"yunet: {file} does not take pictures of {TRIAL[1]} x {TRIAL[0]}.", REMEDY) from error


def _detection(row: NDArray[np.float32]) -> Detection:
    """``row`` [15]: box, five landmarks with those at the image's left first, score."""
    x, y, width, height = (float(v) for v in row[:4])
    return Detection((x, y, width, height), float(np.clip(row[14], 0, 1)), row[4:14].astype(np.float64).reshape(5, 2))
