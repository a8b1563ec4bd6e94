"""Feature set -> folds -> trainer -> model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mer_core.blame import blame
from mer_core.config import RunConfig
from mer_core.data.dataset import ClipTable
from mer_core.data.folds import FoldPlan
from mer_core.engine import ClipFailure
from mer_core.errors import TooLittleDataError
from mer_core.feature_set import FeatureSet
from mer_core.protocols import Model, Progress
from mer_core.registry import Catalogue
from mer_core.workflows.extract import Extraction
from mer_core.workflows.features import take
from mer_core.workflows.folding import expected_folds, hide_test, plan_training
from mer_core.workflows.guarded import guard
from mer_core.workflows.levels import fit_levels
from mer_core.workflows.lost import failures_of, why_empty
from mer_core.workflows.pipeline import fusion_entry, make_fusion, make_trainer, trainer_entry
from mer_core.workflows.predict import unusable
from mer_core.workflows.seeds import fit_each
from mer_core.workflows.unfinished import lend_folder
from mer_core.workflows.workspace import Workspace, open_workspace

if TYPE_CHECKING:
    from mer_core.aliases import IntArray


@dataclass(frozen=True, slots=True)
class Training:
    """A fitted model and what it was fitted on.

    ``rows`` are the indices of ``data``'s clips among all clips; ``data`` has no test clip and no
    clip without any modality.
    """

    model: Model
    data: FeatureSet
    rows: IntArray
    plan: FoldPlan


def train(
    extraction: Extraction, *, space: Workspace | None = None, planned: tuple[IntArray, FoldPlan] | None = None
) -> Training:
    """Plan the folds and fit. Test clips never reach the trainer, labelled or not.

    Args:
        extraction: what :func:`mer_core.workflows.extract.extract` returned, its configuration included.
        planned: the rows to train on and the folds over them, where these were planned before.

    Raises:
        TooLittleDataError: nothing can be learnt; the message names the class that lacks clips.
    """
    space = space or open_workspace()
    rows, plan = planned or _plan(extraction, space.catalogue)
    return train_rows(extraction.features, rows, plan, extraction.config, space)


def train_rows(features: FeatureSet, rows: IntArray, plan: FoldPlan, config: RunConfig, space: Workspace) -> Training:
    """Fit the configuration's fusion to ``rows`` of ``features``, once for each seed; folds index into ``rows``."""
    data = hide_test(fit_levels(take(features, rows, plan.folds, space.cache.large), config, space.catalogue))

    def once(own: RunConfig, progress: Progress | None) -> Model:
        return _fit(data, own, replace(space, progress=progress))

    return Training(fit_each(config, once, space.progress), data, rows, plan)


def _fit(data: FeatureSet, config: RunConfig, space: Workspace) -> Model:
    """One training, with the configuration's seed."""
    fusion, trainer = make_fusion(config, space.catalogue), make_trainer(config, space.catalogue)
    entry, beside = trainer_entry(config, space.catalogue), fusion_entry(config, space.catalogue)
    lend_folder(trainer, data, config, space, entry, beside)
    with blame(entry, "fit", beside):
        model = trainer.fit(fusion, data, config.seed, space.progress)
    return guard(model, entry)


def _plan(extraction: Extraction, catalogue: Catalogue) -> tuple[IntArray, FoldPlan]:
    """:func:`plan_training`, whose refusal also tells what became of the clips."""
    try:
        return plan_training(extraction.features, extraction.config)
    except TooLittleDataError as error:
        what, hint = _lost(extraction, catalogue)
        raise TooLittleDataError(f"{error.message} {what}".strip(), hint or error.hint) from None


def _lost(extraction: Extraction, catalogue: Catalogue) -> tuple[str, str]:
    """What became of the clips that cannot be used, and what to do if a plugin failed with all of them."""
    config, report = extraction.config, extraction.report
    for stream in config.streams:
        why, remedy = why_empty(stream, report, config, catalogue)
        if why and stream not in extraction.features.table:
            return _example(why, failures_of(stream, report, config)[0]), remedy
    lost = [*report.failures, *unusable(extraction.features, report)]
    clips = len({failure.id for failure in lost})
    return (_example(f"{clips} of {len(extraction.table.clips)} clips cannot be used", lost[0]) if lost else ""), ""


def _example(what: str, first: ClipFailure) -> str:
    return _sentence(f"{what}; {first.id}: {first.reason}")


def refuse_untrainable(table: ClipTable, config: RunConfig) -> FoldPlan:
    """Refuse, before hours of extraction, labels that no model can be made of; else the folds that can be expected.

    Raises:
        TooLittleDataError: no label or value, or one class only; the table's remarks are part of the hint.
    """
    try:
        return expected_folds(table, config)
    except TooLittleDataError as error:
        raise TooLittleDataError(error.message, " ".join([error.hint, *map(_sentence, table.notes)])) from None


def _sentence(note: str) -> str:
    return f"{note[:1].upper()}{note[1:].rstrip('.')}."
