"""The published weights of the image and video encoders. Light: specs and options both read it.

Sizes are computed from the architecture, in float32; revisions are ``main`` where no full commit is known.
"""

from __future__ import annotations

from mer_core.plugin import Weights

CONFIGS = ("config.json", "preprocessor_config.json")
TORCH = (*CONFIGS, "pytorch_model.bin")
SAFE = (*CONFIGS, "model.safetensors")
OPENAI_LARGE = "32bd64288804d66eefd0ccbe215aa642df71cc41"
OPENAI_BASE = "3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268"


def _weights(
    repo: str, files: tuple[str, ...], licence: str, dim: int, *, size: int = 0, count: int = 0, revision: str = "main"
) -> Weights:
    return Weights(
        name=repo.split("/")[1],
        repo=repo,
        revision=revision,
        files=files,
        bytes=size,
        licence=licence,
        dim=dim,
        parameters=count,
    )


CLIP = (
    _weights(
        "openai/clip-vit-large-patch14",
        SAFE,
        "MIT",
        768,
        size=1_710_000_000,
        count=303_966_208,
        revision=OPENAI_LARGE,
    ),
    _weights(
        "openai/clip-vit-base-patch32", TORCH, "MIT", 512, size=605_000_000, count=87_849_216, revision=OPENAI_BASE
    ),
    _weights("openai/clip-vit-base-patch16", TORCH, "MIT", 512, size=598_000_000, count=86_192_640),
    _weights("openai/clip-vit-large-patch14-336", TORCH, "MIT", 768, size=1_712_000_000, count=304_293_888),
    _weights("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", TORCH, "MIT", 512, size=605_000_000, count=87_849_216),
    _weights("laion/CLIP-ViT-L-14-laion2B-s32B-b82K", TORCH, "MIT", 768, size=1_710_000_000, count=303_966_208),
    _weights("laion/CLIP-ViT-H-14-laion2B-s32B-b79K", TORCH, "MIT", 1024, size=3_944_000_000, count=632_076_800),
)
"""Of CLIP, in transformers' format. ``parameters`` counts the image tower, which is all that is kept."""

VISION = (
    _weights("facebook/dinov2-large", SAFE, "Apache-2.0", 1024),
    _weights("facebook/dinov2-base", SAFE, "Apache-2.0", 768),
    _weights("facebook/dinov2-giant", SAFE, "Apache-2.0", 1536),
    _weights("google/vit-base-patch16-224-in21k", SAFE, "Apache-2.0", 768),
    _weights("google/siglip-base-patch16-224", SAFE, "Apache-2.0", 768),
    _weights("google/siglip-so400m-patch14-384", SAFE, "Apache-2.0", 1152),
)

VIDEOMAE = (
    _weights("MCG-NJU/videomae-base", SAFE, "CC-BY-NC-4.0", 768),
    _weights("MCG-NJU/videomae-large", SAFE, "CC-BY-NC-4.0", 1024),
    _weights("MCG-NJU/videomae-base-finetuned-kinetics", SAFE, "CC-BY-NC-4.0", 768),
)
