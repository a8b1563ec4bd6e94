"""An ONNX model of faces: opened, its input understood, one of its tensors chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime
from mer_core.plugin import FloatArray, OptionError

from mer_plugin_example.graph import with_output
from mer_plugin_example.options import OnnxFaceOptions

KINDS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
NOT_A_PICTURE = "onnx-face wants a model with one input, a batch of pictures."


class Model:
    """Pictures in, rows of one tensor out.

    Attributes:
        batch: how many pictures the file insists on, None if any number.
        channels_last: pictures are [N, H, W, C].
    """

    def __init__(self, options: OnnxFaceOptions, device: str) -> None:
        self._name = options.model.name
        self._session, self._tensor = _open(options, device)
        given = self._session.get_inputs()
        if len(given) != 1:
            names = ", ".join(entry.name for entry in given)
            raise OptionError(f"onnx-face: {self._name} has {len(given)} inputs ({names}).", NOT_A_PICTURE)
        self._input = given[0]
        if self._input.type not in KINDS:
            raise OptionError(
                f"onnx-face: {self._name} takes {self._input.type}.", "Export it with float32 or float16 input."
            )
        self.channels_last = _channels_last(self._name, self._input.shape, options)
        self.batch = self._input.shape[0] if isinstance(self._input.shape[0], int) else None

    def __call__(self, pictures: FloatArray) -> FloatArray:
        """float32 [N, D]; a file that insists on a number of pictures gets blank ones for the rest."""
        count = len(pictures)
        if self.batch and count < self.batch:
            blank = np.zeros((self.batch - count, *pictures.shape[1:]), np.float32)
            pictures = np.concatenate([pictures, blank])
        feed = {self._input.name: pictures.astype(KINDS[self._input.type], copy=False)}
        try:
            found = self._session.run([self._tensor], feed)[0]
        except Exception as error:
            raise OptionError(
                f"onnx-face: {self._name} cannot take pictures of shape {list(pictures.shape)}: {_first_line(error)}",
                "Check size, colour and layout against the model's documentation.",
            ) from error
        return self._rows(found, len(pictures))[:count]

    def _rows(self, values: Any, count: int) -> FloatArray:
        """[N, D] of a tensor [N, D], [N, D, 1, 1] or [N, 1, 1, D]."""
        shape = np.shape(values)
        if len(shape) < 2 or shape[0] != count or np.prod(shape[1:]) != max(shape[1:]):
            raise OptionError(
                f"onnx-face: {self._tensor} of {self._name} has shape {list(shape)} for {count} pictures,"
                " not one row for each.",
                "Name another tensor: -o onnx-face.tensor=NAME.",
            )
        return np.asarray(values, np.float32).reshape(count, -1)


def providers(device: str, available: Sequence[str]) -> list[Any]:
    """What computes on ``device``, a torch device string; the CPU where onnxruntime has no CUDA."""
    kind, _, index = device.partition(":")
    if kind != "cuda" or "CUDAExecutionProvider" not in available:
        return ["CPUExecutionProvider"]
    settings = {"device_id": int(index or 0), "use_tf32": 0, "cudnn_conv_algo_search": "HEURISTIC"}
    return [("CUDAExecutionProvider", settings), "CPUExecutionProvider"]


def _open(options: OnnxFaceOptions, device: str) -> tuple[onnxruntime.InferenceSession, str]:
    """A session, and the name of the tensor to take from it."""
    session = _session(options, str(options.model), device)
    outputs = [entry.name for entry in session.get_outputs()]
    if options.tensor in outputs:
        return session, options.tensor
    if options.output == "features":
        content, tensor = with_output(options.model, options.tensor)
        return _session(options, content, device), tensor
    if options.tensor:
        raise OptionError(
            f"onnx-face: {options.model.name} has no output called {options.tensor!r}.",
            f"Its outputs are {', '.join(outputs)}; for an inner tensor add -o onnx-face.output=features.",
        )
    return session, outputs[0]


def _session(options: OnnxFaceOptions, source: str | bytes, device: str) -> onnxruntime.InferenceSession:
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.inter_op_num_threads = options.threads, 1
    settings.use_deterministic_compute = True
    settings.log_severity_level = 4
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    chosen = providers(device, onnxruntime.get_available_providers())
    try:
        return onnxruntime.InferenceSession(source, settings, providers=chosen)
    except Exception as error:
        raise OptionError(
            f"onnx-face: onnxruntime cannot open {options.model}: {_first_line(error)}",
            "Give an ONNX file that onnxruntime can run, whole and with the weights stored beside it.",
        ) from error


def _channels_last(name: str, shape: Sequence[Any], options: OnnxFaceOptions) -> bool:
    """Whether the input is NHWC, after holding it against the options.

    Args:
        shape: of the input; a number where the file fixes it, else a name or None.
    """
    if len(shape) != 4:
        raise OptionError(f"onnx-face: the input of {name} has {len(shape)} axes, not 4.", NOT_A_PICTURE)
    last = _guess(name, shape) if options.layout == "auto" else options.layout == "nhwc"
    channels, height, width = (shape[3], *shape[1:3]) if last else shape[1:]
    if isinstance(channels, int) and channels != options.channels:
        raise OptionError(
            f"onnx-face: {name} takes {channels} channels; colour={options.colour} makes {options.channels}.",
            "Set colour to rgb or bgr for 3 channels, to grey for 1.",
        )
    for side in (height, width):
        if isinstance(side, int) and side != options.size:
            raise OptionError(
                f"onnx-face: {name} takes pictures of {width} x {height} pixels, not {options.size} x {options.size}.",
                f"Set -o onnx-face.size={side}." if height == width else "The face crops of mer are square.",
            )
    return last


def _guess(name: str, shape: Sequence[Any]) -> bool:
    first, last = (shape[axis] in (1, 3) for axis in (1, 3))
    if first == last:
        raise OptionError(
            f"onnx-face: the input of {name}, {list(shape)}, does not tell which axis holds the channels.",
            "Say so: -o onnx-face.layout=nchw (or nhwc).",
        )
    return last


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
