"""Where a run's figures come from: command, machine, versions, seeds and fingerprints."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

from mer_core.config import RunConfig
from mer_core.names import readable
from mer_core.report.facts import Provenance
from mer_core.spec import digest
from mer_core.workflows.extract import Extraction
from mer_core.workflows.train import Training
from mer_core.workflows.workspace import pick_device

PACKAGES = ("mer-toolkit", "torch", "numpy", "av", "opencv-python-headless", "librosa", "transformers")
"""Whose versions are told."""


def provenance(config: RunConfig, extraction: Extraction, training: Training, command: str) -> Provenance:
    """What a report says so that its run can be repeated."""
    import torch

    folds = [[training.data.ids[row] for row in fold.val] for fold in training.plan.folds]
    return Provenance(
        command=command,
        preset=readable(config.preset),
        protocol=readable(config.protocol),
        device=pick_device(config.device),
        threads=torch.get_num_threads(),
        platform=_platform(),
        versions={name: found for name in PACKAGES if (found := _version(name))},
        seeds={"run": config.seed},
        fingerprints={"config": digest(config, 16), "folds": digest(folds, 16), **extraction.fingerprints},
        weights=_weights(config, extraction),
    )


def _weights(config: RunConfig, extraction: Extraction) -> dict[str, str]:
    """What plugins say of their options beside the values: the digests of weights, by ``stream.option``."""
    streams = {name: choice.options for name, choice in config.streams.items()}
    parts = streams | {name: choice.options for name, choice in config.derivers.items()}
    return {
        f"{name}.{key}": str(value)
        for name, about in extraction.about.items()
        for key, value in about["options"].items()
        if value is not None and value != parts[name].get(key)
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _platform() -> str:
    return f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, {os.cpu_count()} cores"
