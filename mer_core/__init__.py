"""mer: multimodal emotion recognition, from raw clips to a scored, reusable model.

>>> from mer_core import run, extract, train, predict, evaluate
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mer_core.workflows.evaluate import evaluate
    from mer_core.workflows.extract import extract
    from mer_core.workflows.predict import predict
    from mer_core.workflows.run import run
    from mer_core.workflows.train import train
    from mer_core.workflows.workspace import open_workspace

_HOMES = {
    "evaluate": "mer_core.workflows.evaluate",
    "extract": "mer_core.workflows.extract",
    "open_workspace": "mer_core.workflows.workspace",
    "predict": "mer_core.workflows.predict",
    "run": "mer_core.workflows.run",
    "train": "mer_core.workflows.train",
}

__all__ = ["evaluate", "extract", "open_workspace", "predict", "run", "train"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``import mer_core`` stays light."""
    if name not in _HOMES:
        raise AttributeError(f"module 'mer_core' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
