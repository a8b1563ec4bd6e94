"""Inner tensors. onnxruntime returns declared outputs only; ``onnx`` declares one more, in memory."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from mer_core.plugin import MissingPackageError, OptionError

LAYERS = ("Gemm", "MatMul")
"""Operators of a fully connected layer."""


def with_output(model: Path, tensor: str) -> tuple[bytes, str]:
    """The model with ``tensor`` among its outputs, and that tensor's name; empty for the penultimate one.

    Raises:
        MissingPackageError: ``onnx`` is not installed.
        OptionError: no such tensor, or none to be found.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingPackageError(
            "onnx-face: reading a layer inside a model needs the package onnx, which is not installed.",
            "Run: pip install onnx",
        ) from error
    proto = onnx.load(model)
    made = [name for node in proto.graph.node for name in node.output if name]
    chosen = tensor or penultimate(proto.graph, model.name)
    if chosen not in made:
        close = difflib.get_close_matches(chosen, made, n=1) or made[-3:]
        raise OptionError(f"onnx-face: {model.name} makes no tensor {chosen!r}.", f"There is {', '.join(close)}.")
    proto.graph.output.append(onnx.ValueInfoProto(name=chosen))
    return proto.SerializeToString(), chosen


def penultimate(graph: Any, name: str) -> str:
    """What goes into the last fully connected layer on the way to the first output.

    Raises:
        OptionError: there is no such layer, or it reads the picture itself.
    """
    live = _depends_on_input(graph)
    makers = {output: node for node in graph.node for output in node.output}
    waiting = [graph.output[0].name]
    while waiting:
        node = makers.get(waiting.pop(0))
        if node is None:
            continue
        data = [tensor for tensor in node.input if tensor in live]
        if node.op_type in LAYERS and data and data[0] in makers:
            return str(data[0])
        waiting += data
    raise OptionError(
        f"onnx-face: {name} does not end in a fully connected layer ({' or '.join(LAYERS)}).",
        "Name the tensor: -o onnx-face.tensor=NAME.",
    )


def _depends_on_input(graph: Any) -> set[str]:
    """Names of the tensors that a picture changes; the others are weights. Nodes come in order."""
    weights = {entry.name for entry in graph.initializer}
    live = {entry.name for entry in graph.input} - weights
    for node in graph.node:
        if live.intersection(node.input):
            live.update(node.output)
    return live
