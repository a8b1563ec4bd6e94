"""A network in YuNet's format whose answers are known in closed form: it sees white cells on black.

A cell is a square of 8, 16 or 32 pixels on its stride's grid. Class score: the cell's mean brightness over 255.
Object score: ``SURE``. A cell's box and landmarks are those of ``FACES``, in pixels from its corner.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

STRIDES = (8, 16, 32)
SURE = 0.81
CENTRE = (4.0, 2.0)
SIDES = {8: (48.0, 56.0), 16: (64.0, 72.0), 32: (96.0, 112.0)}
POINTS = np.array([(-6.0, -10.0), (14.0, -10.0), (4.0, 2.0), (-4.0, 14.0), (12.0, 14.0)])
GIVEN = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}


def write_yunet(path: Path, seen: tuple[int, ...] = (8,), without: tuple[str, ...] = (), columns: int = 10) -> Path:
    """Write the network; it sees cells of the strides ``seen`` and gives no output of ``without``."""
    nodes, constants, outputs = [], [], []
    for stride in STRIDES:
        for part, count in GIVEN.items():
            name = f"{part}_{stride}"
            if name in without:
                continue
            count = columns if part == "kps" else count
            weight = np.zeros((count, 3, stride, stride), np.float32)
            if part == "cls" and stride in seen:
                weight[:] = 1 / (3 * stride * stride * 255)
            constants += [
                numpy_helper.from_array(weight, f"{name}_weight"),
                numpy_helper.from_array(_bias(part, stride)[:count], f"{name}_bias"),
                numpy_helper.from_array(np.array([1, -1, count], np.int64), f"{name}_shape"),
            ]
            nodes += [
                helper.make_node(
                    "Conv", ["input", f"{name}_weight", f"{name}_bias"], [f"{name}_map"], strides=[stride, stride]
                ),
                helper.make_node("Transpose", [f"{name}_map"], [f"{name}_rows"], perm=[0, 2, 3, 1]),
                helper.make_node("Reshape", [f"{name}_rows", f"{name}_shape"], [name]),
            ]
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, None, count]))
    picture = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 640, 640])
    graph = helper.make_graph(nodes, "tiny-yunet", [picture], outputs, constants)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=7), str(path))
    return path


def _bias(part: str, stride: int) -> np.ndarray:
    """What every place of that stride gives, in the units of YuNet's outputs."""
    if part == "obj":
        return np.array([SURE], np.float32)
    if part == "bbox":
        return np.array([*np.array(CENTRE) / stride, *np.log(np.array(SIDES[stride]) / stride)], np.float32)
    return (POINTS.reshape(-1) / stride if part == "kps" else np.zeros(1)).astype(np.float32)
