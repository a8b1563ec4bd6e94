"""The published weights of emotion2vec. Light: specs and options both read it.

Sizes are those that the hub shows (rounded); revisions are ``main`` where no full commit is known.
"""

from __future__ import annotations

from mer_core.plugin import Weights

LICENCE = "FunASR model licence"
BASE_COMMIT = "0c9a3152734f9d7a7a05b4ee6bfb3c109d288664"


def _plus(size: str, dim: int, count: int = 0) -> Weights:
    """One of those fine-tuned on nine emotions."""
    return Weights(
        name=f"emotion2vec-plus-{size}",
        repo=f"emotion2vec/emotion2vec_plus_{size}",
        files=("model.pt", "tokens.txt"),
        bytes=count,
        licence=LICENCE,
        dim=dim,
    )


EMOTION2VEC = (
    Weights(
        name="emotion2vec-base",
        repo="emotion2vec/emotion2vec_base",
        revision=BASE_COMMIT,
        files=("emotion2vec_base.pt",),
        bytes=1_130_000_000,
        licence=LICENCE,
        dim=768,
    ),
    _plus("seed", 768),
    _plus("base", 768, 1_120_000_000),
    _plus("large", 1024, 1_950_000_000),
)
