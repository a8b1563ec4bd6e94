"""What an extractor with a text side knows of the classes without any training: a cheap baseline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mer_core.config import RunConfig
from mer_core.engine import ExtractorJob
from mer_core.engine.answers import make_instance
from mer_core.errors import MerError
from mer_core.evaluation import Evaluation, evaluate_predictions
from mer_core.feature_set import FeatureSet, StreamData
from mer_core.files import writing
from mer_core.frames import clip_means
from mer_core.spec import digest
from mer_core.workflows.jobs import build_jobs
from mer_core.workflows.workspace import Workspace, pick_device

METHOD = "class_embeddings"
"""An extractor that has it gives class vectors [C, D], comparable with the mean of its D feature columns."""


@dataclass(frozen=True, slots=True)
class ZeroShot:
    """The scores of one stream without training; or why there are none."""

    stream: str
    evaluation: Evaluation | None
    reason: str = ""


def zero_shot(data: FeatureSet, scored: NDArray[np.int64], config: RunConfig, space: Workspace) -> list[ZeroShot]:
    """Each stream that can do without training, on the clips that the run scores.

    Args:
        scored: rows of ``data`` that some fold held out.
    """
    return list(_scores(data, scored, config, space)) if len(scored) else []


def _scores(data: FeatureSet, scored: NDArray[np.int64], config: RunConfig, space: Workspace) -> Iterator[ZeroShot]:
    jobs, _ = build_jobs(config, space.catalogue, data.targets.classes)
    for job in jobs:
        able = callable(getattr(job.extractor_class, METHOD, None)) and not job.spec.supervised
        if not able or job.name not in data.table:
            continue
        try:
            vectors = class_vectors(job, data.targets.classes, config, space)
        except MerError as error:
            yield ZeroShot(job.name, None, error.message)
            continue
        rows = scored[data.table[job.name].present[scored] & (data.labels[scored] >= 0)]
        if len(rows):
            yield ZeroShot(job.name, _evaluate(data, rows, nearest(data.table[job.name], rows, vectors), config))


def class_vectors(
    job: ExtractorJob, classes: Sequence[str], config: RunConfig, space: Workspace
) -> NDArray[np.float32]:
    """float32 [C, D] of the classes, asked once and kept in the cache."""
    file = space.cache.fits / "classes" / f"{digest([job.fingerprint, list(classes)])}.npy"
    if file.is_file():
        kept: NDArray[np.float32] = np.load(file)
        return kept
    instance = make_instance(job, pick_device(config.device))
    found = np.asarray(getattr(instance, METHOD)(classes), np.float32)
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, found)
    return found


def nearest(stream: StreamData, rows: NDArray[np.int64], vectors: NDArray[np.float32]) -> NDArray[np.int64]:
    """The class whose vector has the largest cosine with the mean of each clip's features."""
    means = np.nan_to_num(clip_means(stream, rows)[:, : vectors.shape[1]])
    return np.asarray(np.argmax(means @ _unit(vectors).T, axis=1), np.int64)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return found


def _evaluate(data: FeatureSet, rows: NDArray[np.int64], predicted: NDArray[np.int64], config: RunConfig) -> Evaluation:
    groups = None if data.groups is None else [data.groups[row] or None for row in rows]
    return evaluate_predictions(
        data.labels[rows],
        predicted,
        data.targets.classes,
        groups if groups and any(groups) else None,
        unit=config.folds.group,
        seed=config.seed,
    )
