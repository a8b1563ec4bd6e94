"""What the extractor computes, held against sums done by hand and with numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_model
from mer_core.plugin import Features, Frames, Missing, Sample
from numpy.typing import NDArray
from onnx import TensorProto

from mer_plugin_example.extractor import OnnxFace
from mer_plugin_example.model import providers
from mer_plugin_example.options import OnnxFaceOptions

SIZE = 16
COLOUR = (51, 102, 204)
"""Red .2, green .4, blue .8."""
HIDDEN = [0.6, 0.0, 0.0, 0.6]
"""Of that colour: blue - red, green - blue (below zero), red - green (below zero), blue - red again."""


def extractor(model: Path, **options: Any) -> OnnxFace:
    return OnnxFace(OnnxFaceOptions(model=model, **{"size": SIZE, **options}), "cpu")


def one_colour(count: int = 1) -> NDArray[np.uint8]:
    return np.broadcast_to(np.array(COLOUR, np.uint8), (count, SIZE, SIZE, 3))


def noise(count: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)


def clip(images: NDArray[np.uint8], name: str = "a") -> Sample:
    times = np.arange(len(images)) / 5
    return Sample(name, {"frames": Frames(images, times, np.ones(len(images), np.float32))})


def rows(model: Path, images: NDArray[np.uint8], **options: Any) -> NDArray[np.float32]:
    (found,) = extractor(model, **options).extract([clip(images)])
    assert isinstance(found, Features)
    return found.values


def test_logits_by_hand(model: Path) -> None:
    found = rows(model, one_colour(2))
    # Row j of the last layer: .6 j + .6 (j - 3) + j / 10.
    assert found.shape == (2, 8)
    assert found[1] == pytest.approx([1.3 * j - 1.8 for j in range(8)], abs=1e-6)


def test_probabilities_by_hand(model: Path) -> None:
    (found,) = rows(model, one_colour(), output="probabilities")
    powers = np.exp(1.3 * np.arange(8))
    assert found == pytest.approx(powers / powers.sum(), abs=1e-6)


def test_the_layer_before_by_hand(model: Path) -> None:
    (found,) = rows(model, one_colour(), output="features")
    assert found == pytest.approx(HIDDEN, abs=1e-6)


def test_a_named_inner_tensor(model: Path) -> None:
    (found,) = rows(model, one_colour(), output="features", tensor="mean")
    assert found == pytest.approx(HIDDEN, abs=1e-6)


def test_bgr_turns_the_channels_round(model: Path) -> None:
    (found,) = rows(model, one_colour(), output="features", colour="bgr")
    assert found == pytest.approx([0.0, 0.2, 0.4, 0.0], abs=1e-6)


def test_mean_and_deviation_come_after_the_scale(model: Path) -> None:
    (found,) = rows(model, one_colour(), output="features", mean=[0.2, 0.2, 0.2], std=[1.0, 0.5, 0.3])
    assert found == pytest.approx([2.0, 0.0, 0.0, 2.0], abs=1e-6)


def test_grey_and_not_scaled(tmp_path: Path) -> None:
    file = tiny_model.write(tmp_path / "grey.onnx", channels=1)
    (found,) = rows(file, one_colour(), output="features", colour="grey", scale=False)
    grey = 0.299 * 51 + 0.587 * 102 + 0.114 * 204
    assert found == pytest.approx([0.0, 0.0, grey, 0.0], rel=1e-6)


@pytest.mark.parametrize("count", [1, 3, 33])
def test_as_numpy_computes_it(model: Path, count: int) -> None:
    images = noise(count)
    np.testing.assert_allclose(rows(model, images), tiny_model.expected_logits(images / 255), atol=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {"layout": "nhwc"},
        {"batch": 1},
        {"batch": 4},
        {"size": "side", "channels": "planes"},
        {"outside": True},
        {"old": True},
    ],
    ids=["nhwc", "one at a time", "four at a time", "free shape", "weights outside", "old"],
)
@pytest.mark.parametrize("output", ["logits", "features"])
def test_other_exports_of_the_same_model_agree(model: Path, tmp_path: Path, changes: Any, output: str) -> None:
    other = tiny_model.write(tmp_path / "other.onnx", **changes)
    layout = "nchw" if "channels" in changes else "auto"
    images = noise(6)
    np.testing.assert_allclose(
        rows(other, images, output=output, layout=layout), rows(model, images, output=output), atol=1e-6
    )


def test_half_precision(model: Path, tmp_path: Path) -> None:
    half = tiny_model.write(tmp_path / "half.onnx", kind=TensorProto.FLOAT16)
    found = rows(half, noise(3))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, rows(model, noise(3)), atol=0.02)


@pytest.mark.parametrize("options", [{"batch": 1}, {"batch": 5}, {"threads": 2}])
def test_batch_and_threads_change_nothing(model: Path, options: Any) -> None:
    np.testing.assert_allclose(rows(model, noise(12), **options), rows(model, noise(12)), atol=1e-6)


def test_clips_are_computed_by_themselves(model: Path) -> None:
    ready = extractor(model)
    long, short, empty = clip(noise(40), "long"), clip(noise(2, 1), "short"), clip(noise(0), "empty")
    together = ready.extract([short, long, empty])
    (alone,) = ready.extract([short])
    assert isinstance(alone, Features)
    assert isinstance(together[0], Features)
    assert isinstance(together[1], Features)
    assert (together[0].values == alone.values).all()
    assert (together[1].times == long.frames().times).all()
    assert together[2] == Missing("no face")


def test_the_device_chooses_the_provider() -> None:
    both = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    assert providers("cpu", both) == ["CPUExecutionProvider"]
    assert providers("cuda:1", both)[0][1]["device_id"] == 1
    assert providers("cuda", both)[1] == "CPUExecutionProvider"
    assert providers("cuda", both[1:]) == ["CPUExecutionProvider"]
