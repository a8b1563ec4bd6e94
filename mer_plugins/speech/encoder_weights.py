"""The published weights of the speech encoders. Light: specs and options both read it.

Sizes are those that the hub shows (rounded); revisions are ``main`` where no full commit is known.
"""

from __future__ import annotations

from mer_core.plugin import Weights

CONFIGS = ("config.json", "preprocessor_config.json")
TORCH = (*CONFIGS, "pytorch_model.bin")
SAFE = (*CONFIGS, "model.safetensors")
BASE, LARGE = 768, 1024
CHINESE_LARGE = "90cb660492214f687e60f5ca509b20edae6e75bd"
CHINESE_BASE = "fce0375452b1dd6c080ac3248d423d4d037bc831"
DATA2VEC_LARGE = "8aebfda61f5749e532f5577d176072ea38a6b349"


def _torch(repo: str, licence: str, dim: int, size: int = 0, revision: str = "main") -> Weights:
    return Weights(
        name=repo.split("/")[1], repo=repo, revision=revision, files=TORCH, bytes=size, licence=licence, dim=dim
    )


HUBERT = (
    _torch("TencentGameMate/chinese-hubert-large", "MIT", LARGE, 1_260_000_000, CHINESE_LARGE),
    _torch("TencentGameMate/chinese-hubert-base", "MIT", BASE, 378_000_000, CHINESE_BASE),
    _torch("facebook/hubert-base-ls960", "Apache-2.0", BASE, 378_000_000),
    _torch("facebook/hubert-large-ls960-ft", "Apache-2.0", LARGE, 1_260_000_000),
    _torch("facebook/hubert-large-ll60k", "Apache-2.0", LARGE, 1_260_000_000),
)
WAV2VEC2 = (
    _torch("facebook/wav2vec2-base", "Apache-2.0", BASE),
    _torch("facebook/wav2vec2-base-960h", "Apache-2.0", BASE),
    _torch("facebook/wav2vec2-large-960h", "Apache-2.0", LARGE),
    _torch("TencentGameMate/chinese-wav2vec2-base", "MIT", BASE),
    _torch("TencentGameMate/chinese-wav2vec2-large", "MIT", LARGE),
)
WAVLM = (
    _torch("microsoft/wavlm-large", "CC-BY-SA-3.0", LARGE, 1_260_000_000),
    _torch("microsoft/wavlm-base-plus", "CC-BY-SA-3.0", BASE),
    _torch("microsoft/wavlm-base", "CC-BY-SA-3.0", BASE),
)
DATA2VEC = (
    _torch("facebook/data2vec-audio-base", "Apache-2.0", BASE, 373_000_000),
    _torch("facebook/data2vec-audio-large", "Apache-2.0", LARGE, 1_250_000_000, DATA2VEC_LARGE),
)


SPEAKING = ("generation_config.json", "tokenizer.json", "tokenizer_config.json")
"""What Whisper needs beside its weights to write down what it hears."""


def _whisper(size: str, dim: int, count: int = 0, licence: str = "Apache-2.0") -> Weights:
    name = f"whisper-{size}"
    return Weights(name=name, repo=f"openai/{name}", files=(*SAFE, *SPEAKING), bytes=count, licence=licence, dim=dim)


WHISPER = (
    _whisper("large-v3", 1280, 3_090_000_000),
    _whisper("large-v2", 1280),
    _whisper("medium", 1024),
    _whisper("small", 768),
    _whisper("base", 512),
    _whisper("large-v3-turbo", 1280, 1_620_000_000, "MIT"),
)
WHISPER_ASR = (WHISPER[-1], *WHISPER[:-1])
