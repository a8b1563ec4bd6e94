"""What a trainer keeps while it is not finished, so that a training that was killed goes on when it is repeated."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from mer_core.config import RunConfig
from mer_core.feature_set import FeatureSet, StreamData
from mer_core.files import writing
from mer_core.protocols import Trainer
from mer_core.registry import Entry
from mer_core.spec import digest
from mer_core.workflows.workspace import Workspace, pick_device

if TYPE_CHECKING:
    from pathlib import Path

WORK = "work"
"""Below a run's folder, while the run is not finished."""

NAME = "training-"
"""Begins the name of the folder of one training."""

BLOCK = 1 << 24
"""Cells that are digested at a time."""


def lend_folder(trainer: Trainer, data: FeatureSet, config: RunConfig, space: Workspace, *plugins: Entry) -> None:
    """Give a trainer that has an attribute ``folder`` one for this training, below the workspace's ``work``.

    It is the same for the same data, options, seed, device and versions of ``plugins``, and for no others.
    """
    if space.work is None or not hasattr(trainer, "folder"):
        return
    place = space.work / f"{NAME}{training_key(data, config, *plugins)}"
    with writing(place):
        place.mkdir(parents=True, exist_ok=True)
    trainer.folder = place


@contextmanager
def finishing(work: Path | None) -> Iterator[None]:
    """Remove what trainers kept in ``work`` when the block ends well."""
    yield
    if work is not None and work.is_dir():
        for place in work.glob(f"{NAME}*"):
            shutil.rmtree(place, ignore_errors=True)
        if not any(work.iterdir()):
            work.rmdir()


def training_key(data: FeatureSet, config: RunConfig, *plugins: Entry) -> str:
    """Digest of everything that a training depends on."""
    parts = [config.fusion.model_dump(mode="json"), config.trainer.model_dump(mode="json")]
    versions = [[one.full_name, one.spec.version] for one in plugins]
    folds = [[fold.train.tolist(), fold.val.tolist()] for fold in data.folds]
    spec = [list(data.targets.classes), list(data.targets.values), data.targets.votes]
    arrays = [_array(part) for part in (data.labels, data.votes, data.values)]
    tables = [data.table, *(data.fold_tables[fold] for fold in sorted(data.fold_tables))]
    streams = [[name, _stream(table[name])] for table in tables for name in table]
    device = pick_device(config.device)
    groups = None if data.groups is None else list(data.groups)
    return digest([parts, versions, config.seed, device, list(data.ids), spec, groups, folds, arrays, streams])


def _stream(data: StreamData) -> list[Any]:
    info = [data.info.modality, data.info.dim, data.info.level]
    return [*info, _array(data.values), _array(data.present), _array(data.offsets)]


def _array(values: np.ndarray | None) -> str:
    """Digest of an array that may be larger than memory."""
    if values is None:
        return ""
    found = hashlib.sha256(f"{values.dtype} {values.shape}".encode())
    step = max(1, BLOCK // max(1, values[:1].size))
    for start in range(0, len(values), step):
        found.update(np.ascontiguousarray(values[start : start + step]).data)
    return found.hexdigest()
