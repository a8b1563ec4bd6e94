"""VideoMAE: 16 frames, windows, moments and their times; parity with transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from mer_core.errors import MissingWeightsError, PluginError
from mer_core.plugin import ExtractorSpec, FramesInput, Missing
from mer_core.registry import discover
from mer_core.spec import declared_inputs
from mer_core.testing import check_plugin
from mer_plugins.image.weights import VIDEOMAE
from tests.vision_models import SIDE, make, pictures, roughened, sample, save

TOLERANCE = 1e-5
"""Float32 sums in other orders; of values of size 1."""

PICTURES = {
    "feature_extractor_type": "VideoMAEFeatureExtractor",
    "do_center_crop": True,
    "do_normalize": True,
    "do_resize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
    "resample": 2,
    "size": SIDE,
    "crop_size": SIDE,
}


def config(**values: Any) -> Any:
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    decoder = {"decoder_hidden_size": 16, "decoder_num_attention_heads": 2, "decoder_num_hidden_layers": 1}
    return transformers.VideoMAEConfig(**{**sizes, **decoder, "image_size": SIDE, "patch_size": 8, **values})


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As published: a model for pre-training, whose decoder is not needed."""
    torch.manual_seed(2)
    model = roughened(transformers.VideoMAEForPreTraining(config()))
    return save(model, tmp_path_factory.mktemp("videomae"), PICTURES)


def by_transformers(folder: Path, images: Any) -> Any:
    """[8, D] as the MER2024 baseline reads VideoMAE: the mean over the patches of each pair of frames."""
    cls = getattr(transformers, "VideoMAEImageProcessorPil", transformers.VideoMAEImageProcessor)
    told = {key: value for key, value in PICTURES.items() if key != "feature_extractor_type"}
    pixels = torch.from_numpy(np.array(cls(**told)(list(images), return_tensors="np")["pixel_values"]))
    model = transformers.VideoMAEModel.from_pretrained(folder).eval()
    with torch.no_grad():
        tokens = model(pixels.reshape(1, 16, 3, SIDE, SIDE)).last_hidden_state[0]
    return tokens.view(8, (SIDE // 8) ** 2, -1).mean(dim=1).numpy()


def test_7_sixteen_frames_give_eight_moments(tiny: Path) -> None:
    images = pictures(16, (60, 80))
    extractor = make("videomae", tiny)
    found = extractor.extract([sample(images)])[0]
    assert extractor.dim == 32
    np.testing.assert_allclose(found.values, by_transformers(tiny, images), atol=TOLERANCE)
    np.testing.assert_allclose(found.times, (np.arange(8) * 2 + 0.5) / 5)


@pytest.mark.parametrize(
    ("frames", "rows"), [(1, 8), (5, 8), (16, 8), (17, 9), (18, 9), (31, 16), (32, 16), (33, 17), (80, 40)]
)
def test_windows_of_long_clips_count_every_moment_once(tiny: Path, frames: int, rows: int) -> None:
    found = make("videomae", tiny).extract([sample(pictures(frames))])[0]
    assert found.values.shape == (rows, 32)
    assert (np.diff(found.times) >= 0).all()
    assert found.times[-1] <= (frames - 1) / 5 + 1e-9
    if frames >= 16:
        assert np.diff(found.times).max() < 0.401
        assert np.diff(found.times).min() > 0.199


def test_the_last_window_sees_the_frames_before_it(tiny: Path) -> None:
    images = pictures(20)
    found = make("videomae", tiny).extract([sample(images)])[0].values
    np.testing.assert_allclose(found[:8], by_transformers(tiny, images[:16]), atol=TOLERANCE)
    np.testing.assert_allclose(found[8:], by_transformers(tiny, images[4:])[-2:], atol=TOLERANCE)


def test_short_clips_repeat_frames(tiny: Path) -> None:
    images = pictures(5)
    places = [(2 * i + 1) * 5 // 32 for i in range(16)]
    found = make("videomae", tiny).extract([sample(images)])[0]
    np.testing.assert_allclose(found.values, by_transformers(tiny, images[places]), atol=TOLERANCE)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_neither_batches_nor_other_clips_change_features(tiny: Path, batch: int) -> None:
    clips = [pictures(count, seed=count) for count in (16, 3, 0, 40)]
    extractor = make("videomae", tiny, batch=batch)
    together = extractor.extract([sample(clip) for clip in clips])
    assert together[2] == Missing("no frame")
    for place in (0, 1, 3):
        alone = make("videomae", tiny).extract([sample(clips[place])])[0]
        np.testing.assert_allclose(together[place].values, alone.values, atol=TOLERANCE)


def test_7_frames_that_are_asked_for() -> None:
    catalogue = discover()
    spec = catalogue.find(ExtractorSpec, "videomae")
    for values, expected in (
        ({}, FramesInput(count=16, max_side=640)),
        ({"window": 2.0}, FramesInput(fps=8, max_side=640)),
    ):
        options = catalogue.options(ExtractorSpec, "videomae", values)
        assert declared_inputs(spec, options)["frames"] == expected
    assert spec.weights == VIDEOMAE


def test_other_models_are_refused(tmp_path: Path) -> None:
    folder = save(transformers.VideoMAEModel(config(num_frames=8)), tmp_path, PICTURES)
    with pytest.raises(PluginError, match="no VideoMAE for 16 frames"):
        make("videomae", folder)


def test_weights_that_are_not_here_name_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MissingWeightsError, match="mer weights fetch videomae-base"):
        make("videomae", "videomae-base")


def test_contract(tiny: Path) -> None:
    only = ["light-import", "options", "starts", "dimension", "times", "order", "batch-invariance", "finite", "short"]
    report = check_plugin("videomae", options={"model": str(tiny)}, only=only)
    assert report.ok, str(report)
