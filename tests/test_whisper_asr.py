"""Transcripts by Whisper: parity with what transformers generates on tiny checkpoints, and what is left out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, WhisperFeatureExtractor, WhisperForConditionalGeneration
from whisper_models import END, LONGEST, START, TIMES, checkpoint

from mer_core.errors import OptionError, PluginError
from mer_core.plugin import Audio, Derived, DeriverSpec, Failure, Missing, Sample
from mer_core.registry import discover
from mer_core.testing import check_plugin
from mer_plugins.speech import whisper_asr
from mer_plugins.speech.whisper_asr import WhisperAsr
from mer_plugins.speech.whisper_decoding import Heard, Segment, Vocabulary, segments

RATE = 16000
SECONDS = 2
"""Length of the tiny models' window."""
ALL = {"no_speech": 1.0, "repetition": 99}
"""Options that leave nothing out."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("whisper"), SECONDS)


@pytest.fixture(scope="module")
def english(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("whisper-en"), SECONDS, several=False)


def make(folder: Path, **values: Any) -> WhisperAsr:
    catalogue = discover()
    options = catalogue.options(DeriverSpec, "whisper-asr", {"model": str(folder), **values})
    found: WhisperAsr = catalogue.load(DeriverSpec, "whisper-asr")(options, "cpu")
    return found


def noise(seconds: float, seed: int = 0) -> Any:
    count = round(seconds * RATE)
    rough = np.random.default_rng(seed).standard_normal(count)
    return (0.1 * (1 + np.sin(np.arange(count) / RATE * (3 + seed))) * rough).astype(np.float32)


def sample(wave: Any, name: str = "clip") -> Sample:
    return Sample(name, {"audio": Audio(np.asarray(wave, np.float32), RATE)})


def generated(folder: Path, wave: Any, **more: Any) -> Any:
    """What transformers generates: a second source, with its own windows, rules and segments."""
    model = WhisperForConditionalGeneration.from_pretrained(folder).eval()
    spectrum = WhisperFeatureExtractor.from_pretrained(folder)
    long = {"truncation": False, "padding": "longest"} if len(wave) > SECONDS * RATE else {}
    heard = spectrum(wave, sampling_rate=RATE, return_tensors="pt", **long)
    if model.generation_config.is_multilingual:
        more = {"task": "transcribe", **more}
    return model.generate(heard.input_features, return_timestamps=True, return_segments=True, **more)


def text_of(folder: Path, parts: Any) -> str:
    words = AutoTokenizer.from_pretrained(folder)
    return str(words.decode([int(t) for part in parts for t in part["tokens"] if t < END])).strip()


def time_of(seconds: Any) -> float:
    """A time that is no later than the sound; a tiny model hears more than there is."""
    return min(round(float(seconds), 2), SECONDS)


@pytest.mark.parametrize("seed", range(3))
def test_parity_with_generate_on_one_window(folder: Path, seed: int) -> None:
    wave = noise(SECONDS, seed)
    (parts,) = generated(folder, wave)["segments"]
    found = make(folder, **ALL).derive([sample(wave)])[0]
    assert isinstance(found, Derived)
    assert len(found.info["text"]) > 3
    assert found.info["text"] == text_of(folder, parts)
    assert found.info["segments"] == [
        {**{key: time_of(part[key]) for key in ("start", "end")}, "text": text_of(folder, [part])}
        for part in parts
        if text_of(folder, [part])
    ]


@pytest.mark.parametrize(("seconds", "language"), [(2.5, "auto"), (6.0, "auto"), (5.0, "zh")])
def test_parity_with_generate_on_long_sound(folder: Path, seconds: float, language: str) -> None:
    """The next window begins where the last whole segment ended."""
    wave = noise(seconds, 11)
    given = {} if language == "auto" else {"language": language}
    (parts,) = generated(folder, wave, condition_on_prev_tokens=False, **given)["segments"]
    found = make(folder, **ALL, language=language).derive([sample(wave)])[0]
    assert isinstance(found, Derived)
    assert found.info["text"] == text_of(folder, parts)
    assert found.info["segments"][-1]["start"] > SECONDS / 2
    assert language in ("auto", found.info["language"])


def test_parity_for_models_of_english_alone(english: Path) -> None:
    wave = noise(SECONDS, 3)
    found = make(english, **ALL).derive([sample(wave)])[0]
    assert isinstance(found, Derived)
    assert found.info["language"] == "en"
    assert found.info["text"] == text_of(english, generated(english, wave)["segments"][0])
    with pytest.raises(PluginError, match=r"does not know the language 'zh'.*It knows en\."):
        make(english, language="zh")


def heard(folder: Path, wave: Any) -> Heard:
    asr = make(folder, **ALL)
    mel = asr.spectrum(wave, sampling_rate=RATE, return_tensors="pt").input_features
    return asr.decoder(mel, [None])[0]


def test_likelihoods_are_those_of_transformers(folder: Path) -> None:
    """Its own thresholds leave the window out, or do not, on both sides of the numbers that are computed here."""
    wave = noise(SECONDS, 2)
    found = heard(folder, wave)
    assert -10 < found.likelihood < 0 < found.no_speech < 1
    for part, likelihood, kept in ((0.99, 0.01, False), (1.01, 0.01, True), (0.99, -0.01, True)):
        thresholds = {"no_speech_threshold": part * found.no_speech, "logprob_threshold": found.likelihood + likelihood}
        theirs = generated(folder, wave, **thresholds, temperature=(0.0,))["segments"][0]
        asr = make(folder, no_speech=part * found.no_speech, likelihood=found.likelihood + likelihood, repetition=99)
        ours = asr.derive([sample(wave)])[0]
        assert bool(theirs) == isinstance(ours, Derived) == kept


def test_nothing_is_made_up_where_nobody_speaks(folder: Path) -> None:
    broken = noise(0.5)
    broken[3] = np.nan
    waves = [np.zeros(RATE), noise(1.0) * 1e-5, np.zeros(399), [], broken]
    silent, quiet, short, none, bad = make(folder, **ALL).derive([sample(wave) for wave in waves])
    assert silent == quiet == Missing("no speech")
    assert short == none == Missing("the sound is shorter than 400 samples")
    assert isinstance(bad, Failure)
    assert make(folder, no_speech=0, likelihood=0, repetition=99).derive([sample(noise(5.0))]) == [Missing("no speech")]


def test_windows_without_speech_are_left_out_of_long_sound(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asr, wave = make(folder, no_speech=0.5), noise(3 * SECONDS)
    said = iter([("hm hm", 0.1, -0.5), ("thanks", 0.9, -2.0), ("yes " * 30, 0.1, -0.1)])

    def decode(mel: Any, languages: Any) -> list[Heard]:
        text, silence, likelihood = next(said)
        letters = asr.tokenizer(text, add_special_tokens=False).input_ids
        return [Heard([TIMES, *letters, TIMES + 20], languages[0] or "zh", silence, likelihood)]

    monkeypatch.setattr(asr, "decoder", decode)
    assert asr.derive([sample(wave)]) == [
        Derived({}, {"text": "hm hm", "language": "zh", "segments": [{"start": 0.0, "end": 0.4, "text": "hm hm"}]})
    ]
    assert list(said) == []


def test_signs_alone_are_no_speech(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asr = make(folder)
    signs = asr.tokenizer(" ... ♪", add_special_tokens=False).input_ids
    monkeypatch.setattr(asr, "decoder", lambda mel, languages: [Heard([TIMES, *signs, TIMES + 9], "en", 0.0, 0.0)])
    assert asr.derive([sample(noise(1.0))]) == [Missing("no speech")]


WORDS = Vocabulary(start=START, end=END, transcribe=0, no_speech=0, times=TIMES, languages={})


@pytest.mark.parametrize(
    ("tokens", "length", "expected", "on"),
    [
        ([TIMES, 7, 8, TIMES + 30], 50, [Segment(0, 30, [7, 8])], 50),
        ([TIMES, 7, TIMES + 9, TIMES + 9, 8, TIMES + 30], 50, [Segment(0, 9, [7]), Segment(9, 30, [8])], 50),
        ([TIMES, 7, TIMES + 9, TIMES + 9, 8], 50, [Segment(0, 9, [7])], 9),
        ([TIMES, 7, TIMES + 9, TIMES + 9], 50, [Segment(0, 9, [7])], 9),
        ([TIMES, 7, TIMES + 60, TIMES + 60], 50, [Segment(0, 50, [7])], 50),
        ([7, 8], 50, [Segment(0, 50, [7, 8])], 50),
        ([], 50, [Segment(0, 50, [])], 50),
        ([TIMES, TIMES], 50, [Segment(0, 0, [])], 50),
    ],
)
def test_segments(tokens: list[int], length: int, expected: list[Segment], on: int) -> None:
    assert segments(tokens, WORDS, length) == (expected, on)


def test_a_clip_says_the_same_alone_and_in_a_batch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(whisper_asr.AT_ONCE, "cpu", 3)
    asr = make(folder, **ALL)
    clips = [sample(noise(seconds, seed)) for seed, seconds in enumerate((0.4, 5.0, 2.0, 0.02, 1.0, 3.0))]
    assert asr.derive(clips) == [asr.derive([clip])[0] for clip in clips]


def test_half_precision_is_the_models(folder: Path) -> None:
    asr = make(folder, **ALL, precision="bfloat16")
    assert next(asr.decoder.model.parameters()).dtype == torch.bfloat16
    assert isinstance(asr.derive([sample(noise(1.0))])[0], Derived)


def test_options_that_are_refused(folder: Path) -> None:
    for wrong in ({"language": "Chinese"}, {"no_speech": 2}, {"likelihood": 1}):
        with pytest.raises(OptionError):
            make(folder, **wrong)
    with pytest.raises(PluginError, match=r"does not know the language 'de'.*It knows en, zh\."):
        make(folder, language="de")


def test_checkpoints_that_cannot_write_are_refused(folder: Path, tmp_path: Path) -> None:
    old = shutil.copytree(folder, tmp_path / "old")
    told = json.loads((old / "generation_config.json").read_text(encoding="utf-8"))
    del told["lang_to_id"]
    (old / "generation_config.json").write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(PluginError, match=r"generation_config\.json does not say lang_to_id"):
        make(old)
    mute = shutil.copytree(folder, tmp_path / "mute")
    for file in mute.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(PluginError, match="tokenizer"):
        make(mute)


def test_weights_serve_extractor_and_transcripts_alike() -> None:
    """One fetch for both: the same names stand for the same files."""
    catalogue = discover()
    by_name = {one.name: one for entry in catalogue.entries for one in entry.spec.weights}
    for one in catalogue.find(DeriverSpec, "whisper-asr").weights:
        assert by_name[one.name] == one
        assert {"generation_config.json", "tokenizer.json", "preprocessor_config.json"} <= set(one.files)
    assert catalogue.find(DeriverSpec, "whisper-asr").weights[0].name == "whisper-large-v3-turbo"


def test_contract(folder: Path) -> None:
    cheap = ["light-import", "options", "starts", "silence", "short", "determinism"]
    report = check_plugin("whisper-asr", options={"model": str(folder)}, only=cheap)
    assert report.ok, str(report)


def test_the_longest_text_ends(folder: Path) -> None:
    """A model that never ends is stopped where its decoder ends."""
    assert len(heard(folder, noise(SECONDS, 4)).tokens) <= LONGEST - 3
