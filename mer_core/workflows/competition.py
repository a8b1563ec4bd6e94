"""Whether modalities stand in each other's way: a model for each of them alone, beside the fusion of all.

A fusion may lean on the modality that is learnt fastest and leave others untrained (modality competition; Huang et
al. 2022, arXiv 2203.12221). It shows where a model trained on one modality alone beats the fusion that is given the
same modality and no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mer_core.config import RunConfig
from mer_core.errors import MerError
from mer_core.evaluation import Interval, evaluate_subsets
from mer_core.feature_set import FeatureSet
from mer_core.report.rivals import Alone
from mer_core.workflows.features import keep_modalities, present_modalities
from mer_core.workflows.scoring import OutOfFold, groups_of, out_of_fold
from mer_core.workflows.train import Training, train_rows
from mer_core.workflows.workspace import Workspace


def train_alone(training: Training, held_out: OutOfFold, config: RunConfig, space: Workspace) -> tuple[Alone, ...]:
    """One more training for each modality of a run that has several and folds to score them on.

    Args:
        held_out: predictions of the fusion with all modalities.
    """
    modalities = tuple(present_modalities(training.data))
    if len(modalities) < 2 or not len(held_out.rows):
        return ()
    return tuple(_alone(name, training, held_out, config, space) for name in modalities)


def _alone(modality: str, training: Training, held_out: OutOfFold, config: RunConfig, space: Workspace) -> Alone:
    data = only(training.data, modality)
    try:
        found = train_rows(data, np.arange(len(data.ids)), training.plan, config, space)
        guess = out_of_fold(found.model, found.data).guesses
        masked = out_of_fold(training.model, keep_modalities(training.data, (modality,))).guesses
    except MerError as error:
        return Alone(modality=modality, reason=error.message)
    waf, gain = _paired(training.data, held_out.rows, [held_out.guesses, guess], config.seed)
    _, shortfall = _paired(training.data, held_out.rows, [guess, masked], config.seed)
    return Alone(modality=modality, waf=waf, shortfall=shortfall, gain=gain)


def only(data: FeatureSet, modality: str) -> FeatureSet:
    """The same clips and folds with the streams of one modality alone; a clip may be left with none."""
    names = [name for name, info in data.streams.items() if info.modality == modality]
    tables = {fold: {n: t[n] for n in names if n in t} for fold, t in data.fold_tables.items()}
    return replace(data, table={name: data.table[name] for name in names}, fold_tables=tables)


def _paired(
    data: FeatureSet, rows: NDArray[np.int64], guesses: Sequence[NDArray[np.int64]], seed: int
) -> tuple[Interval, Interval]:
    """WAF of the second of two predictions, and what the first has above it."""
    pair = {("first", "of two"): guesses[0][..., rows], ("second",): guesses[1][..., rows]}
    classes = len(data.targets.classes)
    second = evaluate_subsets(data.labels[rows], pair, classes, groups_of(data, rows), seed=seed)[1]
    return second.waf, second.gain
