"""Whisper: valid frames of its encoder, the baseline's decoder reading, windows; on tiny published checkpoints."""

from __future__ import annotations

import json
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperModel

from mer_core.errors import PluginError
from mer_core.plugin import Audio, ExtractorSpec, Failure, Missing, Sample
from mer_core.registry import discover
from mer_core.testing import check_plugin
from mer_plugins.speech import whisper
from mer_plugins.speech.whisper import Whisper

RATE = 16000
TOLERANCE = 1e-4
"""Float32, values of size 1."""


def checkpoint(folder: Path, seconds: int = 30, bands: int = 80) -> Path:
    """A tiny Whisper as the hub has it: the language model's names, safetensors. ``seconds`` is its window."""
    torch.manual_seed(3)
    width = {"d_model": 16, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    depth = {"encoder_layers": 2, "decoder_layers": 2, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24}
    ids = {"vocab_size": 60, "decoder_start_token_id": 50, "pad_token_id": 51, "bos_token_id": 52, "eos_token_id": 52}
    config = WhisperConfig(**width, **depth, **ids, num_mel_bins=bands, max_source_positions=50 * seconds)
    model = WhisperForConditionalGeneration(config)
    for name, weight in model.named_parameters():
        if "encoder.embed_positions" not in name:  # fresh ones are so small that sound hardly matters
            weight.data += 0.1 * torch.randn_like(weight)
    model.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=bands, chunk_length=seconds).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("whisper"))


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With windows of 4 s, which are quicker to compute."""
    return checkpoint(tmp_path_factory.mktemp("whisper-short"), seconds=4)


def make(folder: Path, **values: Any) -> Whisper:
    catalogue = discover()
    options = catalogue.options(ExtractorSpec, "whisper", {"model": str(folder), **values})
    found: Whisper = catalogue.load(ExtractorSpec, "whisper")(options, "cpu")
    return found


def noise(seconds: float, seed: int = 0) -> Any:
    count = round(seconds * RATE)
    rough = np.random.default_rng(seed).standard_normal(count)
    return (0.1 * (1 + np.sin(np.arange(count) / RATE * 3)) * rough).astype(np.float32)


def sample(samples: Any) -> Sample:
    return Sample("clip", {"audio": Audio(np.asarray(samples, np.float32), RATE)})


def naive(folder: Path, wave: Any) -> Any:
    """What the whole model of transformers makes of one clip and two start tokens: a second source."""
    model = WhisperModel.from_pretrained(folder).eval()
    heard = WhisperFeatureExtractor.from_pretrained(folder)(wave, sampling_rate=RATE, return_tensors="pt")
    start = torch.tensor([[1, 1]]) * model.config.decoder_start_token_id
    with torch.inference_mode():
        return model(heard.input_features, decoder_input_ids=start)


@pytest.mark.parametrize("seconds", [0.5, 3.01])
def test_6_6_encoder_over_the_valid_frames(published: Path, seconds: float) -> None:
    wave = noise(seconds)
    found = make(published).extract([sample(wave)])[0]
    frames = ceil(seconds * 50)
    expected = naive(published, wave).encoder_last_hidden_state[0]
    assert expected.shape == (1500, 16)
    np.testing.assert_allclose(found.values, expected[:frames].numpy(), atol=TOLERANCE)
    np.testing.assert_allclose(found.times, np.minimum(0.01 + 0.02 * np.arange(frames), seconds))


def test_6_6_decoder_with_two_start_tokens(published: Path) -> None:
    wave = noise(2.0)
    found = make(published, source="decoder2").extract([sample(wave)])[0]
    assert found.values.shape == (2, 16)
    np.testing.assert_allclose(found.values, naive(published, wave).last_hidden_state[0].numpy(), atol=TOLERANCE)
    np.testing.assert_allclose(found.times, [0.5, 1.5])


def test_6_6_the_decoder_hears_the_first_window_alone(short: Path) -> None:
    extractor, wave = make(short, source="decoder2"), noise(9.0)
    long, cut = extractor.extract([sample(wave), sample(wave[: 4 * RATE])])
    np.testing.assert_allclose(long.values, cut.values, atol=TOLERANCE)
    np.testing.assert_allclose(long.times, [1, 3])


def test_6_6_the_number_of_bands_is_the_checkpoints(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, seconds=2, bands=128)
    wave = noise(1.0)
    expected = naive(folder, wave).encoder_last_hidden_state[0, :50].numpy()
    np.testing.assert_allclose(make(folder).extract([sample(wave)])[0].values, expected, atol=TOLERANCE)
    told = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps(told | {"feature_size": 80}))
    with pytest.raises(PluginError, match=r"128 mel bands, preprocessor_config\.json has 80"):
        make(folder)


@pytest.mark.parametrize(("seconds", "frames"), [(4.0, 200), (4.02, 201), (7.5, 375), (12.0, 600)])
def test_long_sound_goes_in_windows(short: Path, seconds: float, frames: int) -> None:
    """The first frames are those of the first window, the last ones those of a whole window that ends with the clip."""
    wave = noise(seconds)
    found = make(short, overlap=1).extract([sample(wave)])[0]
    assert found.values.shape == (frames, 16)
    assert (np.diff(found.times) > 0).all()
    first = naive(short, wave[: 4 * RATE]).encoder_last_hidden_state[0].numpy()
    np.testing.assert_allclose(found.values[:150], first[:150], atol=TOLERANCE)
    last = naive(short, wave[(frames - 200) * 320 :]).encoder_last_hidden_state[0].numpy()
    np.testing.assert_allclose(found.values[-20:], last[-20:], atol=TOLERANCE)


def test_a_clip_gives_the_same_alone_and_in_a_batch(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(whisper.AT_ONCE, "cpu", 4)
    extractor = make(short)
    clips = [sample(noise(seconds, seed)) for seed, seconds in enumerate((0.4, 6.0, 2.0, 0.03))]
    for clip, found in zip(clips, extractor.extract(clips), strict=True):
        np.testing.assert_allclose(found.values, extractor.extract([clip])[0].values, atol=TOLERANCE)


def test_too_short_silent_and_broken_sound(short: Path) -> None:
    broken = noise(0.5)
    broken[3] = np.inf
    nothing, little, silent, bad = make(short).extract([sample(x) for x in ([], np.zeros(399), np.zeros(800), broken)])
    assert nothing == little == Missing("the sound is shorter than 400 samples")
    assert silent.values.shape == (3, 16)
    assert np.isfinite(silent.values).all()
    assert isinstance(bad, Failure)


def test_a_checkpoint_of_another_kind_is_refused(short: Path) -> None:
    catalogue = discover()
    options = catalogue.options(ExtractorSpec, "hubert", {"model": str(short)})
    with pytest.raises(PluginError, match="holds a whisper, not a hubert"):
        catalogue.load(ExtractorSpec, "hubert")(options, "cpu")


def test_contract(short: Path) -> None:
    cheap = ["dimension", "times", "padding", "silence", "short"]
    report = check_plugin("whisper", options={"model": str(short)}, only=cheap)
    assert report.ok, str(report)
