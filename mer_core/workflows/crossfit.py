"""Supervised extractors in a run: one fit per fold, so that no clip is scored by features that knew its label.

A fold's fit learns from the fold's training part alone, and the fold's fusion model sees the features of its own
fold's fit, in training and when it is scored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mer_core.config import RunConfig
from mer_core.data.folds import FoldPlan, plan_folds
from mer_core.engine import DeriverJob, EngineSettings, ExtractorJob
from mer_core.feature_set import FeatureSet, Fold, StreamData, StreamInfo
from mer_core.fitted import FittedState
from mer_core.spec import ExtractorSpec
from mer_core.store import FeatureStore
from mer_core.workflows.decoded import DecodedClips, decoded
from mer_core.workflows.features import any_present
from mer_core.workflows.fit_progress import fit_progress
from mer_core.workflows.fits import Lesson, fit_extractor
from mer_core.workflows.fold_tables import Fitted, Part
from mer_core.workflows.folding import plan_training
from mer_core.workflows.workspace import Workspace, pick_device

if TYPE_CHECKING:
    from mer_core.aliases import IntArray


def learnable(features: FeatureSet) -> IntArray:
    """Rows with a label, but for those of the test split, whoever else takes part in training."""
    splits = features.splits or (None,) * len(features.ids)
    kept = [label >= 0 and split != "test" for label, split in zip(features.labels, splits, strict=True)]
    return np.flatnonzero(kept)


def parts_of(plan: FoldPlan, rows: IntArray, features: FeatureSet, config: RunConfig, kind: str) -> list[Part]:
    """The fits of one supervised extractor.

    Args:
        plan: folds over ``rows``, which are rows of ``features``.
        kind: ``fold``, ``nested`` or ``single``.
    """
    if kind == "single" or not plan.folds:
        return [Part(None, np.intersect1d(rows, learnable(features)))]
    labelled = learnable(features)  # clips that have a value or votes alone are no lesson for an extractor
    parts = [Part(number, np.intersect1d(rows[fold.train], labelled)) for number, fold in enumerate(plan.folds)]
    if kind == "nested":
        return [part for outer in parts for part in _nested(outer, features, config)]
    return parts


def _nested(outer: Part, features: FeatureSet, config: RunConfig) -> Iterator[Part]:
    """The fold's own fit, for clips that it did not see, and one for each inner part of those that it saw."""
    train = outer.train
    others = np.setdiff1d(np.arange(len(features.ids)), train)
    groups = None if features.groups is None else [features.groups[row] or None for row in train]
    inner = plan_folds(
        features.labels[train], groups, None, k=config.fitting.inner, seed=config.seed, classes=features.targets.classes
    )
    if not inner.folds:
        yield outer
        return
    yield replace(outer, answers=others)
    for fold in inner.folds:
        yield Part(outer.fold, train[fold.train], train[fold.val], inner=True)


@dataclass(frozen=True, slots=True)
class CrossFitting:
    """The means of fitting: extractors to fit, what makes their inputs, where everything is kept."""

    config: RunConfig
    features: FeatureSet
    clips: Sequence[Any]
    learners: tuple[ExtractorJob, ...]
    derivers: Mapping[str, DeriverJob]
    store: FeatureStore
    settings: EngineSettings
    space: Workspace

    def labelled(self) -> IntArray:
        """Rows that may be learnt from."""
        return learnable(self.features)

    def look(self, job: ExtractorJob, rows: IntArray) -> Any:
        """A context: the clips of ``rows``, decoded for ``job``."""
        chosen = [self.clips[row] for row in rows]
        folder = self.space.cache.fits / "samples"
        return decoded(job, self.derivers, chosen, folder, self.store, self.settings, self.space.progress)

    def fit(self, job: ExtractorJob, rows: IntArray, clips: DecodedClips, told: str) -> FittedState:
        """Fit to ``rows`` of the features; ``clips`` are the labelled ones, in order of their rows."""
        place = {int(row): number for number, row in enumerate(self.labelled())}
        own = np.asarray([place[int(row)] for row in rows], dtype=np.int64)
        labelled, groups = self.labelled(), self.features.groups
        lesson = Lesson(
            rows=own,
            labels=self.features.labels[labelled],
            classes=self.features.targets.classes,
            groups=None if groups is None else tuple(groups[row] for row in labelled),
            seed=self.config.seed,
        )
        entry = self.space.catalogue.entry(ExtractorSpec, self.config.streams[job.name].extractor)
        folder, device = self.space.cache.states, pick_device(self.config.device)
        progress = fit_progress(self.space.progress, self.space.notice, told)
        return fit_extractor(job, entry, lesson, clips, folder, device, progress)


def fit_all(work: CrossFitting, kind: str = "") -> tuple[IntArray, FoldPlan, dict[str, list[Fitted]]]:
    """Plan the folds, and fit every learner to each of its parts: rows, folds over them, fits by stream.

    Args:
        kind: ``fold``, ``nested`` or ``single``; the configuration's if empty.
    """
    labelled = work.labelled()
    with ExitStack() as stack:
        clips = {job.name: stack.enter_context(work.look(job, labelled)) for job in work.learners}
        rows, plan = plan_training(_expected(work, labelled, clips), work.config)
        parts = parts_of(plan, rows, work.features, work.config, kind or work.config.fitting.crossfit)
        fits: dict[str, list[Fitted]] = {}
        for job in work.learners:
            for number, part in enumerate(parts, 1):
                told = f"fit {job.name}" + (f" {number}/{len(parts)}" if len(parts) > 1 else "")
                state = work.fit(job, part.train, clips[job.name], told)
                fits.setdefault(job.name, []).append((part, state))
    return rows, plan, fits


def _expected(work: CrossFitting, labelled: IntArray, clips: Mapping[str, DecodedClips]) -> FeatureSet:
    """The features with the learners' streams, before there are any: who will have them, as far as is known."""
    table = dict(work.features.table)
    for job in work.learners:
        present = np.ones(len(work.features.ids), dtype=np.bool_)
        present[labelled] = [key is not None for key in clips[job.name].keys]
        info = StreamInfo(name=job.name, modality=job.spec.modality, dim=1)
        table[job.name] = StreamData(info, np.zeros((len(present), 1), np.float32), present)
    return replace(work.features, table=table)


def restricted(plan: FoldPlan, rows: IntArray, features: FeatureSet) -> tuple[IntArray, FoldPlan]:
    """The plan without clips that turned out to have no stream at all."""
    usable = any_present(features)
    kept = rows[usable[rows]]
    place = np.full(len(features.ids), -1, dtype=np.int64)
    place[kept] = np.arange(len(kept))

    def index(part: IntArray) -> IntArray:
        found: IntArray = place[rows[part]]
        return found[found >= 0]

    return kept, replace(plan, folds=tuple(Fold(index(fold.train), index(fold.val)) for fold in plan.folds))
