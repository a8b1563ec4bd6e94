"""A run's supervised extractors: fitted, asked for everybody's features, and checked for what they had seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mer_core.config import RunConfig
from mer_core.data.folds import FoldPlan
from mer_core.engine import ExtractorJob
from mer_core.errors import DataError, TooLittleDataError
from mer_core.fitted import FittedState, load_state
from mer_core.store import FeatureStore
from mer_core.workflows.asking import States, ask
from mer_core.workflows.crossfit import CrossFitting, fit_all, restricted
from mer_core.workflows.extract import Extraction, engine_settings
from mer_core.workflows.features import learnable
from mer_core.workflows.fitted import refuse_other_options, refuse_strange
from mer_core.workflows.fold_tables import Fitted, Part
from mer_core.workflows.folding import NOTHING
from mer_core.workflows.log import RunLog
from mer_core.workflows.train import Training, train, train_rows
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
    def planned(self) -> tuple[IntArray, FoldPlan] | None:
        """Rows and folds, where there was something to plan for."""
        return None if self.rows is None or self.plan is None else (self.rows, self.plan)


def learn(extraction: Extraction, space: Workspace) -> Learning:
    """Fit the supervised extractors of a run, fold by fold, and extract everybody's features with each fit.

    Raises:
        TooLittleDataError: nothing can be learnt.
        PluginError: an extractor raised while it was fitted.
    """
    given = given_states(extraction.config, extraction.learners)
    nobody: IntArray = np.empty(0, np.int64)
    fits: dict[str, list[Fitted]] = {name: [(Part(None, nobody), state)] for name, state in given.items()}
    found = ask(extraction, fits, space)  # first, since who has these streams counts in the folds
    learners = tuple(job for job in extraction.learners if job.name not in given)
    if not learners:
        return Learning(extraction=found, fits=fits)
    _refuse_unlabelled(found, learners)
    rows, plan, learnt = fit_all(_means(found, space, learners))
    found = ask(found, learnt, space)
    rows, plan = restricted(plan, rows, found.features)
    if not learnable(found.features)[rows].any():
        raise TooLittleDataError(NOTHING, " ".join(found.warnings))
    return Learning(extraction=found, rows=rows, plan=plan, fits={**fits, **learnt})


def _refuse_unlabelled(extraction: Extraction, learners: Sequence[ExtractorJob]) -> None:
    """Refuse to fit extractors, which learn from labels, where there are values or votes alone."""
    if not (extraction.features.labels >= 0).any():
        what = f"{learners[0].name} learns from labels, and no clip has one."
        raise TooLittleDataError(what, "Fill in the label column, or leave the extractor out.")


def given_states(config: RunConfig, jobs: Sequence[ExtractorJob]) -> dict[str, FittedState]:
    """By stream, what was fitted elsewhere: there, of these plugins and weights, and with a list of what it knows.

    Raises:
        DataError: naming the folder and what is wrong with it.
        UsageError: the run has other options than it was fitted with.
    """
    found = {}
    for job in jobs:
        folder = config.streams[job.name].fitted
        if folder and job.spec.supervised:
            state = found[job.name] = load_state(Path(folder))
            refuse_strange(job, state)
            refuse_other_options(job, state)
            if not state.keys:
                what = f"{job.name}: {folder} does not say which clips it learnt from, so no score could be trusted."
                raise DataError(what, "Give the folder that 'mer finetune' wrote, not that of a model.")
    return found


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
    fits: Mapping[str, Sequence[Fitted]]
    refitted: bool = False

    @property
    def states(self) -> States:
        """What predicts: the folds' own fits, without those made inside of a fold."""
        return {name: [state for part, state in own if not part.inner] for name, own in self.fits.items()}


def deploy(learning: Learning, training: Training, space: Workspace) -> Deployed:
    """The run's model: ``--deploy folds`` keeps the members that were scored, ``refit`` fits one more to everything."""
    extraction = learning.extraction
    if extraction.config.fitting.deploy == "folds" or not training.plan.folds:
        return Deployed(training=training, extraction=extraction, fits=learning.fits)
    learners = tuple(job for job in extraction.learners if not extraction.config.streams[job.name].fitted)
    fits = {name: list(found) for name, found in learning.fits.items()}
    if learners:
        fits |= fit_all(_means(extraction, space, learners), "single")[2]
    found = ask(extraction, fits, space)
    plan = FoldPlan(folds=(), kind="none", seed=training.plan.seed, group=training.plan.group, reason="refitted")
    again = train_rows(found.features, training.rows, plan, extraction.config, space)
    return Deployed(training=again, extraction=found, fits=fits, refitted=True)


def fit_once(learning: Learning, space: Workspace, log: RunLog) -> tuple[Training, Deployed]:
    """Train with the run's configuration as it is."""
    with log.stage("train"):
        training = train(learning.extraction, space=space, planned=learning.planned)
        return training, deploy(learning, training, space)


Fitter = Callable[[Learning, Workspace, RunLog], tuple[Training, Deployed]]
"""Makes what is scored, and what is saved: the latter's configuration becomes that of the run."""
