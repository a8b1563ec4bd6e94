"""What specs promise of published weights, held against the published configurations, built on torch's meta device.

A configuration is told in the words of its config.json, defaults left out. Models are built as the plugins do it, so
that what is counted is what they hold after loading.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

import pytest
import torch
import transformers
from torch import nn

from mer_core.plugin import Weights
from mer_core.registry import discover
from mer_plugins.image.clip_checkpoint import NO_TEXT
from mer_plugins.image.hf_vision import _image_part
from mer_plugins.image.weights import CLIP, VIDEOMAE, VISION
from mer_plugins.speech.emotion2vec_model import Emotion2vec
from mer_plugins.speech.emotion2vec_model import Shape as Emotion2vecShape
from mer_plugins.speech.emotion2vec_weights import EMOTION2VEC
from mer_plugins.speech.encoder_pass import EncoderPass
from mer_plugins.speech.encoder_weights import DATA2VEC, HUBERT, WAV2VEC2, WAVLM, WHISPER, WHISPER_ASR
from mer_plugins.text.decoder import Shape as DecoderShape
from mer_plugins.text.transformer import encoder
from mer_plugins.text.weights import DECODERS, ENCODERS

Settings = Mapping[str, Any]

UNKNOWN = {"yunet"}
"""Weights of which no number of parameters is promised."""

LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
CHINESE = {"vocab_size": 21128}
ROBERTA = {"vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1}
XLNET = {"vocab_size": 32000, "d_model": 768, "n_layer": 12, "n_head": 12, "d_inner": 3072}
SMALL = {"hidden_size": 256, "num_hidden_layers": 12, "num_attention_heads": 4, "intermediate_size": 1024}
ELECTRA_BASE = {"embedding_size": 768, "hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072}
STABLE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
PATCHES = {"image_size": 518, "patch_size": 14}
SHAPE400M = {"hidden_size": 1152, "num_hidden_layers": 27, "num_attention_heads": 16, "intermediate_size": 4304}
FEW = {"image_size": 32}
"""VideoMAE's places are sinusoids, which are no parameters: of small pictures they are soon computed."""
PRETRAINED = FEW | {"use_mean_pooling": False}

CONFIGS: dict[str, tuple[str, Settings]] = {
    "chinese-roberta-wwm-ext-large": ("Bert", CHINESE | LARGE),
    "chinese-macbert-large": ("Bert", CHINESE | LARGE),
    "chinese-macbert-base": ("Bert", CHINESE),
    "chinese-roberta-wwm-ext": ("Bert", CHINESE),
    "bert-base-chinese": ("Bert", CHINESE),
    "bert-base-uncased": ("Bert", {}),
    "chinese-electra-180g-large-discriminator": ("Electra", CHINESE | LARGE | {"embedding_size": 1024}),
    "chinese-electra-180g-base-discriminator": ("Electra", CHINESE | ELECTRA_BASE),
    "chinese-electra-180g-small-discriminator": ("Electra", CHINESE | SMALL | {"embedding_size": 128}),
    "electra-large-discriminator": ("Electra", LARGE | {"embedding_size": 1024}),
    "chinese-xlnet-base": ("XLNet", XLNET),
    "xlnet-base-cased": ("XLNet", XLNET),
    "roberta-large": ("Roberta", ROBERTA | LARGE),
    "roberta-base": ("Roberta", ROBERTA),
    "chinese-hubert-base": ("Hubert", {}),
    "chinese-hubert-large": ("Hubert", LARGE | STABLE),
    "hubert-base-ls960": ("Hubert", {}),
    "hubert-large-ls960-ft": ("Hubert", LARGE | STABLE | {"conv_bias": True}),
    "hubert-large-ll60k": ("Hubert", LARGE | STABLE | {"conv_bias": True}),
    "wav2vec2-base": ("Wav2Vec2", {}),
    "wav2vec2-base-960h": ("Wav2Vec2", {}),
    "wav2vec2-large-960h": ("Wav2Vec2", LARGE),
    "chinese-wav2vec2-base": ("Wav2Vec2", {}),
    "chinese-wav2vec2-large": ("Wav2Vec2", LARGE | STABLE | {"conv_bias": True}),
    "wavlm-large": ("WavLM", LARGE | STABLE),
    "wavlm-base-plus": ("WavLM", {}),
    "wavlm-base": ("WavLM", {}),
    "data2vec-audio-base": ("Data2VecAudio", {}),
    "data2vec-audio-large": ("Data2VecAudio", LARGE),
    "dinov2-large": ("Dinov2", PATCHES | LARGE),
    "dinov2-base": ("Dinov2", PATCHES),
    "dinov2-giant": (
        "Dinov2",
        PATCHES | {"hidden_size": 1536, "num_hidden_layers": 40, "num_attention_heads": 24, "use_swiglu_ffn": True},
    ),
    "vit-base-patch16-224-in21k": ("ViT", {}),
    "siglip-base-patch16-224": ("Siglip", {"vision_config": {}}),
    "siglip-so400m-patch14-384": (
        "Siglip",
        {"vision_config": {**SHAPE400M, "image_size": 384, "patch_size": 14}, "text_config": SHAPE400M},
    ),
    "videomae-base": ("VideoMAE", PRETRAINED),
    "videomae-large": ("VideoMAE", PRETRAINED | LARGE),
    "videomae-base-finetuned-kinetics": ("VideoMAE", FEW),
}
WHISPERS = {
    "base": (512, 6, 8, 80, 51865),
    "small": (768, 12, 12, 80, 51865),
    "medium": (1024, 24, 16, 80, 51865),
    "large-v2": (1280, 32, 20, 80, 51865),
    "large-v3": (1280, 32, 20, 128, 51866),
    "large-v3-turbo": (1280, 32, 20, 128, 51866),
}
"""Width, layers, heads, mel bands, tokens. The turbo has four layers in its decoder."""

TOWERS = {
    "clip-vit-large-patch14": (768, 1024, 24, 16, 14, 224),
    "clip-vit-base-patch32": (512, 768, 12, 12, 32, 224),
    "clip-vit-base-patch16": (512, 768, 12, 12, 16, 224),
    "clip-vit-large-patch14-336": (768, 1024, 24, 16, 14, 336),
    "CLIP-ViT-B-32-laion2B-s34B-b79K": (512, 768, 12, 12, 32, 224),
    "CLIP-ViT-L-14-laion2B-s32B-b82K": (768, 1024, 24, 16, 14, 224),
    "CLIP-ViT-H-14-laion2B-s32B-b79K": (1024, 1280, 32, 16, 14, 224),
}
"""Width of the embedding; of the image tower width, layers, heads, patch; side of the picture."""

SHAPES = {
    "emotion2vec-base": Emotion2vecShape(),
    "emotion2vec-plus-seed": Emotion2vecShape(classes=9),
    "emotion2vec-plus-base": Emotion2vecShape(classes=9),
    "emotion2vec-plus-large": Emotion2vecShape(width=1024, heads=16, hidden=4096, scaled_heads=16, classes=9),
}
BAICHUANS = {
    "baichuan-13b-base": (64000, 5120, 13696, 40),
    "baichuan2-13b-base": (125696, 5120, 13696, 40),
    "baichuan2-7b-base": (125696, 4096, 11008, 32),
    "baichuan-7b": (64000, 4096, 11008, 32),
}
"""Tokens, width, inner width, layers."""


class Held(NamedTuple):
    """What a plugin holds: columns of its features, and parameters."""

    dim: int
    parameters: int


def held(dim: int, module: Any) -> Held:
    return Held(dim, sum(one.numel() for one in module.parameters()))


@cache
def built(kind: str, given: str) -> Any:
    """The model that transformers' AutoModel makes of a configuration, which is ``given`` as JSON."""
    config = getattr(transformers, f"{kind}Config")(**json.loads(given))
    with torch.device("meta"):
        return transformers.AutoModel.from_config(config)


def automatic(name: str) -> Any:
    kind, settings = CONFIGS[name]
    return built(kind, json.dumps(settings))


def text(name: str) -> Held:
    model = encoder(automatic(name))
    return held(model.config.hidden_size, model)


def speech(name: str) -> Held:
    model = automatic(name)
    return held(model.config.hidden_size, EncoderPass(model, "meta", layers=4, combine="sum", raw=False).model)


def picture(name: str) -> Held:
    tower: Any = _image_part(automatic(name))
    return held(tower.config.hidden_size, tower)


def video(name: str) -> Held:
    model = automatic(name)
    return held(model.config.hidden_size, model)


@cache
def speaking(name: str) -> Any:
    width, layers, heads, bands, tokens = WHISPERS[name.removeprefix("whisper-")]
    sizes = {"d_model": width, "encoder_layers": layers, "decoder_layers": 4 if "turbo" in name else layers}
    wide = {f"{part}_ffn_dim": 4 * width for part in ("encoder", "decoder")}
    many = {f"{part}_attention_heads": heads for part in ("encoder", "decoder")}
    config = transformers.WhisperConfig(**sizes, **wide, **many, num_mel_bins=bands, vocab_size=tokens)
    with torch.device("meta"):
        return transformers.WhisperForConditionalGeneration(config)


def whisper(name: str) -> Held:
    model = speaking(name)
    return held(model.config.d_model, model.model.encoder)


def whisper_asr(name: str) -> Held:
    model = speaking(name)
    return held(model.config.d_model, model)


def clip(name: str) -> Held:
    from open_clip.model import CLIP as OpenClip

    dim, width, layers, heads, patch, side = TOWERS[name]
    vision = {"image_size": side, "patch_size": patch, "width": width, "layers": layers, "head_width": width // heads}
    with torch.device("meta"):
        tower: nn.Module = OpenClip(dim, vision_cfg=vision, text_cfg=NO_TEXT).visual  # type: ignore[arg-type]
    return held(dim, tower)


def emotion2vec(name: str) -> Held:
    with torch.device("meta"):
        return held(SHAPES[name].width, Emotion2vec(SHAPES[name]))


def baichuan(name: str) -> Held:
    vocabulary, hidden, inner, layers = BAICHUANS[name]
    sizes = {"heads": hidden // 128, "eps": 1e-6, "context": 4096, "rotary": hidden == 4096}
    shape = DecoderShape(vocabulary=vocabulary, hidden=hidden, inner=inner, layers=layers, **sizes)  # type: ignore[arg-type]
    return Held(shape.hidden, shape.parameters)


PROMISED: list[tuple[Callable[[str], Held], tuple[Weights, ...]]] = [
    (text, ENCODERS),
    (baichuan, DECODERS),
    (speech, (*HUBERT, *WAV2VEC2, *WAVLM, *DATA2VEC)),
    (whisper, WHISPER),
    (whisper_asr, WHISPER_ASR),
    (emotion2vec, EMOTION2VEC),
    (clip, CLIP),
    (picture, VISION),
    (video, VIDEOMAE),
]
EACH = [(found, one) for found, listed in PROMISED for one in listed if one.name not in UNKNOWN]


@pytest.mark.parametrize(("found", "weights"), EACH, ids=[f"{found.__name__}-{one.name}" for found, one in EACH])
def test_columns_and_parameters_are_those_of_the_published_configuration(
    found: Callable[[str], Held], weights: Weights
) -> None:
    assert found(weights.name) == Held(weights.dim, weights.parameters)
    assert not weights.bytes or weights.bytes >= 2 * weights.parameters  # none is stored in less than 16 bits


def test_all_is_promised_of_all_others() -> None:
    listed = {(one.name, one.parameters) for entry in discover().entries if entry.own for one in entry.spec.weights}
    assert {name for name, count in listed if not count} == UNKNOWN
    assert listed - {(name, 0) for name in UNKNOWN} == {(one.name, one.parameters) for _, one in EACH}


def test_revisions_are_full_commits_each_of_one_repository() -> None:
    pins = {one.repo: one.revision for entry in discover().entries if entry.own for one in entry.spec.weights}
    commits = [commit for commit in pins.values() if commit != "main"]
    assert all(re.fullmatch("[0-9a-f]{40}", commit) for commit in commits)
    assert len(set(commits)) == len(commits) > len(pins) / 2
