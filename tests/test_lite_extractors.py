"""The four extractors of the lite preset: what they measure, and that nothing upsets them."""

from __future__ import annotations

import csv
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mer_core.errors import OptionError
from mer_core.options import describe
from mer_core.registry import discover
from mer_core.spec import ExtractorSpec, declared_inputs
from mer_core.types import Audio, Failure, Features, Frames, Missing, Sample, Text
from mer_plugins.image.hog import HogOptions
from mer_plugins.speech.acoustic import RATE, Acoustic, AcousticOptions
from mer_plugins.speech.pitch import yin
from mer_plugins.text.ngram import Ngram, NgramOptions, grams
from mer_plugins.video.motion import Motion, MotionOptions

NAMES = ("acoustic", "hog", "motion", "ngram")
CHINESE = "真是气死我了！你怎么敢这样？！"


def make(name: str, **values: Any) -> Any:
    """An extractor by its registry name, as the engine builds it."""
    catalogue = discover()
    options = catalogue.options(ExtractorSpec, name, values)
    return catalogue.load(ExtractorSpec, name)(options, "cpu")


def sound(samples: Any) -> Sample:
    return Sample("clip", {"audio": Audio(np.asarray(samples, np.float32), RATE)})


def pictures(images: Any, fps: float = 5.0) -> Sample:
    array = np.asarray(images, np.uint8)
    return Sample("clip", {"frames": Frames(array, np.arange(len(array)) / fps)})


def words(content: str) -> Sample:
    return Sample("clip", {"text": Text(content)})


def tone(hertz: float, seconds: float = 1.0, loudness: float = 0.3) -> Any:
    """A buzz with the first ten harmonics of ``hertz``."""
    time = np.arange(round(seconds * RATE)) / RATE
    return loudness * sum(np.sin(2 * np.pi * k * hertz * time) / k for k in range(1, 11)) / 2


def texture(height: int = 90, width: int = 160, seed: int = 0) -> Any:
    """A smooth random picture uint8 [height, width, 3] that repeats at its borders."""
    rough = np.random.default_rng(seed).standard_normal((height, width))
    soft = sum(np.roll(rough, (dy, dx), (0, 1)) for dy in range(-3, 4) for dx in range(-3, 4))
    grey = np.clip(128 + 8 * soft, 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def some(name: str, seed: int) -> Sample:
    """An ordinary input of the extractor ``name``; other seeds give other lengths and contents."""
    rng = np.random.default_rng(seed)
    if name == "acoustic":
        return sound(
            tone(120 + 10 * seed, 0.4 + 0.1 * seed) + 0.01 * rng.standard_normal(round((0.4 + 0.1 * seed) * RATE))
        )
    if name == "ngram":
        return words([CHINESE, "How dare you!", "今天 nice 天气", "Kids are talking by the door"][seed % 4])
    size = 128 if name == "hog" else 96
    return pictures([np.roll(texture(size, size, seed), 3 * t, 1) for t in range(3 + seed)])


@pytest.mark.parametrize("name", NAMES)
def test_spec_and_class_agree(name: str) -> None:
    catalogue = discover()
    spec = catalogue.find(ExtractorSpec, name)
    cls = catalogue.options_class(ExtractorSpec, name)
    assert declared_inputs(spec, cls()) == dict(spec.inputs)
    assert all(description for *_, description in describe(cls))
    found = make(name).extract([some(name, 0)])[0]
    assert isinstance(found, Features)
    assert found.level == spec.level
    assert found.dim == make(name).dim


@pytest.mark.parametrize("name", NAMES)
def test_unknown_option_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match=name):
        make(name, colour="red")


@pytest.mark.parametrize("name", NAMES)
def test_a_clip_gives_the_same_alone_in_a_batch_and_in_threads(name: str) -> None:
    samples = [some(name, seed) for seed in range(4)]
    together = make(name).extract(samples)
    with ThreadPoolExecutor(4) as pool:
        alone = list(pool.map(lambda sample: make(name).extract([sample])[0], samples))
    for a, b in zip(together, alone, strict=True):
        assert a.values.dtype == np.float32
        assert np.isfinite(a.values).all()
        np.testing.assert_array_equal(a.values, b.values)
        if a.times is not None:
            assert a.times.dtype == np.float64
            assert len(a.times) == len(a.values)
            assert (np.diff(a.times) > 0).all()
            np.testing.assert_array_equal(a.times, b.times)


@pytest.mark.parametrize(
    ("name", "values", "dim"),
    [
        ("acoustic", {}, 106),
        ("acoustic", {"n_mels": 64, "n_mfcc": 20, "activity_db": None, "fmin": 50}, 151),
        ("hog", {}, 576),
        ("hog", {"size": 64, "cells": 4, "bins": 6, "fps": 10}, 96),
        ("motion", {}, 78),
        ("motion", {"grid": 2, "side": 64}, 30),
        ("ngram", {}, 512),
        ("ngram", {"dim": 100, "characters": 1, "words": 1}, 100),
    ],
)
def test_options_set_the_dimension(name: str, values: dict[str, Any], dim: int) -> None:
    extractor = make(name, **values)
    assert extractor.dim == dim
    assert extractor.extract([some(name, 1)])[0].dim == dim


def test_options_compute_the_inputs() -> None:
    assert HogOptions(fps=10, size=64).inputs()["frames"].fps == 10  # type: ignore[union-attr]
    assert HogOptions(fps=10, size=64).inputs()["frames"].size == 64  # type: ignore[union-attr]
    assert MotionOptions(fps=2).inputs()["frames"].fps == 2  # type: ignore[union-attr]


# acoustic


@pytest.fixture(scope="module")
def acoustic() -> Acoustic:
    return Acoustic(AcousticOptions(), "cpu")


@pytest.mark.parametrize("hertz", [80.0, 123.4, 220.0, 440.0])
def test_yin_finds_the_pitch_of_a_buzz(hertz: float) -> None:
    frames = np.lib.stride_tricks.sliding_window_view(tone(hertz).astype(np.float32), 1024)[::160]
    f0, aperiodicity = yin(frames, RATE, 65, 500)
    np.testing.assert_allclose(f0, hertz, rtol=0.005)
    assert aperiodicity.max() < 0.05


def test_yin_calls_noise_and_silence_aperiodic_and_refuses_short_frames() -> None:
    noise = np.random.default_rng(0).standard_normal((50, 1024)).astype(np.float32)
    assert np.median(yin(noise, RATE, 65, 500)[1]) > 0.5
    f0, aperiodicity = yin(np.zeros((3, 1024), np.float32), RATE, 65, 500)
    assert np.isfinite(f0).all()
    assert (aperiodicity == 1).all()
    with pytest.raises(ValueError, match="too few"):
        yin(noise[:, :400], RATE, 65, 500)


def test_prosody_is_in_semitones_and_decibels(acoustic: Acoustic) -> None:
    low, high, loud = acoustic.extract([sound(tone(150)), sound(tone(300)), sound(tone(150, loudness=0.6))])
    melody, voiced, _, level = (low.values[20:-20, -14 + k] for k in range(4))
    np.testing.assert_allclose(melody, 0, atol=0.1)
    assert (voiced == 1).all()
    np.testing.assert_allclose(high.values[20:-20, -14], 12, atol=0.1)
    np.testing.assert_allclose(loud.values[20:-20, -11] - level, 20 * np.log10(2), atol=0.01)


def test_a_rising_voice_has_a_rising_melody(acoustic: Acoustic) -> None:
    phase = 2 * np.pi * np.cumsum(150 * 2 ** np.linspace(0, 1, RATE)) / RATE
    found = acoustic.extract([sound(0.3 * np.sin(phase) + 0.1 * np.sin(2 * phase))])[0]
    np.testing.assert_allclose(found.values[20:-20, -6], 0.12, atol=0.01)  # 12 semitones in 100 frames


def test_pauses_are_left_out_of_the_time_axis(acoustic: Acoustic) -> None:
    pause = np.zeros(RATE // 2)
    whole = np.concatenate([pause, tone(200, 0.5), pause, tone(200, 0.5), pause])
    times = acoustic.extract([sound(whole)])[0].times
    assert times.min() == pytest.approx(0.5, abs=0.03)
    assert times.max() == pytest.approx(2.0, abs=0.03)
    assert not ((times > 1.05) & (times < 1.45)).any()
    everything = Acoustic(AcousticOptions(activity_db=None), "cpu").extract([sound(whole)])[0]
    np.testing.assert_allclose(everything.times, np.arange(251) / 100)


@pytest.mark.parametrize("count", [1, 2, 160, 320, 800, RATE])
def test_short_sound_is_measured(acoustic: Acoustic, count: int) -> None:
    found = acoustic.extract([sound(tone(150, 2)[100 : 100 + count])])[0]
    assert isinstance(found, Features)
    assert np.isfinite(found.values).all()


def test_odd_sound_never_gives_numbers_that_are_none(acoustic: Acoustic) -> None:
    noise = np.random.default_rng(0).uniform(-1, 1, RATE)
    click = np.zeros(RATE)
    click[RATE // 2] = 1
    for odd in (noise, click, np.ones(RATE), np.full(RATE, -1.0), np.sign(noise), 2e-4 * noise):
        assert np.isfinite(acoustic.extract([sound(odd)])[0].values).all()


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros(RATE), np.full(RATE, 3e-5)])
def test_silence_is_missing(acoustic: Acoustic, samples: Any) -> None:
    assert acoustic.extract([sound(samples)]) == [Missing("the sound is silent")]


def test_samples_that_are_not_numbers_are_a_failure(acoustic: Acoustic) -> None:
    good = sound(tone(150))
    found = acoustic.extract([good, sound([0.1, np.nan, 0.1]), good])
    assert [type(one) for one in found] == [Features, Failure, Features]


def test_a_long_recording_is_measured_in_blocks_without_seams(acoustic: Acoustic) -> None:
    long = acoustic.extract([sound(np.tile(tone(200, 1), 60))])[0]
    assert long.times[-1] == 60.0
    assert len(long.values) == len(long.times) == 6001
    np.testing.assert_allclose(long.values[2100:2150], long.values[1100:1150], atol=2e-3)


def test_nothing_that_numba_would_compile_is_imported() -> None:
    code = (
        "import sys, numpy as np\n"
        "from mer_core.types import Audio, Sample\n"
        "from mer_plugins.speech.acoustic import Acoustic, AcousticOptions\n"
        "audio = Audio(np.sin(np.arange(8000) / 20).astype('float32'), 16000)\n"
        "Acoustic(AcousticOptions(), 'cpu').extract([Sample('x', {'audio': audio})])\n"
        "print(sorted({'librosa.util.utils', 'librosa.core.audio', 'librosa.core.pitch'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"


# hog


def stripes(period: int, upright: bool, size: int = 128) -> Any:
    wave = (127 + 100 * np.sin(2 * np.pi * np.arange(size) / period)).astype(np.uint8)
    grey = np.tile(wave, (size, 1)) if upright else np.tile(wave[:, None], (1, size))
    return np.repeat(grey[..., None], 3, axis=2)


def test_hog_tells_the_direction_of_edges() -> None:
    upright, lying = (make("hog").extract([pictures([stripes(16, up)])])[0].values for up in (True, False))
    bins = [found.reshape(-1, 9).sum(axis=0) for found in (upright, lying)]
    assert set(np.argsort(bins[0])[-2:]) == {0, 8}
    assert np.argmax(bins[1]) == 4
    assert np.abs(upright - lying).mean() > 0.1


def test_hog_hardly_sees_the_light() -> None:
    face = texture(128, 128)
    bright, dim = (make("hog").extract([pictures([image])])[0].values for image in (face, face // 2))
    assert np.abs(bright - dim).mean() < 0.02


@pytest.mark.parametrize("shape", [(1, 1), (1, 200), (37, 51), (300, 128)])
@pytest.mark.parametrize("name", ["hog", "motion"])
def test_pictures_of_any_shape_are_described(name: str, shape: tuple[int, int]) -> None:
    found = make(name).extract([pictures(np.random.default_rng(0).integers(0, 256, (3, *shape, 3)))])[0]
    assert np.isfinite(found.values).all()
    assert len(found.values) == (3 if name == "hog" else 2)


def test_constant_pictures_are_all_zero() -> None:
    for name in ("hog", "motion"):
        assert not make(name).extract([pictures(np.full((4, 128, 128, 3), 90))])[0].values.any()


def test_no_pictures_are_missing() -> None:
    none, one = np.zeros((0, 128, 128, 3)), np.zeros((1, 128, 128, 3))
    assert make("hog").extract([pictures(none), pictures(one)])[0] == Missing("no face")
    assert make("motion").extract([pictures(none), pictures(one)]) == [Missing("fewer than two frames")] * 2


def test_hog_keeps_the_times_of_the_crops() -> None:
    found = make("hog").extract([pictures([texture(128, 128)] * 4)])[0]
    np.testing.assert_allclose(found.times, [0, 0.2, 0.4, 0.6])


# motion


def moved(dx: int, dy: int, fps: float = 5.0, size: tuple[int, int] = (128, 128)) -> Any:
    """Features of a picture that moves ``dx``, ``dy`` pixels from frame to frame."""
    images = [np.roll(texture(*size), (dy * t, dx * t), (0, 1)) for t in range(4)]
    return Motion(MotionOptions(), "cpu").extract([pictures(images, fps)])[0]


@pytest.mark.parametrize(("dx", "dy", "direction"), [(4, 0, 0), (0, 4, 2), (-4, 0, 4), (0, -4, 6)])
def test_motion_measures_speed_and_direction(dx: int, dy: int, direction: int) -> None:
    found = moved(dx, dy)
    histogram, whole = found.values[:, 64:72], found.values[:, 72:]
    assert (histogram.argmax(axis=1) == direction).all()
    speed = np.expm1(whole[:, 0]) / 100  # pictures per second
    np.testing.assert_allclose(speed, 4 / 128 * 5, rtol=0.15)
    drift = np.sign(whole[:, 2:4]) * np.expm1(np.abs(whole[:, 2:4])) / 100
    np.testing.assert_allclose(drift.mean(axis=0), np.array([dx, dy]) / 128 * 5, atol=0.025)
    np.testing.assert_allclose(found.times, [0.1, 0.3, 0.5])


def test_motion_knows_where_in_the_picture_it_is() -> None:
    still, moving = texture(128, 128, 1), texture(128, 128, 2)
    images = [np.hstack([still[:, :64], np.roll(moving, 3 * t, 0)[:, 64:]]) for t in range(3)]
    speed = make("motion").extract([pictures(images)])[0].values[:, :64].reshape(-1, 4, 4, 4)[..., 0]
    assert speed[:, :, 3].min() > 2 * speed[:, :, 0].max()


def test_motion_counts_in_seconds_and_in_pictures() -> None:
    slow, fast = moved(4, 0, fps=5), moved(4, 0, fps=10)
    np.testing.assert_allclose(np.expm1(fast.values[:, 72]), 2 * np.expm1(slow.values[:, 72]), rtol=1e-3)
    wide = moved(10, 0, size=(90, 320))
    np.testing.assert_allclose(np.expm1(wide.values[:, 72]), np.expm1(slow.values[:, 72]), rtol=0.2)


def test_two_frames_at_one_time_do_not_divide_by_nothing() -> None:
    frames = Frames(np.stack([texture(64, 64, k) for k in range(3)]), np.array([0.0, 0.0, 0.2]))
    assert np.isfinite(make("motion").extract([Sample("x", {"frames": frames})])[0].values).all()


# ngram


def test_grams_are_of_chinese_characters_and_of_words() -> None:
    assert list(grams("今天好", 3, 2)) == ["c1:今", "c1:天", "c1:好", "c2:今天", "c2:天好", "c3:今天好"]
    assert list(grams("How dare YOU", 3, 2)) == ["w1:how", "w1:dare", "w1:you", "w2:how dare", "w2:dare you"]
    assert list(grams("ＯＫ！！！好……it's", 1, 1)) == ["c1:好", "w1:ok", "w1:!", "w1:.", "w1:it's"]
    assert list(grams("It\u2019s", 1, 1)) == ["w1:it's"]
    assert list(grams("今。天", 2, 1)) == ["c1:今", "c1:天"]


def test_hash_is_the_same_everywhere_and_for_ever() -> None:
    found = Ngram(NgramOptions(), "cpu").extract([words("How dare you!")])[0].values
    golden = {6: -0.378, 8: 0.378, 128: -0.378, 172: 0.378, 354: 0.378, 376: -0.378, 483: 0.378}
    assert {int(k): round(float(found[k]), 4) for k in np.flatnonzero(found)} == golden


@pytest.mark.parametrize("content", ["", " \n\t", "……", "?!", "，。"])
def test_text_without_words_is_missing(content: str) -> None:
    assert make("ngram").extract([words(content)]) == [Missing("no words")]


def test_likeness_of_texts() -> None:
    def like(a: str, b: str) -> float:
        one, other = (found.values for found in make("ngram").extract([words(a), words(b)]))
        assert np.linalg.norm(one) == pytest.approx(1)
        return float(one @ other)

    assert like("How dare you!", "HOW  DARE YOU！") == pytest.approx(1)
    assert like("真是太好了", "今天真是太好了") > 0.6
    assert like("dog bites man", "man bites dog") < 0.9
    assert abs(like("真是太好了", "他把钥匙放在桌子上")) < 0.2
    assert like("no no no no", "no") > 0.5


def test_a_very_long_text_is_read() -> None:
    assert np.isfinite(make("ngram").extract([words((CHINESE + " word ") * 2000)])[0].values).all()


# real clips


@pytest.mark.real
def test_acoustic_is_useful_on_real_speech(real_data: Path) -> None:
    """Weighted F1 over actors that were not trained on; chance is 0.13, plain MFCC reach 0.30."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score
    from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from mer_core.media.audio import read_audio

    rows = list(csv.DictReader((real_data / "ravdess_speech.csv").open(encoding="utf-8-sig")))
    extractor = make("acoustic")
    found = [extractor.extract([sound(read_audio(real_data / row["audio"], RATE).samples)])[0].values for row in rows]
    pooled = np.stack([np.concatenate([one.mean(axis=0), one.std(axis=0)]) for one in found])
    labels, actors = ([row[key] for row in rows] for key in ("label", "speaker"))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    predicted = cross_val_predict(model, pooled, labels, groups=actors, cv=LeaveOneGroupOut())
    assert f1_score(labels, predicted, average="weighted") > 0.42
