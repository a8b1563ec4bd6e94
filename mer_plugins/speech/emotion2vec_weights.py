"""The published weights of emotion2vec. Light: specs and options both read it.

Sizes are those that the hub shows (rounded), 0 where that is not known, as is a revision of ``main``.
Parameters leave out the decoder and the optimiser's numbers, which are in the files, too.
"""

from __future__ import annotations

from mer_core.plugin import Weights

LICENCE = "FunASR model licence"


def _plus(size: str, dim: int, count: int, total: int = 0, revision: str = "main") -> Weights:
    """One of those fine-tuned on nine emotions."""
    return Weights(
        name=f"emotion2vec-plus-{size}",
        repo=f"emotion2vec/emotion2vec_plus_{size}",
        revision=revision,
        files=("model.pt", "tokens.txt"),
        bytes=total,
        licence=LICENCE,
        dim=dim,
        parameters=count,
    )


EMOTION2VEC = (
    Weights(
        name="emotion2vec-base",
        repo="emotion2vec/emotion2vec_base",
        revision="0c9a3152734f9d7a7a05b4ee6bfb3c109d288664",
        files=("emotion2vec_base.pt",),
        bytes=1_130_000_000,
        licence=LICENCE,
        dim=768,
        parameters=93_171_212,
    ),
    _plus("seed", 768, 93_178_133),
    _plus("base", 768, 93_178_133, 1_120_000_000, "b318240bfe67db81a8c572ecb37ce9c3759b81c9"),
    _plus("large", 1024, 162_140_185, 1_946_000_000, "6c303ba987b86b93193de93e34bb2b077a6bedc4"),
)
