"""A run's supervised extractors: fitted, asked for everybody's features, and checked for what they had seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mer_core.data.folds import FoldPlan
from mer_core.engine import ExtractorJob
from mer_core.fitted import FittedState, load_state
from mer_core.store import FeatureStore
from mer_core.workflows.asking import States, ask
from mer_core.workflows.crossfit import CrossFitting, fit_all, restricted
from mer_core.workflows.extract import Extraction, engine_settings
from mer_core.workflows.fold_tables import Fitted, Part
from mer_core.workflows.train import Training, train_rows
from mer_core.workflows.workspace import Workspace

if TYPE_CHECKING:
    from mer_core.aliases import IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """An extraction whose supervised streams are there, and how they came about.

    Args:
        rows: that are trained on; the folds of ``plan`` index into them. None where nothing was planned.
        fits: by stream, what was learnt from which clips.
    """

    extraction: Extraction
    rows: IntArray | None = None
    plan: FoldPlan | None = None
    fits: Mapping[str, Sequence[Fitted]] = field(default_factory=dict)

    @property
    def states(self) -> dict[str, list[FittedState]]:
        """What predicts: the folds' own fits, without those made inside of a fold."""
        return {name: [state for part, state in fits if not part.inner] for name, fits in self.fits.items()}

    @property
    def planned(self) -> tuple[IntArray, FoldPlan] | None:
        """Rows and folds, where there was something to plan for."""
        return None if self.rows is None or self.plan is None else (self.rows, self.plan)

    def seen(self, rows: IntArray, folds: IntArray) -> int:
        """How many of ``rows`` were learnt from, label and all, by a fit that makes the features they are scored on.

        Args:
            folds: [N] the fold that scores each of ``rows``; -1 for all folds together.
        """
        return sum(self._knows(int(row), int(fold)) for row, fold in zip(rows, folds, strict=True))

    def _knows(self, row: int, fold: int) -> bool:
        return any(
            self.extraction.report.keys[name][row] in state.keys
            for name, fits in self.fits.items()
            for part, state in fits
            if not part.inner and (fold < 0 or part.fold in (None, fold))
        )


def learn(extraction: Extraction, space: Workspace) -> Learning:
    """Fit the supervised extractors of a run, fold by fold, and extract everybody's features with each fit.

    Raises:
        TooLittleDataError: nothing can be learnt.
        PluginError: an extractor raised while it was fitted.
    """
    given = {
        job.name: load_state(Path(folder))
        for job in extraction.learners
        if (folder := extraction.config.streams[job.name].fitted)
    }
    nobody: IntArray = np.empty(0, np.int64)
    fits: dict[str, list[Fitted]] = {name: [(Part(None, nobody), state)] for name, state in given.items()}
    rows = plan = None
    learners = tuple(job for job in extraction.learners if job.name not in given)
    if learners:
        rows, plan, learnt = fit_all(_means(extraction, space, learners))
        fits |= learnt
    found = ask(extraction, fits, space)
    if rows is not None and plan is not None:
        rows, plan = restricted(plan, rows, found.features)
    return Learning(extraction=found, rows=rows, plan=plan, fits=fits)


def _means(extraction: Extraction, space: Workspace, learners: tuple[ExtractorJob, ...]) -> CrossFitting:
    return CrossFitting(
        config=extraction.config,
        features=extraction.features,
        clips=extraction.table.clips,
        learners=learners,
        derivers=extraction.derivers,
        store=FeatureStore(space.cache.features),
        settings=engine_settings(extraction.config, space),
        space=space,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """What a run leaves to predict with: its folds together, or one model fitted to everything."""

    training: Training
    extraction: Extraction
    states: States
    refitted: bool = False


def deploy(learning: Learning, training: Training, space: Workspace) -> Deployed:
    """The run's model: ``--deploy folds`` keeps the members that were scored, ``refit`` fits one more to everything."""
    extraction = learning.extraction
    if extraction.config.fitting.deploy == "folds" or not training.plan.folds:
        return Deployed(training=training, extraction=extraction, states=learning.states)
    learners = tuple(job for job in extraction.learners if not extraction.config.streams[job.name].fitted)
    fits = {name: list(found) for name, found in learning.fits.items()}
    if learners:
        fits |= fit_all(_means(extraction, space, learners), "single")[2]
    found = ask(extraction, fits, space)
    plan = FoldPlan(folds=(), kind="none", seed=training.plan.seed, group=training.plan.group, reason="refitted")
    again = train_rows(found.features, training.rows, plan, extraction.config, space)
    states = {name: [state for _, state in own] for name, own in fits.items()}
    return Deployed(training=again, extraction=found, states=states, refitted=True)
