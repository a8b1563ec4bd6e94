"""A tiny face classifier: 1x1 convolution -> relu -> mean over the picture -> fully connected -> 8 logits.

Its weights are small whole numbers, so that a picture of one colour is worked out by hand.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

HIDDEN, LOGITS = 4, 8


def kernel(channels: int = 3) -> NDArray[Any]:
    """[4, C]: -1, 0 and 1 in turn."""
    return np.array([[(k + c) % 3 - 1 for c in range(channels)] for k in range(HIDDEN)], np.float32)


def weights() -> NDArray[Any]:
    """[8, 4]: row minus column."""
    return np.array([[j - k for k in range(HIDDEN)] for j in range(LOGITS)], np.float32)


def bias() -> NDArray[Any]:
    """[8]: tenths."""
    return np.arange(LOGITS, dtype=np.float32) / 10


def expected_hidden(pictures: NDArray[Any]) -> NDArray[Any]:
    """[N, 4] for float pictures [N, H, W, C], with numpy."""
    return np.maximum(pictures @ kernel(pictures.shape[-1]).T, 0).mean((1, 2))


def expected_logits(pictures: NDArray[Any]) -> NDArray[Any]:
    """[N, 8]."""
    return expected_hidden(pictures) @ weights().T + bias()


def write(
    path: Path,
    *,
    size: int | str = 16,
    channels: int | str = 3,
    layout: str = "nchw",
    batch: int | str = "faces",
    kind: int = TensorProto.FLOAT,
    axes: int = 4,
    head: bool = True,
    second_input: bool = False,
    outside: bool = False,
    old: bool = False,
) -> Path:
    """Save the model, or one that differs from it in what is named.

    ``old``: as CNTK wrote them (FER+ is one), weights among the inputs and reshaped before they are used.
    """
    planes = channels if isinstance(channels, int) else 3
    shape = [batch, channels, size, size] if layout == "nchw" else [batch, size, size, channels]
    entry = "picture" if layout == "nchw" else "planes"
    nodes = [] if layout == "nchw" else [helper.make_node("Transpose", ["picture"], [entry], perm=[0, 3, 1, 2])]
    nodes += [
        helper.make_node("Conv", [entry, "kernel"], ["maps"]),
        helper.make_node("Relu", ["maps"], ["active"]),
        helper.make_node("GlobalAveragePool", ["active"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["hidden"]),
    ]
    if old:
        nodes.append(helper.make_node("Reshape", ["turned", "shape"], ["turned weights"]))
        nodes.append(helper.make_node("MatMul", ["hidden", "turned weights"], ["scores"]))
        nodes.append(helper.make_node("Add", ["scores", "bias"], ["logits"]))
    elif head:
        nodes.append(helper.make_node("Gemm", ["hidden", "weights", "bias"], ["logits"], transB=1))
    if axes != 4:
        nodes, shape = [helper.make_node("Gemm", ["picture", "weights", "bias"], ["logits"], transB=1)], [batch, HIDDEN]
    inputs = [helper.make_tensor_value_info("picture", kind, shape)]
    if second_input:
        inputs.append(helper.make_tensor_value_info("age", kind, [1]))
        nodes.append(helper.make_node("Add", ["logits", "age"], ["older"]))
    last = "older" if second_input else "logits" if head else "mean"
    output = helper.make_tensor_value_info(last, kind, None)
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    stored = {"kernel": kernel(planes)[..., None, None].astype(dtype), "weights": weights().astype(dtype)}
    stored |= {"bias": bias().astype(dtype), "turned": weights().T.ravel(), "shape": np.array([HIDDEN, LOGITS])}
    used = {name for node in nodes for name in node.input}
    tensors = [numpy_helper.from_array(value, name) for name, value in stored.items() if name in used]
    if old:
        inputs += [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in tensors]
    graph = helper.make_graph(nodes, "tiny", inputs, [output], tensors)
    opset, version = (8, 3) if old else (13, 8)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=version)
    onnx.save(model, path, save_as_external_data=outside, location=f"{path.name}.data", size_threshold=0)
    return path


if __name__ == "__main__":
    write(Path(sys.argv[1]))
