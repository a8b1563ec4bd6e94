"""HuBERT and its kin: layers, chunks, batches and rates, on tiny checkpoints in the published format."""

from __future__ import annotations

import json
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from mer_core.errors import MissingWeightsError, PluginError
from mer_core.plugin import Audio, AudioInput, ExtractorSpec, Failure, Missing, Sample
from mer_core.registry import discover
from mer_core.spec import declared_inputs
from mer_core.testing import BoundCheck, check_plugin, conformance
from mer_plugins import hf
from mer_plugins.speech.chunks import Grid, by_length, windows
from mer_plugins.speech.encoder import EPSILON, SpeechEncoder, resample
from mer_plugins.speech.encoder_options import EncoderOptions
from mer_plugins.speech.encoder_weights import HUBERT
from mer_plugins.speech.pieces import BUDGET, SLACK, normalised

RATE = 16000
TOLERANCE = 1e-4
"""Float32 sums of other lengths in other orders; of values of size 1 to 10, in five layers."""

SIZE = {"hidden_size": 32, "num_hidden_layers": 5, "num_attention_heads": 4, "intermediate_size": 48}
CONVOLUTIONS = {"conv_dim": [16] * 7, "num_conv_pos_embedding_groups": 4}
NORMS = {
    "group": {"feat_extract_norm": "group", "do_stable_layer_norm": False, "num_conv_pos_embeddings": 32},
    "layer": {
        "feat_extract_norm": "layer",
        "do_stable_layer_norm": True,
        "conv_bias": True,
        "num_conv_pos_embeddings": 32,
    },
    "positions": {"num_conv_pos_embeddings": 5, "conv_pos_kernel_size": 19},
}
LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
LARGE |= {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
"""What chinese-hubert-large has instead of transformers' defaults."""

MODELS = {
    "hubert": ("Hubert", ("group", "layer")),
    "wav2vec2": ("Wav2Vec2", ("group", "layer")),
    "wavlm": ("WavLM", ("group", "layer")),
    "data2vec-audio": ("Data2VecAudio", ("positions",)),
}
FAMILY = [(name, norm) for name, (_, norms) in MODELS.items() for norm in norms]


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """``shelf(name, norm)``: folder of a tiny checkpoint as the hub has it, with the names of older torch."""
    top = tmp_path_factory.mktemp("speech")

    @cache
    def made(name: str, norm: str) -> Path:
        cls, _ = MODELS[name]
        folder = top / f"{name}-{norm}"
        torch.manual_seed(7)
        config = getattr(transformers, f"{cls}Config")(**SIZE, **CONVOLUTIONS, **NORMS[norm])
        model = getattr(transformers, f"{cls}Model")(config).eval()
        for weight in model.parameters():  # fresh ones are so small that layers hardly differ
            weight.data += 0.08 * torch.randn_like(weight)
        model.config.save_pretrained(folder)
        names = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
        state = {_renamed(key, names): value for key, value in model.state_dict().items()}
        torch.save(state, folder / "pytorch_model.bin")
        told = {"do_normalize": True, "feature_size": 1, "padding_side": "right", "padding_value": 0}
        told |= {"return_attention_mask": norm == "layer", "sampling_rate": RATE}
        (folder / "preprocessor_config.json").write_text(json.dumps(told))
        return folder

    return made


def _renamed(key: str, names: dict[str, str]) -> str:
    for new, old in names.items():
        key = key.replace(new, old)
    return key


def make(name: str, folder: Path, **values: Any) -> SpeechEncoder:
    catalogue = discover()
    options = catalogue.options(ExtractorSpec, name, {"model": str(folder), **values})
    found: SpeechEncoder = catalogue.load(ExtractorSpec, name)(options, "cpu")
    return found


def noise(seconds: float, seed: int = 0, rate: int = RATE) -> Any:
    """Sound whose loudness, offset and colour change over time."""
    count = round(seconds * rate)
    rough = np.random.default_rng(seed).standard_normal(count + 20)
    soft = np.convolve(rough, np.ones(4) / 4, "same")[:count]
    return (0.05 + 0.1 * (1 + np.sin(np.arange(count) / rate * 3)) * soft).astype(np.float32)


def sample(samples: Any, rate: int = RATE) -> Sample:
    return Sample("clip", {"audio": Audio(np.asarray(samples, np.float32), rate)})


def naive(folder: Path, wave: Any, layers: int = 4) -> Any:
    """Sum of the last layers as the transformers library gives them for one clip: a second source."""
    prepare = transformers.Wav2Vec2FeatureExtractor.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        heard = prepare(wave, sampling_rate=RATE, return_tensors="pt").input_values
        output = model(heard, output_hidden_states=True)
    return hf.last_layers(output, layers, "sum")[0].numpy()


# 6.1: the frames


@pytest.mark.parametrize(
    ("samples", "frames"), [(160000, 499), (16000, 49), (400, 1), (399, 0), (24000, 74), (0, 0), (719, 1), (720, 2)]
)
def test_6_1_golden_numbers_of_frames(samples: int, frames: int) -> None:
    grid = Grid.of(transformers.HubertConfig())
    assert (grid.window, grid.hop) == (400, 320)
    assert grid.frames(samples) == frames


def test_6_1_one_floor_is_as_good_as_seven() -> None:
    config = transformers.HubertConfig()
    grid = Grid.of(config)
    for samples in range(400, 3000, 7):
        left = samples
        for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
            left = (left - kernel) // stride + 1
        assert grid.frames(samples) == left


def test_6_1_frames_have_the_times_of_their_centres(shelf: Any) -> None:
    found = make("hubert", shelf("hubert", "layer")).extract([sample(noise(1.0))])[0]
    assert found.values.shape == (49, 32)
    np.testing.assert_allclose(found.times, 0.0125 + 0.02 * np.arange(49))


def test_6_1_normalisation_is_over_the_whole_wave(shelf: Any) -> None:
    wave = noise(2.0) + 0.3
    prepare = transformers.Wav2Vec2FeatureExtractor.from_pretrained(shelf("hubert", "layer"))
    expected = prepare(wave, sampling_rate=RATE, return_tensors="np").input_values[0]
    np.testing.assert_allclose(normalised(wave, EPSILON), expected, atol=2e-5)
    by_hand = (wave - wave.mean()) / np.sqrt(wave.var() + 1e-7)
    np.testing.assert_allclose(normalised(wave, EPSILON), by_hand, atol=2e-5)


def test_6_1_sizes_of_the_published_model() -> None:
    """Its configuration, built without memory: as many bytes as the spec says, 49 frames of 1024 in a second."""
    config = transformers.HubertConfig(**LARGE)
    with torch.device("meta"):
        model = transformers.HubertModel(config).eval()
        states = model(torch.zeros(1, RATE), output_hidden_states=True).hidden_states
    known = HUBERT[0]
    assert (known.name, known.dim, known.licence) == ("chinese-hubert-large", 1024, "MIT")
    assert (len(states), states[-1].shape) == (25, (1, 49, 1024))
    assert 4 * sum(one.numel() for one in model.parameters()) == pytest.approx(known.bytes, rel=0.005)
    assert Grid.of(config) == Grid(400, 320)


def test_6_1_names_of_older_and_newer_torch(shelf: Any, tmp_path: Path) -> None:
    """Of the positional convolution's normed weights; the shelf has the older ones."""
    folder, wave = copied(shelf("hubert", "layer"), tmp_path), noise(0.5)
    state = torch.load(folder / "pytorch_model.bin", weights_only=True)
    older = [name for name in state if "weight_g" in name or "weight_v" in name]
    assert len(older) == 2
    for number, end in enumerate(("weight_g", "weight_v")):
        (name,) = (one for one in older if one.endswith(end))
        state[name.replace(end, f"parametrizations.weight.original{number}")] = state.pop(name)
    torch.save(state, folder / "pytorch_model.bin")
    found, expected = (
        make("hubert", one).extract([sample(wave)])[0].values for one in (folder, shelf("hubert", "layer"))
    )
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("asked", [True, False])
def test_6_1_normalisation_is_what_the_checkpoint_says(shelf: Any, tmp_path: Path, asked: bool) -> None:
    folder = copied(shelf("hubert", "layer"), tmp_path)
    wave = noise(0.5)
    told = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps(told | {"do_normalize": asked}))
    found = make("hubert", folder).extract([sample(wave)])[0].values
    np.testing.assert_allclose(found, naive(folder, wave), atol=TOLERANCE)
    other = make("hubert", folder, normalise=not asked).extract([sample(wave)])[0].values
    assert np.abs(other - found).max() > 100 * TOLERANCE


# 6.2: which layers


@pytest.mark.parametrize(("name", "norm"), FAMILY)
def test_6_2_sum_of_the_last_four_layers_as_transformers_gives_it(shelf: Any, name: str, norm: str) -> None:
    folder, wave = shelf(name, norm), noise(1.3)
    found = make(name, folder).extract([sample(wave)])[0]
    expected = naive(folder, wave)
    assert found.values.dtype == np.float32
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(found.values, expected, atol=TOLERANCE)


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_6_2_the_last_layer_is_normed_or_raw_whatever_the_version(shelf: Any, norm: str) -> None:
    """The norm is known from the weights, the raw layer from a hook: no version of hidden_states is asked."""
    folder, wave = shelf("hubert", norm), noise(0.7)
    raw, normed = (
        make("hubert", folder, layers=1, last_layer=which).extract([sample(wave)])[0].values
        for which in ("raw", "normed")
    )
    model = transformers.AutoModel.from_pretrained(folder).eval()
    if norm == "group":
        np.testing.assert_allclose(raw, normed, atol=TOLERANCE)
        return
    with torch.no_grad():
        again = model.encoder.layer_norm(torch.from_numpy(raw)).numpy()
    np.testing.assert_allclose(normed, again, atol=TOLERANCE)
    assert np.abs(raw - normed).max() > 0.1


def test_6_2_the_raw_sum_differs_in_the_last_layer_alone(shelf: Any) -> None:
    folder, wave = shelf("wavlm", "layer"), noise(0.5)
    found = {
        (layers, which): make("wavlm", folder, layers=layers, last_layer=which).extract([sample(wave)])[0].values
        for layers in (1, 4)
        for which in ("raw", "normed")
    }
    gaps = [found[layers, "raw"] - found[layers, "normed"] for layers in (1, 4)]
    np.testing.assert_allclose(*gaps, atol=TOLERANCE)


def test_6_3_the_mean_is_a_quarter_of_the_sum(shelf: Any) -> None:
    wave = noise(0.5)
    total, mean = (
        make("hubert", shelf("hubert", "layer"), combine=how).extract([sample(wave)])[0].values
        for how in ("sum", "mean")
    )
    np.testing.assert_allclose(total, 4 * mean, rtol=1e-5)


def test_more_layers_than_the_model_has_are_refused(shelf: Any) -> None:
    with pytest.raises(PluginError, match="5 hidden layers; 6"):
        make("hubert", shelf("hubert", "layer"), layers=6)
    deepest = make("hubert", shelf("hubert", "layer"), layers=5).extract([sample(noise(0.5))])[0]
    assert deepest.values.shape == (24, 32)


# batches


@pytest.mark.parametrize(("name", "norm"), FAMILY)
def test_6_5_a_clip_gives_the_same_alone_and_in_a_batch(
    shelf: Any, name: str, norm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BUDGET, "cpu", 100 * RATE)
    monkeypatch.setitem(SLACK, "cpu", 1.0)
    extractor = make(name, shelf(name, norm))
    clips = [sample(noise(seconds, seed)) for seed, seconds in enumerate((0.4, 2.0, 0.7, 2.0, 0.03))]
    together = extractor.extract(clips)
    for clip, found in zip(clips, together, strict=True):
        alone = extractor.extract([clip])[0]
        np.testing.assert_allclose(found.values, alone.values, atol=TOLERANCE)
        np.testing.assert_array_equal(found.times, alone.times)


def test_batches_are_of_similar_length_and_bounded() -> None:
    lengths = [10, 100, 95, 50, 52, 9, 100]
    found = list(by_length(lengths, 300, 0.1))
    assert found == [[1, 6, 2], [4, 3], [0, 5]]
    assert list(by_length([500, 1], 300, 0.1)) == [[0], [1]]
    assert list(by_length([], 300, 0.1)) == []


def test_6_8_too_short_silent_and_broken_sound(shelf: Any) -> None:
    extractor = make("hubert", shelf("hubert", "layer"))
    broken = noise(0.5)
    broken[100] = np.nan
    clips = [[], np.zeros(399), np.zeros(400), np.zeros(8000), broken, noise(0.5)]
    empty, short, first, silent, bad, good = extractor.extract([sample(clip) for clip in clips])
    assert empty == short == Missing("the sound is shorter than one frame (400 samples)")
    assert first.values.shape == (1, 32)
    assert np.isfinite(silent.values).all()
    assert isinstance(bad, Failure)
    np.testing.assert_allclose(good.values, extractor.extract([sample(clips[-1])])[0].values, atol=TOLERANCE)


# 6.3: long sound


@pytest.mark.parametrize("frames", [1, 139, 140, 141, 199, 200, 201, 240, 241, 1000])
def test_windows_count_every_frame_once_with_context(frames: int) -> None:
    found = windows(frames, 100, 20)
    counted = [frame for window in found for frame in range(window.keep, window.end)]
    assert counted == list(range(frames))
    assert len({window.last - window.first for window in found}) == 1
    assert (len(found) == 1) == (frames <= 140)
    for window in found:
        assert window.first == 0 or window.keep - window.first >= 20
        assert window.last == frames or window.last - window.end >= 20
        assert range(window.last - window.first)[window.kept] == range(
            window.keep - window.first, window.end - window.first
        )


def test_a_window_sees_the_samples_of_its_frames() -> None:
    grid = Grid(400, 320)
    assert grid.samples(0, 1) == slice(0, 400)
    for first, last in ((0, 7), (5, 9), (100, 800)):
        seen = grid.samples(first, last)
        assert grid.frames(seen.stop - seen.start) == last - first


@pytest.mark.parametrize(
    ("name", "norm"), [("hubert", "layer"), ("wav2vec2", "group"), ("data2vec-audio", "positions")]
)
def test_6_3_long_sound_changes_smoothly_with_its_length(shelf: Any, name: str, norm: str) -> None:
    """From one window to two: nearly the same mean as in one go, and none that jumps, in sound of changing loudness."""
    cut, whole = make(name, shelf(name, norm), chunk=1, overlap=0.5), make(name, shelf(name, norm), chunk=60)
    wave = noise(4.0)
    means = []
    for seconds in (1.9, 1.98, 2.0, 2.02, 2.1, 3.0):
        clip = sample(wave[: round(seconds * RATE)])
        one, other = cut.extract([clip])[0], whole.extract([clip])[0]
        np.testing.assert_array_equal(one.times, other.times)
        means.append((one.values.mean(axis=0), other.values.mean(axis=0)))
    spread = other.values.std()
    steps = [np.abs(b[0] - a[0]).max() / spread for a, b in pairwise(means)]
    assert steps[2] < 3 * max(steps[0], steps[1]) + 0.02
    for one, other in means:
        assert np.abs(one - other).max() < 0.25 * spread


def test_6_3_mertools_chunks_as_the_baseline(shelf: Any) -> None:
    """Normalised whole, cut into 10 s, the last piece padded with zeros to 10 s, all frames kept."""
    folder = shelf("hubert", "layer")
    extractor = make("hubert", folder, chunking="mertools")
    wave = noise(10.2)
    found = extractor.extract([sample(wave)])[0]
    assert found.values.shape == (2 * 499, 32)
    chunks = np.pad(normalised(wave, EPSILON), (0, 320000 - len(wave))).reshape(2, 160000)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        expected = hf.last_layers(model(torch.from_numpy(chunks), output_hidden_states=True), 4, "sum")
    np.testing.assert_allclose(found.values, expected.reshape(998, 32).numpy(), atol=TOLERANCE)
    assert (np.diff(found.times) >= 0).all()
    assert found.times[499] == pytest.approx(10.0125)
    assert found.times[-1] == pytest.approx(10.2)


@pytest.mark.parametrize("seconds", [0.4, 10.0])
def test_6_3_up_to_a_chunk_mertools_is_the_same(shelf: Any, seconds: float) -> None:
    ours, theirs = (make("hubert", shelf("hubert", "layer"), chunking=how) for how in ("overlap", "mertools"))
    clip = sample(noise(seconds))
    one, other = ours.extract([clip])[0], theirs.extract([clip])[0]
    assert len(one.values) == {0.4: 19, 10.0: 499}[seconds]
    np.testing.assert_array_equal(one.values, other.values)
    np.testing.assert_array_equal(one.times, other.times)


# 6.4: 24 kHz


def test_6_4_sound_is_read_at_the_rate_that_options_say(shelf: Any) -> None:
    spec = discover().find(ExtractorSpec, "hubert")
    options = discover().options(ExtractorSpec, "hubert", {"sample_rate": 24000})
    assert isinstance(options, EncoderOptions)
    assert declared_inputs(spec, options) == {"audio": AudioInput(rate=24000)}
    assert declared_inputs(spec, discover().options(ExtractorSpec, "hubert", {})) == dict(spec.inputs)


@pytest.mark.parametrize(("given", "expected"), [(24000, 16000), (240000, 160000), (3, 2), (25, 17)])
def test_6_4_resampled_length(given: int, expected: int) -> None:
    assert len(resample(np.zeros(given, np.float32), 24000)) == expected


def test_6_4_resampling_keeps_a_tone() -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(24000) / 24000).astype(np.float32)
    expected = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    np.testing.assert_allclose(resample(tone, 24000)[100:-100], expected[100:-100], atol=2e-3)


def test_6_4_24_khz_resampled_or_read_as_16_khz(shelf: Any) -> None:
    folder = shelf("hubert", "layer")
    wave = noise(1.0, rate=24000)
    resampled = make("hubert", folder, sample_rate=24000).extract([sample(wave, 24000)])[0]
    literal = make("hubert", folder, sample_rate=24000, read_as="16k").extract([sample(wave, 24000)])[0]
    assert (len(resampled.values), len(literal.values)) == (49, 74)
    np.testing.assert_allclose(literal.values, naive(folder, wave), atol=TOLERANCE)
    np.testing.assert_allclose(np.diff(literal.times), 320 / 24000)  # 75 frames per second
    assert literal.times[-1] == pytest.approx(1, abs=0.02)


# checkpoints


def copied(folder: Path, target: Path) -> Path:
    for file in folder.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


def test_a_checkpoint_of_another_kind_is_refused_with_the_extractor_that_takes_it(shelf: Any) -> None:
    with pytest.raises(PluginError, match="holds a wavlm, not a hubert") as caught:
        make("hubert", shelf("wavlm", "group"))
    assert "extractor wavlm" in str(caught.value.hint)


def test_broken_checkpoints_are_refused_clearly(shelf: Any, tmp_path: Path) -> None:
    folder = copied(shelf("hubert", "group"), tmp_path)
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(PluginError, match=r"preprocessor_config\.json is missing"):
        make("hubert", folder)
    assert make("hubert", folder, normalise=True).dim == 32
    (folder / "preprocessor_config.json").write_text('{"sampling_rate": 8000}')
    with pytest.raises(PluginError, match="8000 Hz"):
        make("hubert", folder)
    (folder / "pytorch_model.bin").write_bytes(b"PK nonsense")
    with pytest.raises(PluginError, match=r"pytorch_model\.bin is cut short"):
        make("hubert", folder, normalise=True)
    (folder / "config.json").write_text("{")
    with pytest.raises(PluginError, match=r"config\.json cannot be read"):
        make("hubert", folder)
    (folder / "config.json").unlink()
    with pytest.raises(PluginError, match=r"config\.json is missing"):
        make("hubert", folder)


def test_weights_that_are_not_here_name_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    for name, expected in (("hubert", "chinese-hubert-large"), ("wavlm", "wavlm-large")):
        catalogue = discover()
        options = catalogue.options(ExtractorSpec, name, {})
        with pytest.raises(MissingWeightsError) as caught:
            catalogue.load(ExtractorSpec, name)(options, "cpu")
        assert f"mer weights fetch {expected}" in str(caught.value.hint)


@pytest.mark.parametrize("name", MODELS)
def test_spec_lists_the_weights_that_options_know(name: str) -> None:
    catalogue = discover()
    spec = catalogue.find(ExtractorSpec, name)
    cls: Any = catalogue.options_class(ExtractorSpec, name)
    assert spec.weights == cls.known
    assert cls().model == spec.weights[0].name
    assert cls.kind == name


# the contract


@conformance("hubert")
def test_contract(check: BoundCheck, shelf: Any) -> None:
    check(options={"model": str(shelf("hubert", "layer"))})


@pytest.mark.parametrize(("name", "norm"), [("wav2vec2", "group"), ("wavlm", "layer"), ("data2vec-audio", "positions")])
def test_contract_of_its_kin(shelf: Any, name: str, norm: str) -> None:
    cheap = ["dimension", "times", "batch-invariance", "padding", "silence", "short"]
    report = check_plugin(name, options={"model": str(shelf(name, norm))}, only=cheap)
    assert report.ok, str(report)


def test_mertools_padding_is_the_fault_that_the_kit_looks_for(shelf: Any) -> None:
    report = check_plugin(
        "hubert",
        options={"model": str(shelf("hubert", "layer")), "chunking": "mertools"},
        expected_failures={"padding": "averages the frames of its padding in, as the MER2024 baseline does"},
        only=["times", "padding"],
    )
    assert report.ok, str(report)
    assert [result.outcome for result in report.results] == ["passed", "expected"], str(report)
