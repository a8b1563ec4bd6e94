"""What cannot work is refused when the extractor is made, with both sides of the matter and a hint."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import tiny_model
from mer_core.options import validate
from mer_core.plugin import MissingPackageError, OptionError
from onnx import TensorProto

from mer_plugin_example.extractor import OnnxFace
from mer_plugin_example.options import OnnxFaceOptions


def made(model: Path, **options: Any) -> OnnxFace:
    values = {"model": str(model), "size": 16, **options}
    return OnnxFace(validate(OnnxFaceOptions, values, "onnx-face"), "cpu")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"classes": ["angry", "calm"]}, r"2 classes are named, but tiny\.onnx has 8 outputs"),
        ({"size": 64}, r"takes pictures of 16 x 16 pixels, not 64 x 64\. Set -o onnx-face\.size=16"),
        ({"colour": "grey"}, r"takes 3 channels; colour=grey makes 1"),
        ({"layout": "nhwc"}, r"takes 16 channels; colour=rgb makes 3"),
        ({"tensor": "hidden"}, r"no output called 'hidden'\. Its outputs are logits; .*output=features"),
        ({"tensor": "hiden", "output": "features"}, r"makes no tensor 'hiden'\. There is hidden\."),
        ({"tensor": "maps", "output": "features"}, r"maps of tiny\.onnx has shape \[1, 4, 16, 16\] for 1 pictures"),
        ({"mean": [0.5]}, r"option options: mean has 1 numbers; colour=rgb takes 3"),
        ({"std": [1, 0, 1]}, r"every std must be above zero"),
        ({"colours": "rgb"}, r"did you mean 'colour'"),
    ],
)
def test_options_that_do_not_fit_the_model(model: Path, options: Any, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        made(model, **options)


@pytest.mark.parametrize(
    ("changes", "options", "said"),
    [
        ({"axes": 2}, {}, r"the input of odd\.onnx has 2 axes, not 4"),
        ({"second_input": True}, {}, r"has 2 inputs \(picture, age\)"),
        ({"size": "side", "channels": "planes"}, {}, r"does not tell which axis holds the channels"),
        ({"axes": 2, "kind": TensorProto.DOUBLE}, {}, r"takes tensor\(double\)"),
        ({"head": False}, {"output": "features"}, r"does not end in a fully connected layer \(Gemm or MatMul\)"),
    ],
)
def test_models_of_another_kind(tmp_path: Path, changes: Any, options: Any, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        made(tiny_model.write(tmp_path / "odd.onnx", **changes), **options)


def test_a_convolution_as_classifier_still_gives_its_output(tmp_path: Path) -> None:
    assert made(tiny_model.write(tmp_path / "odd.onnx", head=False)).dim == tiny_model.HIDDEN


def test_no_file_and_no_model(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"there is no file .*Gone\.onnx\. Give one: -o onnx-face\.model"):
        made(tmp_path / "Gone.onnx")
    (tmp_path / "text.onnx").write_text("I am not a model\n")
    with pytest.raises(OptionError, match=r"onnxruntime cannot open .*text\.onnx"):
        made(tmp_path / "text.onnx")


def test_inner_layers_need_onnx(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingPackageError, match=r"needs the package onnx.*pip install onnx"):
        made(model, output="features")
    assert made(model, output="features", tensor="logits").dim == 8
