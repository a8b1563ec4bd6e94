"""Fitted extractors asked for everybody's features: each clip is decoded once for all fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mer_core.engine import extract as run_engine
from mer_core.feature_set import StreamData
from mer_core.fitted import FittedState
from mer_core.frame_pooling import keeps_frames, vector_pooling
from mer_core.frames import as_level
from mer_core.store import FeatureStore
from mer_core.workflows.extract import Extraction, engine_settings, left_out
from mer_core.workflows.fold_tables import Fitted, Part, assemble, jobs_of, merged
from mer_core.workflows.transcripts import count_transcripts
from mer_core.workflows.workspace import Workspace

if TYPE_CHECKING:
    from mer_core.aliases import IntArray

ONE_FRAME = "each clip counts as one frame, the mean of its own: features that differ by fold are not kept by frame."

States = Mapping[str, Sequence[FittedState]]
"""By stream: one state per fold, in order, or a single one."""


def ask(extraction: Extraction, fits: Mapping[str, Sequence[Fitted]], space: Workspace) -> Extraction:
    """``extraction`` with the streams of its supervised extractors, by ``fits``; each clip is decoded once for all."""
    if not fits:
        return extraction
    config, store = extraction.config, FeatureStore(space.cache.features)
    learners = {job.name: job for job in extraction.learners}
    jobs = {name: jobs_of(learners[name], fits[name], extraction.features.ids) for name in fits}
    every = [job for found in jobs.values() for job in found]
    settings = engine_settings(config, space)
    report = run_engine(extraction.table.clips, every, extraction.derivers, store, settings, space.progress)
    account = merged(extraction.report, report)
    table, folds = dict(extraction.features.table), dict[int, dict[str, StreamData]]()
    warnings = list(extraction.warnings)
    for name, own in jobs.items():
        one_frame = keeps_frames(config.streams[name].pooling)
        pooling = vector_pooling(config.streams[name].pooling)
        pooled = (store.table(job.fingerprint, job.about).pooled(report.keys[job.name], pooling) for job in own)
        data = assemble(learners[name], [part for part, _ in fits[name]], pooled)
        if not data[None].present.any():
            table.pop(name, None)
            warnings.append(left_out(name, account, config, space.catalogue))
            continue
        if one_frame:
            data = {fold: as_level(part, replace(part.info, level="frame")) for fold, part in data.items()}
            if learners[name].level == "frame":
                warnings.append(f"{name}: {ONE_FRAME}")
        table[name] = data[None]
        for fold, part in data.items():
            if fold is not None:
                folds.setdefault(fold, {})[name] = part
    features = replace(extraction.features, table=table, fold_tables=folds)
    heard = count_transcripts(config, extraction.table.clips, account, space.catalogue)
    return replace(extraction, features=features, report=account, warnings=tuple(warnings), transcripts=heard)


def from_states(states: States) -> dict[str, list[Fitted]]:
    """The states of a saved model as fits whose clips are not known."""
    nobody: IntArray = np.empty(0, np.int64)
    return {
        name: [(Part(number if len(found) > 1 else None, nobody), state) for number, state in enumerate(found)]
        for name, found in states.items()
    }
