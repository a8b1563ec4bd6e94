"""Stored features hang on what the model is, not on where it lies."""

from __future__ import annotations

from pathlib import Path

import tiny_model

from mer_plugin_example.options import OnnxFaceOptions


def test_the_content_of_the_model_counts_and_its_place_does_not(tmp_path: Path) -> None:
    one, other = (tiny_model.write(tmp_path / name) for name in ("one.onnx", "other.onnx"))
    before = OnnxFaceOptions(model=one).fingerprint()
    assert OnnxFaceOptions(model=other, batch=7, threads=2).fingerprint() == before
    tiny_model.write(one, batch=1)
    assert OnnxFaceOptions(model=one).fingerprint() != before


def test_weights_beside_the_model_count(tmp_path: Path) -> None:
    file = tiny_model.write(tmp_path / "big.onnx", outside=True)
    before = OnnxFaceOptions(model=file).fingerprint()
    beside = tmp_path / "big.onnx.data"
    beside.write_bytes(beside.read_bytes()[::-1])
    assert OnnxFaceOptions(model=file).fingerprint() != before
