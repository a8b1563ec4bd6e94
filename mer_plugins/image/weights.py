"""The published weights of the image and video encoders. Light: specs and options both read it.

Sizes are computed from the architecture, in float32 and with the head or decoder that is published with it.
"""

from __future__ import annotations

from mer_core.plugin import Weights
from mer_plugins.published import SAFE, TORCH, published


def _clip(repo: str, revision: str, dim: int, size: int, count: int, files: tuple[str, ...] = TORCH) -> Weights:
    return published(repo, "MIT", dim, size, count, revision, files)


def _vision(repo: str, revision: str, dim: int, size: int, count: int) -> Weights:
    return published(repo, "Apache-2.0", dim, size, count, revision, SAFE)


def _videomae(name: str, revision: str, dim: int, size: int, count: int) -> Weights:
    return published(f"MCG-NJU/{name}", "CC-BY-NC-4.0", dim, size, count, revision, SAFE)


CLIP = (
    _clip(
        "openai/clip-vit-large-patch14",
        "32bd64288804d66eefd0ccbe215aa642df71cc41",
        768,
        1_710_000_000,
        303_966_208,
        SAFE,
    ),
    _clip("openai/clip-vit-base-patch32", "3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268", 512, 605_000_000, 87_849_216),
    _clip("openai/clip-vit-base-patch16", "57c216476eefef5ab752ec549e440a49ae4ae5f3", 512, 598_000_000, 86_192_640),
    _clip(
        "openai/clip-vit-large-patch14-336",
        "ce19dc912ca5cd21c8a653c79e251e808ccabcd1",
        768,
        1_712_000_000,
        304_293_888,
    ),
    _clip(
        "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
        "1a25a446712ba5ee05982a381eed697ef9b435cf",
        512,
        605_000_000,
        87_849_216,
    ),
    _clip(
        "laion/CLIP-ViT-L-14-laion2B-s32B-b82K",
        "1627032197142fbe2a7cfec626f4ced3ae60d07a",
        768,
        1_710_000_000,
        303_966_208,
    ),
    _clip(
        "laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
        "1c2b8495b28150b8a4922ee1c8edee224c284c0c",
        1024,
        3_944_000_000,
        632_076_800,
    ),
)
"""Of CLIP, in transformers' format. ``parameters`` counts the image tower, which is all that is kept."""

VISION = (
    _vision("facebook/dinov2-large", "47b73eefe95e8d44ec3623f8890bd894b6ea2d6c", 1024, 1_217_000_000, 304_368_640),
    _vision("facebook/dinov2-base", "f9e44c814b77203eaa57a6bdbbd535f21ede1415", 768, 346_000_000, 86_580_480),
    _vision("facebook/dinov2-giant", "611a9d42f2335e0f921f1e313ad3c1b7178d206d", 1536, 4_546_000_000, 1_136_480_768),
    _vision(
        "google/vit-base-patch16-224-in21k",
        "b4569560a39a0f1af58e3ddaf17facf20ab919b0",
        768,
        346_000_000,
        86_389_248,
    ),
    _vision("google/siglip-base-patch16-224", "7fd15f0689c79d79e38b1c2e2e2370a7bf2761ed", 768, 813_000_000, 92_884_224),
    _vision(
        "google/siglip-so400m-patch14-384",
        "9fdffc58afc957d1a03a25b10dba0329ab15c2a3",
        1152,
        3_512_000_000,
        428_225_600,
    ),
)
"""Other image encoders. Parameters are those of the image tower with its pooler, where it has one."""

VIDEOMAE = (
    _videomae("videomae-base", "dc740ceda42fce44faed2ea03c6d447db72f6af9", 768, 377_000_000, 86_227_200),
    _videomae("videomae-large", "12da269a02d3e1fbbb7011e610e591fea8061dca", 1024, 1_372_000_000, 303_860_736),
    _videomae(
        "videomae-base-finetuned-kinetics",
        "488eb9a0565f257b32866000305c8178965eb9f6",
        768,
        346_000_000,
        86_225_664,
    ),
)
"""Parameters are those of the encoder. Where VideoMAE was fine-tuned, it has no norm behind its last layer."""
