"""Half precision: weights are rounded once, and features are those of weights rounded at every call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_hf_vision
import test_videomae
import test_whisper
import text_models
import torch
import transformers
import vision_models
from test_speech_encoders import CONVOLUTIONS, NORMS, SIZE, noise, sample

from mer_plugins import hf
from mer_plugins.text import transformer

PICTURES = vision_models.sample(vision_models.pictures(20))
SOUND, WORDS = sample(noise(0.7)), text_models.said(text_models.SENTENCES[0])


def speech(kind: str, norm: str) -> Callable[[Path], Path]:
    def written(folder: Path) -> Path:
        config = getattr(transformers, f"{kind}Config")(**SIZE, **CONVOLUTIONS, **NORMS[norm])
        vision_models.roughened(getattr(transformers, f"{kind}Model")(config)).save_pretrained(folder)
        transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
        return folder

    return written


def vision(kind: str) -> Callable[[Path], Path]:
    model = vision_models.roughened
    return lambda folder: vision_models.save(model(test_hf_vision.built(kind)), folder, test_hf_vision.PICTURES[kind])


def videomae(folder: Path) -> Path:
    model = transformers.VideoMAEModel(test_videomae.config())
    return vision_models.save(vision_models.roughened(model), folder, test_videomae.PICTURES)


CASES: dict[str, tuple[str, Callable[[Path], Path], Any]] = {
    "hubert": ("hubert", speech("Hubert", "layer"), SOUND),
    "wavlm": ("wavlm", speech("WavLM", "group"), SOUND),
    "data2vec": ("data2vec-audio", speech("Data2VecAudio", "positions"), SOUND),
    "whisper": ("whisper", lambda folder: test_whisper.checkpoint(folder, seconds=4), SOUND),
    "clip": ("clip", vision_models.clip_folder, PICTURES),
    "dinov2": ("hf-vision", vision("dinov2"), PICTURES),
    "siglip": ("hf-vision", vision("siglip"), PICTURES),
    "videomae": ("videomae", videomae, PICTURES),
    "bert": ("hf-text", lambda folder: text_models.encoder(folder, "bert"), WORDS),
    "xlnet": ("hf-text", lambda folder: text_models.encoder(folder, "xlnet"), WORDS),
}


@pytest.mark.parametrize("case", CASES)
def test_weights_rounded_once_give_the_same_features(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, write, heard = CASES[case]
    torch.manual_seed(0)
    options = {"take": "mean"} if case == "siglip" else {}
    folder = write(tmp_path)

    def features(precision: str) -> Any:
        instance = vision_models.make(name, folder, precision=precision, **options)
        kept = {weight.dtype for model in _models(instance) for weight in model.parameters()}
        return instance.extract([heard])[0].values, kept

    once, kept = features("bfloat16")
    assert torch.bfloat16 in kept
    assert features("float32")[1] == {torch.float32}
    monkeypatch.setattr(hf, "rounded", lambda model, dtype: None)
    monkeypatch.setattr(transformer, "rounded", lambda model, dtype: None)
    each, kept = features("bfloat16")
    assert kept == {torch.float32}
    np.testing.assert_array_equal(once, each)


def _models(instance: Any) -> list[torch.nn.Module]:
    parts = [*vars(instance).values(), *vars(getattr(instance, "encode", instance)).values()]
    return [part for part in parts if isinstance(part, torch.nn.Module)]
