"""mer: multimodal emotion recognition, from raw clips to a scored, reusable model.

>>> from mer_core import run, extract, train, tune, finetune, predict, evaluate, compose, fit

Each name is one of three things. What the command line does, as a function: ``run``, ``extract``,
``train``, ``tune``, ``finetune``, ``predict``, ``evaluate``, and ``open_workspace`` for the conditions they
work under. The same for features that somebody has already: ``compose``, ``read_features``, ``fit``,
``load_fit``. And what these functions take and return, for annotations. Plugins are written with
:mod:`mer_core.plugin`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mer_core.feature_set import FeatureSet
    from mer_core.fitted import FittedState
    from mer_core.settings import Settings
    from mer_core.workflows.arrays import compose
    from mer_core.workflows.evaluate import Scored, evaluate
    from mer_core.workflows.extract import Extraction, extract
    from mer_core.workflows.finetune import finetune
    from mer_core.workflows.fit import Fit, FittedModel, fit, load_fit
    from mer_core.workflows.predict import Predictions, predict
    from mer_core.workflows.read_features import read_features
    from mer_core.workflows.run import RunResult, run
    from mer_core.workflows.train import Training, train
    from mer_core.workflows.tune import tune
    from mer_core.workflows.workspace import Workspace, open_workspace

_HOMES = {
    "Extraction": "mer_core.workflows.extract",
    "FeatureSet": "mer_core.feature_set",
    "Fit": "mer_core.workflows.fit",
    "FittedModel": "mer_core.workflows.fit",
    "FittedState": "mer_core.fitted",
    "Predictions": "mer_core.workflows.predict",
    "RunResult": "mer_core.workflows.run",
    "Scored": "mer_core.workflows.evaluate",
    "Settings": "mer_core.settings",
    "Training": "mer_core.workflows.train",
    "Workspace": "mer_core.workflows.workspace",
    "compose": "mer_core.workflows.arrays",
    "evaluate": "mer_core.workflows.evaluate",
    "extract": "mer_core.workflows.extract",
    "finetune": "mer_core.workflows.finetune",
    "fit": "mer_core.workflows.fit",
    "load_fit": "mer_core.workflows.fit",
    "open_workspace": "mer_core.workflows.workspace",
    "predict": "mer_core.workflows.predict",
    "read_features": "mer_core.workflows.read_features",
    "run": "mer_core.workflows.run",
    "train": "mer_core.workflows.train",
    "tune": "mer_core.workflows.tune",
}

__all__ = [
    "Extraction",
    "FeatureSet",
    "Fit",
    "FittedModel",
    "FittedState",
    "Predictions",
    "RunResult",
    "Scored",
    "Settings",
    "Training",
    "Workspace",
    "compose",
    "evaluate",
    "extract",
    "finetune",
    "fit",
    "load_fit",
    "open_workspace",
    "predict",
    "read_features",
    "run",
    "train",
    "tune",
]

if not TYPE_CHECKING:  # a type checker that sees it would take any misspelt name

    def __getattr__(name: str) -> object:
        """Import a public name when it is first used, so that ``import mer_core`` stays light."""
        if name not in _HOMES:
            raise AttributeError(f"module 'mer_core' has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
