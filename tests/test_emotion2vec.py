"""emotion2vec: parity with its publishers' code, golden numbers, checkpoint formats, padding, windows.

The expected numbers of the parity tests were computed once with FunASR's own modules (funasr/models/emotion2vec at
3c58cb5: AudioEncoder, AltBlock, Decoder1d) on the weights and waves that ``closed_form`` and ``wave`` below make.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from mer_core.errors import PluginError
from mer_core.plugin import Audio, ExtractorSpec, Failure, Missing, Sample
from mer_core.registry import discover
from mer_core.testing import check_plugin
from mer_plugins.speech import pieces
from mer_plugins.speech.emotion2vec import Emotion2vecExtractor
from mer_plugins.speech.emotion2vec_checkpoint import infer
from mer_plugins.speech.emotion2vec_model import Emotion2vec, Shape, slopes

RATE = 16000
TOLERANCE = 2e-5
"""Float32, values of size 1."""

SMALL = {"channels": 8, "width": 24, "heads": 3, "hidden": 96, "extra": 3, "position_groups": 4, "scaled_heads": 3}
TINY = Shape(**SMALL, prenet=2, depth=2, scales=1, classes=9)
A = "modality_encoders.AUDIO."
UNUSED = {f"{A}decoder.blocks.0.0.weight": (4, 6, 7), f"{A}decoder.proj.weight": (24, 4), "_ema.blocks.0.bias": (2,)}


def closed_form(shape: Shape) -> dict[str, Tensor]:
    """Weights under the published names, with values that a formula gives."""
    with torch.device("meta"):
        sizes = {name: tuple(weight.shape) for name, weight in Emotion2vec(shape).state_dict().items()}
    return {name: _values(number, name, sizes[name]) for number, name in enumerate(sorted(sizes))}


def _values(number: int, name: str, size: tuple[int, ...]) -> Tensor:
    waves = np.sin(0.7 * number + np.arange(1, np.prod(size) + 1) ** 1.5).reshape(size)
    if "alibi_scale" in name:
        values = 0.5 + waves  # some are negative, and count as 0
    elif len(size) == 1:
        values = 0.2 * waves + name.endswith("weight")
    else:
        values = waves * (2 / np.prod(size[1:])) ** 0.5
    return torch.from_numpy(values.astype(np.float32))


def save(folder: Path, weights: Mapping[str, Tensor], name: str = "model.pt", **wrap: Any) -> Path:
    """A checkpoint as published: nested under "model", with weights of the decoder that nobody needs here."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = {**weights, **{key: torch.ones(size) for key, size in UNUSED.items()}}
    if name.endswith("safetensors"):
        save_file(whole, folder / name)
    else:
        torch.save(wrap or {"model": whole}, folder / name)
    return folder


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("emotion2vec"), closed_form(TINY))


def make(model: Path, **values: Any) -> Emotion2vecExtractor:
    catalogue = discover()
    options = catalogue.options(ExtractorSpec, "emotion2vec", {"model": str(model), **values})
    found: Emotion2vecExtractor = catalogue.load(ExtractorSpec, "emotion2vec")(options, "cpu")
    return found


def wave(samples: int) -> Any:
    return (0.3 * np.sin(0.01 * np.arange(1, samples + 1) ** 1.3) + 0.05).astype(np.float32)


def sample(samples: Any) -> Sample:
    return Sample("clip", {"audio": Audio(np.asarray(samples, np.float32), RATE)})


PARITY = {
    1: {
        "first": [0.415430, 0.612897, 0.084553, -1.112444, -1.361047, -0.026057],
        "last": [1.530163, -0.782755, -0.202352, -1.006029, 0.068442, 1.251578],
        "every fourth": [0.415430, 0.415143, 0.299931, 0.840987, 0.750539, 0.699861],
        "mean": [0.577507, 0.738716, 0.014571, -1.217826, -1.295839, 0.139400],
        "scores": [0.093378, 0.019967, 0.406910, 0.041308, 0.120912, 0.023280, 0.030957, 0.104307, 0.158982],
        "without 2 and 5": [0.163876, 0.035041, 0.072494, 0.212197, 0.054329, 0.183056, 0.279008],
    },
    4: {
        "first": [0.392267, 0.552340, 0.039963, -1.105907, -1.337628, -0.062181],
        "last": [1.541288, -0.824588, -0.197977, -1.003905, 0.072165, 1.231079],
        "every fourth": [0.392267, 0.396544, 0.280116, 0.823035, 0.729944, 0.688558],
        "mean": [0.559227, 0.689650, -0.017112, -1.211036, -1.282531, 0.105082],
        "scores": [0.093388, 0.019906, 0.407238, 0.041383, 0.122883, 0.023592, 0.030099, 0.104606, 0.156906],
        "without 2 and 5": [0.164077, 0.034974, 0.072707, 0.215898, 0.052882, 0.183787, 0.275674],
    },
}
"""By the rows of ``alibi_scale``: one for all blocks, or one for each."""


@pytest.mark.parametrize("scales", [1, 4])
def test_6_7_parity_with_the_publishers_modules(tmp_path: Path, scales: int) -> None:
    model, expected = save(tmp_path, closed_form(replace(TINY, scales=scales))), PARITY[scales]
    clip = [sample(wave(8000))]
    found = make(model).extract(clip)[0]
    assert found.values.shape == (24, 24)
    np.testing.assert_allclose(found.values[0, :6], expected["first"], atol=TOLERANCE)
    np.testing.assert_allclose(found.values[-1, -6:], expected["last"], atol=TOLERANCE)
    np.testing.assert_allclose(found.values[::4, 0], expected["every fourth"], atol=TOLERANCE)
    utterance = make(model, output="utterance").extract(clip)[0]
    assert utterance.values.shape == (1, 24)
    np.testing.assert_allclose(utterance.values[0, :6], expected["mean"], atol=TOLERANCE)
    np.testing.assert_allclose(utterance.times, [0.25])
    scores = make(model, output="scores").extract(clip)[0]
    np.testing.assert_allclose(scores.values, [expected["scores"]], atol=TOLERANCE)


def test_6_7_classes_called_unused_have_no_score(published: Path, tmp_path: Path) -> None:
    model = save(tmp_path, closed_form(TINY))
    (tmp_path / "tokens.txt").write_text("生气/angry\na\nunuse_0\nb\nc\nunuse_1\nd\ne\n<unk>\n", encoding="utf-8")
    extractor = make(model, output="scores")
    assert extractor.dim == 7
    found = extractor.extract([sample(wave(8000))])[0]
    np.testing.assert_allclose(found.values, [PARITY[1]["without 2 and 5"]], atol=TOLERANCE)
    np.testing.assert_allclose(found.values.sum(), 1, atol=1e-6)
    (tmp_path / "tokens.txt").write_text("angry\nhappy\n")
    with pytest.raises(PluginError, match=r"has 9 classes, and .*tokens\.txt names 2"):
        make(model, output="scores")


def test_6_7_scores_need_a_classifier(tmp_path: Path) -> None:
    model = save(tmp_path / "none", closed_form(replace(TINY, classes=0)))
    assert make(model, output="utterance").dim == 24
    with pytest.raises(PluginError, match=r"has no classifier \(proj\.weight\)"):
        make(model, output="scores")
    with pytest.raises(PluginError, match=r"has 12 classes, and .*tokens\.txt is missing"):
        make(save(tmp_path / "more", closed_form(replace(TINY, classes=12))), output="scores")


def test_6_7_slopes_of_twelve_heads() -> None:
    expected = [2.0**-k for k in range(1, 9)] + [0.707107, 0.353553, 0.176777, 0.088388]
    np.testing.assert_allclose(slopes(12), expected, atol=1e-6)
    np.testing.assert_allclose(slopes(16)[:2], [0.707107, 0.5], atol=1e-6)


def test_6_7_size_of_the_base_model() -> None:
    """93.8 M with the decoder of the pre-training: four convolutions of 384 channels, 16 groups, and a projection."""
    with torch.device("meta"):
        model = Emotion2vec(Shape())
    own = sum(weight.numel() for weight in model.parameters())
    decoder = 384 * (768 // 16) * 7 + 3 * 384 * (384 // 16) * 7 + 4 * 384 + 384 * 768 + 768
    assert own == 93_171_212
    assert own + decoder == 93_790_988
    assert len(model.state_dict()) == 183
    with torch.device("meta"):
        assert len(Emotion2vec(Shape(classes=9)).state_dict()) + 10 == 195  # ten of them the decoder's
    assert model.state_dict()[f"{A}relative_positional_encoder.5.0.weight"].shape == (768, 48, 19)
    assert model.state_dict()["blocks.7.attn.qkv.weight"].shape == (2304, 768)


@pytest.mark.parametrize(
    "shape",
    [
        Shape(),
        Shape(width=1024, heads=16, hidden=4096, prenet=4, depth=16, scaled_heads=16, classes=9),
        Shape(width=1024, heads=16, hidden=4096, prenet=8, depth=16, scales=24, scaled_heads=1),
    ],
)
def test_6_7_the_weights_tell_the_shape(shape: Shape) -> None:
    with torch.device("meta"):
        weights = Emotion2vec(shape).state_dict()
    assert infer(weights, Path("model.pt")) == shape


@pytest.mark.parametrize("samples", [400, 719, 720, 16000, 23456])
def test_6_7_fifty_frames_a_second(published: Path, samples: int) -> None:
    found = make(published).extract([sample(wave(samples))])[0]
    frames = (samples - 400) // 320 + 1
    assert found.values.shape == (frames, 24)
    np.testing.assert_allclose(found.times, 0.0125 + 0.02 * np.arange(frames))


def test_6_7_short_silent_and_broken_sound(published: Path) -> None:
    broken = wave(900)
    broken[7] = np.nan
    clips = [sample(x) for x in ([], wave(399), np.zeros(900), broken)]
    nothing, little, silent, bad = make(published).extract(clips)
    assert nothing == little == Missing("the sound is shorter than one frame (400 samples)")
    assert np.isfinite(silent.values).all()
    assert isinstance(bad, Failure)


def test_6_7_the_whole_waveform_is_normalised(published: Path) -> None:
    clip = wave(8000)
    plain = make(published).extract([sample(clip), sample(0.5 * clip - 0.2)])
    np.testing.assert_allclose(plain[0].values, plain[1].values, atol=5e-3)  # eps counts a little
    ready = (clip - clip.mean(dtype=float)) / np.sqrt(clip.var(dtype=float) + 1e-5)
    given = make(published, normalise=False).extract([sample(ready)])[0]
    np.testing.assert_allclose(plain[0].values, given.values, atol=TOLERANCE)


def test_6_8_a_clip_gives_the_same_alone_and_in_a_batch(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pieces.SLACK, "cpu", 0.99)
    extractor = make(published)
    sizes: list[tuple[int, ...]] = []
    extractor.model.register_forward_pre_hook(lambda model, given: sizes.append(tuple(given[0].shape)))
    clips = [sample(wave(samples)) for samples in (400, 9000, 20000, 8192, 300)]
    together = extractor.extract(clips)
    assert sizes == [(4, 61 * 320 + 400)]  # what its 62 frames see
    for clip, found in zip(clips[:4], together, strict=False):
        np.testing.assert_allclose(found.values, extractor.extract([clip])[0].values, atol=TOLERANCE)
    assert isinstance(together[4], Missing)


def test_6_8_bounded_windows_over_long_sound(published: Path) -> None:
    """Every frame once, none computed with more than a window of sound, and the first as without windows."""
    extractor = make(published, chunk=1, overlap=1)
    longest: list[int] = []
    extractor.model.register_forward_pre_hook(lambda model, given: longest.append(given[0].shape[1]))
    clip = wave(10 * RATE)
    found = extractor.extract([sample(clip)])[0]
    assert found.values.shape == (499, 24)
    assert max(longest) == 149 * 320 + 400
    whole = (clip - clip.mean(dtype=float)) / np.sqrt(clip.var(dtype=float) + 1e-5)
    first = make(published, normalise=False).extract([sample(whole[: 149 * 320 + 400])])[0]
    np.testing.assert_allclose(found.values[:100], first.values[:100], atol=TOLERANCE)
    mean = make(published, chunk=1, overlap=1, output="utterance").extract([sample(clip)])[0]
    np.testing.assert_allclose(mean.values[0], found.values.mean(axis=0), atol=TOLERANCE)


@pytest.mark.parametrize(
    ("name", "wrap", "prefix"),
    [
        ("model.pt", ("model",), ""),
        ("emotion2vec_base.pt", ("model",), "module."),
        ("pytorch_model.bin", ("state_dict",), "d2v_model."),
        ("other.pt", ("model_state_dict",), "module.d2v_model."),
        ("plain.pt", (), ""),
        ("nested.pt", ("state_dict", "model"), ""),
        ("model.safetensors", (), "d2v_model."),
    ],
)
def test_6_8_nesting_and_prefixes(published: Path, tmp_path: Path, name: str, wrap: Any, prefix: str) -> None:
    weights: Any = {prefix + key: value.double() for key, value in closed_form(TINY).items()}
    if name.endswith("safetensors"):
        save_file(weights, tmp_path / name)
    else:
        weights["_ema"] = {"blocks.0.norm1.weight": torch.ones(1)}
        for key in reversed(wrap):
            weights = {key: weights, "epoch": 3}
        torch.save(weights, tmp_path / name)
    clip = [sample(wave(2000))]
    expected = make(published).extract(clip)[0].values
    for place in (tmp_path, tmp_path / name):
        np.testing.assert_allclose(make(place).extract(clip)[0].values, expected, atol=TOLERANCE)


def test_6_8_a_scale_saved_with_four_axes(published: Path, tmp_path: Path) -> None:
    weights = closed_form(TINY)
    weights[f"{A}alibi_scale"] = weights[f"{A}alibi_scale"][0]
    clip = [sample(wave(2000))]
    found = make(save(tmp_path, weights)).extract(clip)[0]
    np.testing.assert_allclose(found.values, make(published).extract(clip)[0].values)


@pytest.mark.parametrize(
    "lost",
    ["blocks.1.attn.qkv.bias", f"{A}alibi_scale", f"{A}context_encoder.norm.weight", f"{A}project_features.2.bias"],
)
def test_weights_that_are_needed_and_missing(tmp_path: Path, lost: str) -> None:
    weights = closed_form(TINY)
    del weights[lost]
    with pytest.raises(PluginError, match=f"{lost.replace('.', '[.]')} is missing"):
        make(save(tmp_path, weights))


def test_weights_of_something_else(tmp_path: Path) -> None:
    weights = closed_form(TINY)
    with pytest.raises(PluginError, match="no emotion2vec that can be loaded: blocks"):
        make(save(tmp_path / "other", {"encoder.weight": torch.ones(3)}))
    front = f"{A}local_encoder.conv_layers"
    with pytest.raises(PluginError, match=r"convolutions of \[8, 3, 3"):
        make(save(tmp_path / "convolutions", weights | {f"{front}.0.0.weight": torch.ones(8, 1, 8)}))
    with pytest.raises(PluginError, match=r"blocks\.1\.mlp\.fc1\.weight .*has another shape"):
        make(save(tmp_path / "shape", weights | {"blocks.1.mlp.fc1.weight": torch.ones(40, 24)}))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for name, content in (("model.pt", b"PK nothing"), ("model.safetensors", b"12345678{}")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(PluginError, match=rf"{name} is (cut short|not in the format)"):
            make(tmp_path / name)
    torch.save({"model": Path("a pickled object")}, tmp_path / "object.pt")
    with pytest.raises(PluginError, match="holds code"):
        make(tmp_path / "object.pt")
    torch.save([1], tmp_path / "list.pt")
    with pytest.raises(PluginError, match="holds no weights by name"):
        make(tmp_path / "list.pt")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "readme").touch()
    with pytest.raises(PluginError, match="holds no weights of emotion2vec"):
        make(tmp_path / "folder")


def test_half_precision_stays_close(published: Path) -> None:
    clip = [sample(wave(8000))]
    found = make(published, precision="bfloat16").extract(clip)[0].values
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, make(published).extract(clip)[0].values, atol=0.15)


def test_contract(published: Path) -> None:
    cheap = ["starts", "dimension", "times", "finite", "batch-invariance", "padding", "silence", "short"]
    report = check_plugin("emotion2vec", options={"model": str(published)}, only=cheap)
    assert report.ok, str(report)
