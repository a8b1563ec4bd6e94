"""Weights of the hub, as the specs list them. Light: nothing here imports numpy or torch."""

from __future__ import annotations

from mer_core.plugin import Weights

CONFIGS = ("config.json", "preprocessor_config.json")
TORCH = (*CONFIGS, "pytorch_model.bin")
SAFE = (*CONFIGS, "model.safetensors")
"""Files of a repository: what the model is, how its input is prepared, and its weights."""


def published(
    repo: str, licence: str, dim: int, size: int, count: int, revision: str = "main", files: tuple[str, ...] = ()
) -> Weights:
    """Weights that are called like their repository.

    Args:
        size: bytes of the files, 0 where that is not known.
        count: parameters that a plugin holds after loading.
        files: those of the repository that are needed; none: the hub is asked for what there is.
    """
    return Weights(
        name=repo.partition("/")[2],
        repo=repo,
        revision=revision,
        files=files,
        bytes=size,
        licence=licence,
        dim=dim,
        parameters=count,
    )
