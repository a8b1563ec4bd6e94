"""What this package offers. Light: importing it loads neither numpy nor onnxruntime."""

from __future__ import annotations

from collections.abc import Iterable

from mer_core.plugin import ExtractorSpec, FramesInput, PluginSpec, hookimpl

ONNX_FACE = ExtractorSpec(
    name="onnx-face",
    target="mer_plugin_example.extractor:OnnxFace",
    options="mer_plugin_example.options:OnnxFaceOptions",
    summary="any ONNX image classifier over aligned faces: logits, probabilities or the layer before",
    modality="image",
    inputs={"frames": FramesInput(fps=5, faces=True, size=224)},
    requires=("onnxruntime",),
    install="pip install onnxruntime",
    weights_licence="that of the model file you give",
)


@hookimpl
def mer_specs() -> Iterable[PluginSpec]:
    """What this package offers."""
    return [ONNX_FACE]
