"""The lines of a run's file of predictions: every clip, by what had not learnt from it where there is such."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mer_core.workflows.extract import Extraction
from mer_core.workflows.features import any_present, learnable, present_modalities
from mer_core.workflows.predict import as_prediction
from mer_core.workflows.predictions import HELD_OUT, MACHINE_MADE, NEW, TRAINED_ON, Row
from mer_core.workflows.train import Training
from mer_core.workflows.transcripts import machine_made

if TYPE_CHECKING:
    from mer_core.workflows.run import Scores


def prediction_rows(extraction: Extraction, training: Training, scores: Scores) -> list[Row]:
    """Every clip: out-of-fold where a fold held it out, else the ensemble's answer, and which of the two."""
    features, clips = extraction.features, extraction.table.clips
    held_out, probabilities, values = scores.held_out, scores.everybody.copy(), scores.targets.values.copy()
    folds = np.full(len(clips), -1)
    scored = held_out.rows
    probabilities[training.rows[scored]] = held_out.probabilities[scored]
    values[training.rows[scored]] = scores.targets.held[scored]
    folds[training.rows[scored]] = held_out.fold[scored]
    learnt = set(training.rows[learnable(training.data)].tolist())
    usable, present = any_present(features), present_modalities(features)
    heard = machine_made(extraction.config, extraction.report)
    rows = []
    for i, clip in enumerate(clips):
        there = {name: bool(bits[i]) for name, bits in present.items()}
        found = as_prediction(clip.id, probabilities[i], features.targets, there, values[i])
        if not usable[i]:
            found = replace(found, label=None, probabilities={}, values={})
        fold = str(folds[i] + 1) if folds[i] >= 0 else ""
        seen = HELD_OUT if fold else TRAINED_ON if i in learnt else NEW
        made = MACHINE_MADE if clip.id in heard else ""
        rows.append(Row(found, clip.split or "", clip.label or "", fold, seen, made, clip.values))
    return rows
