"""The published weights of the speech encoders. Light: specs and options both read it.

Sizes are those that the hub shows, or else computed from the architecture (Whisper large-v3 and its turbo in float16,
the others in float32), with the head that is published with it. Revisions are ``main`` where no full commit is known.
"""

from __future__ import annotations

from dataclasses import replace

from mer_core.plugin import Weights
from mer_plugins.published import SAFE, TORCH, published

BASE, LARGE = 768, 1024
MIT, APACHE, CC = "MIT", "Apache-2.0", "CC-BY-SA-3.0"


def _torch(repo: str, licence: str, dim: int, size: int, count: int, revision: str = "main") -> Weights:
    return published(repo, licence, dim, size, count, revision, TORCH)


def _chinese(name: str, dim: int, size: int, count: int, revision: str = "main") -> Weights:
    return _torch(f"TencentGameMate/{name}", MIT, dim, size, count, revision)


def _facebook(name: str, dim: int, size: int, count: int, revision: str = "main") -> Weights:
    return _torch(f"facebook/{name}", APACHE, dim, size, count, revision)


def _wavlm(name: str, dim: int, size: int, count: int, revision: str) -> Weights:
    return _torch(f"microsoft/{name}", CC, dim, size, count, revision)


PLAIN = 94_371_584
"""Parameters of the base models of HuBERT and wav2vec 2.0, which are alike."""
STABLE = 315_438_592
"""The same of a large HuBERT with the norm in front in each layer and with biases in its convolutions."""

HUBERT = (
    _chinese("chinese-hubert-large", LARGE, 1_260_000_000, 315_435_008, "90cb660492214f687e60f5ca509b20edae6e75bd"),
    _chinese("chinese-hubert-base", BASE, 378_000_000, PLAIN, "fce0375452b1dd6c080ac3248d423d4d037bc831"),
    _facebook("hubert-base-ls960", BASE, 378_000_000, PLAIN, "dba3bb02fda4248b6e082697eee756de8fe8aa8a"),
    _facebook("hubert-large-ls960-ft", LARGE, 1_260_000_000, STABLE, "ece5fabbf034c1073acae96d5401b25be96709d8"),
    _facebook("hubert-large-ll60k", LARGE, 1_260_000_000, STABLE, "ff022d095678a2995f3c49bab18a96a9e553f782"),
)
"""The large Chinese one has no biases in its convolutions, says its config.json; its Wav2Vec2 has them."""

WAV2VEC2 = (
    _facebook("wav2vec2-base", BASE, 380_000_000, PLAIN, "0b5b8e868dd84f03fd87d01f9c4ff0f080fecfe8"),
    replace(
        _facebook("wav2vec2-base-960h", BASE, 378_000_000, PLAIN, "22aad52d435eb6dbaf354bdad9b0da84ce7d6156"),
        files=SAFE,
    ),
    _facebook("wav2vec2-large-960h", LARGE, 1_262_000_000, 315_428_864, "f6b48018ad95afcf85637f433dc0fc4f4672ce34"),
    _chinese("chinese-wav2vec2-base", BASE, 380_000_000, PLAIN, "3991242c806928916fff4a8c0e4f76acf661b743"),
    _chinese("chinese-wav2vec2-large", LARGE, 1_270_000_000, STABLE, "e3aa671ca0cfe7978171a8ebbcc4bdfecdfb2f95"),
)
WAVLM = (
    _wavlm("wavlm-large", LARGE, 1_260_000_000, 315_452_992, "c1423ed94bb01d80a3f5ce5bc39f6026a0f4828c"),
    _wavlm("wavlm-base-plus", BASE, 378_000_000, 94_381_808, "4c66d4806a428f2e922ccfa1a962776e232d487b"),
    _wavlm("wavlm-base", BASE, 378_000_000, 94_381_808, "efa81aae7ff777e464159e0f877d54eac5b84f81"),
)
DATA2VEC = (
    _facebook("data2vec-audio-base", BASE, 373_000_000, 93_164_288),
    _facebook("data2vec-audio-large", LARGE, 1_250_000_000, 313_276_416, "8aebfda61f5749e532f5577d176072ea38a6b349"),
)


SPEAKING = ("generation_config.json", "tokenizer.json", "tokenizer_config.json")
"""What Whisper needs beside its weights to write down what it hears."""


def _whisper(size: str, dim: int, total: int, count: int, revision: str, licence: str = APACHE) -> Weights:
    return published(f"openai/whisper-{size}", licence, dim, total, count, revision, (*SAFE, *SPEAKING))


WHISPER = (
    _whisper("large-v3", 1280, 3_090_000_000, 636_968_960, "06f233fe06e710322aca913c1bc4249a0d71fce1"),
    _whisper("large-v2", 1280, 6_180_000_000, 636_784_640, "ae4642769ce2ad8fc292556ccea8e901f1530655"),
    _whisper("medium", 1024, 3_060_000_000, 307_216_384, "abdf7c39ab9d0397620ccaea8974cc764cd0953e"),
    _whisper("small", 768, 970_000_000, 88_154_112, "973afd24965f72e36ca33b3055d56a652f456b4d"),
    _whisper("base", 512, 293_000_000, 20_590_592, "e37978b90ca9030d5170a5c07aadb050351a65bb"),
    _whisper("large-v3-turbo", 1280, 1_620_000_000, 636_968_960, "41f01f3fe87f28c78e2fbf8b568835947dd65ed9", MIT),
)
"""Whisper. Parameters are those of the encoder, which features come from."""

WHOLE = {
    "whisper-large-v3-turbo": 808_878_080,
    "whisper-large-v3": 1_543_490_560,
    "whisper-large-v2": 1_543_304_960,
    "whisper-medium": 763_857_920,
    "whisper-small": 241_734_912,
    "whisper-base": 72_593_920,
}
"""Parameters with the decoder, which transcripts need."""

WHISPER_ASR = tuple(
    replace(one, parameters=count) for name, count in WHOLE.items() for one in WHISPER if one.name == name
)
