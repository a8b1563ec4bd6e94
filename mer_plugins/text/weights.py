"""Published weights of the text extractors. Light: nothing here imports numpy or torch."""

from __future__ import annotations

from mer_core.plugin import Weights

APACHE, MIT, BAICHUAN_LICENCE = "Apache-2.0", "MIT", "Baichuan community licence"


def _encoder(repo: str, licence: str, dim: int, parameters: int = 0) -> Weights:
    return Weights(name=repo.partition("/")[2], repo=repo, licence=licence, dim=dim, parameters=parameters)


ENCODERS = (
    _encoder("hfl/chinese-roberta-wwm-ext-large", APACHE, 1024, 324_472_832),
    _encoder("hfl/chinese-macbert-large", APACHE, 1024, 324_472_832),
    _encoder("hfl/chinese-macbert-base", APACHE, 768, 101_677_056),
    _encoder("hfl/chinese-roberta-wwm-ext", APACHE, 768, 101_677_056),
    _encoder("google-bert/bert-base-chinese", APACHE, 768, 101_677_056),
    _encoder("hfl/chinese-electra-180g-large-discriminator", APACHE, 1024),
    _encoder("hfl/chinese-electra-180g-base-discriminator", APACHE, 768),
    _encoder("hfl/chinese-electra-180g-small-discriminator", APACHE, 256),
    _encoder("hfl/chinese-xlnet-base", APACHE, 768),
    _encoder("FacebookAI/roberta-large", MIT, 1024, 354_310_144),
    _encoder("FacebookAI/roberta-base", MIT, 768, 124_055_040),
    _encoder("google-bert/bert-base-uncased", APACHE, 768, 108_891_648),
    _encoder("google/electra-large-discriminator", APACHE, 1024),
    _encoder("xlnet/xlnet-base-cased", MIT, 768),
)
"""Encoders, the Chinese ones first. Parameters are those without the pooler, which no feature passes."""

SHARDS = tuple(f"pytorch_model-{number:05}-of-00003.bin" for number in (1, 2, 3))

DECODERS = (
    Weights(
        name="baichuan-13b-base",
        repo="baichuan-inc/Baichuan-13B-Base",
        files=("config.json", "pytorch_model.bin.index.json", *SHARDS, "tokenizer.model"),
        bytes=26_530_000_000,
        licence=BAICHUAN_LICENCE,
        dim=5120,
        parameters=13_264_901_120,
    ),
    Weights(name="baichuan2-13b-base", repo="baichuan-inc/Baichuan2-13B-Base", licence=BAICHUAN_LICENCE, dim=5120),
    Weights(name="baichuan2-7b-base", repo="baichuan-inc/Baichuan2-7B-Base", licence=BAICHUAN_LICENCE, dim=4096),
    Weights(name="baichuan-7b", repo="baichuan-inc/Baichuan-7B", licence=BAICHUAN_LICENCE, dim=4096),
)
"""Baichuan's base models. Parameters are those of the checkpoint, its output head included."""
