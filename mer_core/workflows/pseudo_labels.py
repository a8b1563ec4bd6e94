"""What self-training did, from the model's own account: rounds with intervals, audited where labels are held back."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from mer_core.evaluation import SubsetScore, evaluate_subsets
from mer_core.files import write_text
from mer_core.report.build import score
from mer_core.report.parts import Score
from mer_core.report.rounds import Round, SelfTraining
from mer_core.types import Clip, FeatureSet
from mer_core.workflows.train import Training

SUMMARY = "self_training"
"""Where a model's summary tells of its rounds."""

FILE = "pseudo_labels.csv"
KEPT = "kept"


def told(training: Training) -> Mapping[str, Any] | None:
    """The model's own account, None where it learnt from labels alone."""
    found = training.model.summary.get(SUMMARY)
    return found if isinstance(found, Mapping) else None


def self_training(training: Training, audit: Mapping[str, str], seed: int) -> SelfTraining | None:
    """The rounds for the report.

    Args:
        audit: clip id -> label that the data hold back, where there are any.
    """
    found = told(training)
    if found is None:
        return None
    scores = _scores(training.data, found["rounds"], int(found["kept"]), seed)
    rounds = [_round(one, scores.get(str(one["round"])), _audited(one, found, audit)) for one in found["rounds"]]
    first = scores.get("0")
    return SelfTraining(
        method=str(found["method"]),
        source=str(found["from"]),
        pool=int(found["pool"]),
        kept=int(found["kept"]),
        stopped=str(found["stopped"]),
        rounds=tuple(rounds),
        gain=score(first.gain) if first else None,
    )


def _scores(data: FeatureSet, rounds: Sequence[Mapping[str, Any]], kept: int, seed: int) -> dict[str, SubsetScore]:
    """By round: its WAF on the clips that folds held out, and what the kept round adds to it."""
    held = rounds[0]["held_out"]
    rows = [row for row, name in enumerate(data.ids) if name in held and data.labels[row] >= 0]
    if not rows:
        return {}
    names = [data.ids[row] for row in rows]
    groups = None if data.groups is None else [data.groups[row] or None for row in rows]
    guesses: dict[tuple[str, ...], list[int]] = {(KEPT,): [rounds[kept]["held_out"][name] for name in names]}
    guesses |= {(str(one["round"]),): [one["held_out"][name] for name in names] for one in rounds}
    known = groups if groups and any(groups) else None
    found = evaluate_subsets(data.labels[rows], guesses, len(data.targets.classes), known, seed=seed)
    return {one.modalities[0]: one for one in found}


def _round(one: Mapping[str, Any], found: SubsetScore | None, audit: float | None) -> Round:
    measured = {key: one.get(key) for key in ("added", "confidence", "entropy", "agreement")}
    waf = score(found.waf) if found else Score(value=None)
    return Round(round=one["round"], waf=waf, learnt=one["learnt"], audit=audit, **measured)


def _audited(one: Mapping[str, Any], found: Mapping[str, Any], audit: Mapping[str, str]) -> float | None:
    """Share of the labels given in this round that the data's own agree with, over all members."""
    classes = list(one["learnt"])
    pairs = [
        (audit[name], classes[label]) for own in one.get("given", ()) for name, label in own.items() if name in audit
    ]
    return float(np.mean([truth == guess for truth, guess in pairs])) if pairs else None


def audit_labels(clips: Sequence[Clip], column: str) -> dict[str, str]:
    """Labels that the manifest holds back, by clip id: those of ``column``, for clips that are not learnt from."""
    if not column:
        return {}
    values = {clip.id: clip.label if column == "label" else clip.meta.get(column) for clip in clips}
    return {name: str(value) for name, value in values.items() if value not in (None, "")}


def write_pseudo_labels(file: Path, training: Training) -> bool:
    """Every pseudo-label of the last round, by fold; False where there was no self-training."""
    found = told(training)
    if found is None:
        return False
    classes = training.data.targets.classes
    written = StringIO()
    table = csv.writer(written, lineterminator="\n")
    table.writerow(["id", "fold", "label"])
    for fold, own in enumerate(found["labels"], 1):
        table.writerows([name, fold, classes[label]] for name, label in own.items())
    write_text(file, written.getvalue())
    return True
