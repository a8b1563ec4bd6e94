"""Published weights of the text extractors. Light: nothing here imports numpy or torch.

Sizes are computed from the architecture, with the head that each checkpoint was published with: encoders in float32,
decoders with 16 bits.
"""

from __future__ import annotations

from mer_core.plugin import Weights
from mer_plugins.published import published

APACHE, MIT, BAICHUAN_LICENCE = "Apache-2.0", "MIT", "Baichuan community licence"
BASE, LARGE = 768, 1024


def _chinese(name: str, dim: int, size: int, count: int, revision: str = "main") -> Weights:
    """One of those by the laboratory of HIT and iFLYTEK."""
    return published(f"hfl/{name}", APACHE, dim, size, count, revision)


def _electra(size: str, dim: int, total: int, count: int, revision: str = "main") -> Weights:
    return _chinese(f"chinese-electra-180g-{size}-discriminator", dim, total, count, revision)


ZH_BERT, ZH_BERT_LARGE = (412_000_000, 101_677_056), (1_306_000_000, 324_472_832)
"""Size and parameters of those that are a BERT with 21,128 tokens."""
XLNET = 467_000_000, 116_718_336
"""The same of XLNet with 32,000 tokens."""

ENCODERS = (
    _chinese("chinese-roberta-wwm-ext-large", LARGE, *ZH_BERT_LARGE, "a25cc9e05974bd9687e528edd516f2cfdb3f5db9"),
    _chinese("chinese-macbert-large", LARGE, *ZH_BERT_LARGE, "1cf2677c782975600ce58e2961656b1b29eddbae"),
    _chinese("chinese-macbert-base", BASE, *ZH_BERT, "a986e004d2a7f2a1c2f5a3edef4e20604a974ed1"),
    _chinese("chinese-roberta-wwm-ext", BASE, *ZH_BERT, "5c58d0b8ec1d9014354d691c538661bf00bfdb44"),
    published(
        "google-bert/bert-base-chinese", APACHE, BASE, *ZH_BERT, revision="8f23c25b06e129b6c986331a13d8d025a92cf0ea"
    ),
    _electra("large", LARGE, 1_302_000_000, 324_472_832, "d017e219578df8e4885484edbc8969dbdea9cbe0"),
    _electra("base", BASE, 409_000_000, 101_677_056, "693c1a7e58307777ad4cdf6b80b47c777c028572"),
    _electra("small", 256, 49_400_000, 12_280_576, "826a243f3f387450ef8d70de9c3d0706d8d8e924"),
    _chinese("chinese-xlnet-base", BASE, *XLNET, "34b827684078f956411389834966eb55588f5254"),
    published(
        "FacebookAI/roberta-large",
        MIT,
        LARGE,
        1_422_000_000,
        354_310_144,
        "722cf37b1afa9454edce342e7895e588b6ff1d59",
    ),
    published(
        "FacebookAI/roberta-base", MIT, BASE, 499_000_000, 124_055_040, "e2da8e2f811d1448a5b465c236feacd80ffbac7b"
    ),
    published(
        "google-bert/bert-base-uncased",
        APACHE,
        BASE,
        440_000_000,
        108_891_648,
        "86b5e0934494bd15c9632b12f734a8a67f723594",
    ),
    published(
        "google/electra-large-discriminator",
        APACHE,
        LARGE,
        1_341_000_000,
        334_092_288,
        "c13c3df7efadc2162f42588bd28eb4e187d602a5",
    ),
    published("xlnet/xlnet-base-cased", MIT, BASE, *XLNET, revision="ceaa69c7bc5e512b5007106a7ccbb7daf24b2c79"),
)
"""Encoders, the Chinese ones first. Parameters are those without the pooler, which no feature passes."""

SHARDS = tuple(f"pytorch_model-{number:05}-of-00003.bin" for number in (1, 2, 3))


def _decoder(
    model: str, dim: int, size: int, count: int, revision: str = "main", files: tuple[str, ...] = ()
) -> Weights:
    """One of Baichuan's."""
    return Weights(
        name=model.lower(),
        repo=f"baichuan-inc/{model}",
        revision=revision,
        files=files,
        bytes=size,
        licence=BAICHUAN_LICENCE,
        dim=dim,
        parameters=count,
    )


DECODERS = (
    _decoder(
        "Baichuan-13B-Base",
        5120,
        26_530_000_000,
        13_264_901_120,
        "0ef0739c7bdd34df954003ef76d80f3dabca2ff9",
        ("config.json", "pytorch_model.bin.index.json", *SHARDS, "tokenizer.model"),
    ),
    _decoder("Baichuan2-13B-Base", 5120, 27_800_000_000, 13_896_668_160, "e2a280b79a96607652eca9b5a78d0c4d3dd5286e"),
    _decoder("Baichuan2-7B-Base", 4096, 15_020_000_000, 7_505_973_248, "f9d4d8dd2f7a3dbede3bda3b0cf0224e9272bbe5"),
    _decoder("Baichuan-7B", 4096, 14_010_000_000, 7_000_559_616, "c1a5c7d5b7f50ecc51bb0e08150a9f12e5656756"),
)
"""Baichuan's base models. Parameters are those of the checkpoint, its output head included."""
