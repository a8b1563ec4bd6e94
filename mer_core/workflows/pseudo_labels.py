"""What self-training did, from the model's own account: rounds with intervals, audited where labels are held back."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from mer_core.config import RunConfig
from mer_core.data.vocabulary import normalise_labels
from mer_core.errors import UsageError
from mer_core.evaluation import SubsetScore, evaluate_subsets
from mer_core.feature_set import FeatureSet
from mer_core.files import write_text
from mer_core.report.build import score
from mer_core.report.parts import Score
from mer_core.report.rounds import Round, SelfTraining
from mer_core.types import Clip
from mer_core.workflows.seeds import SeveralSeeds
from mer_core.workflows.train import Training

SUMMARY = "self_training"
"""Where a model's summary tells of its rounds."""

FILE = "pseudo_labels.csv"
KEPT = "kept"
MEASURED = ("added", "confidence", "entropy", "agreement")


Account = Mapping[str, Any]
"""What one training says of its rounds."""


def accounts(training: Training) -> list[Account]:
    """The model's own account, one for each of several seeds; none where it learnt from labels alone."""
    model = training.model
    models = model.models.values() if isinstance(model, SeveralSeeds) else [model]
    found = [one.summary.get(SUMMARY) for one in models]
    return [one for one in found if isinstance(one, Mapping)]


def self_training(training: Training, audit: Mapping[str, str], seed: int) -> SelfTraining | None:
    """The rounds for the report; of several seeds the means, one that ended early staying as it was.

    Args:
        audit: clip id -> label that the data hold back, where there are any.
    """
    found = accounts(training)
    if not found:
        return None
    count = max(len(one["rounds"]) for one in found)
    scores = _scores(training.data, found, count, seed)
    first = scores.get("0")
    return SelfTraining(
        method=str(found[0]["method"]),
        source=str(found[0]["from"]),
        pool=int(found[0]["pool"]),
        kept=int(found[0]["kept"]),
        stopped="; ".join(dict.fromkeys(str(one["stopped"]) for one in found)),
        rounds=tuple(_round(number, found, scores.get(str(number)), audit) for number in range(count)),
        gain=score(first.gain) if first else None,
    )


def _scores(data: FeatureSet, found: Sequence[Account], count: int, seed: int) -> dict[str, SubsetScore]:
    """By round: its WAF on the clips that folds held out, and what the kept round adds to it."""
    held = found[0]["rounds"][0]["held_out"]
    rows = [row for row, name in enumerate(data.ids) if name in held and data.labels[row] >= 0]
    if not rows:
        return {}
    names = [data.ids[row] for row in rows]
    groups = None if data.groups is None else [data.groups[row] or None for row in rows]

    def guesses(numbers: Sequence[int]) -> list[list[int]]:
        kept = [_at(one, number)["held_out"] for one, number in zip(found, numbers, strict=True)]
        return [[own[name] for name in names] for own in kept]

    every: dict[tuple[str, ...], list[list[int]]] = {(KEPT,): guesses([int(one["kept"]) for one in found])}
    every |= {(str(number),): guesses([number] * len(found)) for number in range(count)}
    known = groups if groups and any(groups) else None
    scored = evaluate_subsets(data.labels[rows], every, len(data.targets.classes), known, seed=seed)
    return {one.modalities[0]: one for one in scored}


def _at(account: Account, number: int) -> Mapping[str, Any]:
    """A round, or the last one where it ended before."""
    rounds: Sequence[Mapping[str, Any]] = account["rounds"]
    return rounds[min(number, len(rounds) - 1)]


def _round(number: int, found: Sequence[Account], scored: SubsetScore | None, audit: Mapping[str, str]) -> Round:
    there = [one["rounds"][number] for one in found if number < len(one["rounds"])]
    learnt = [_at(one, number)["learnt"] for one in found]
    measured = {key: _mean([one.get(key) for one in there]) for key in MEASURED}
    measured["confidence"] = _mean([one.get("confidence") for one in there], [one.get("added") or 0 for one in there])
    return Round(
        round=number,
        waf=score(scored.waf) if scored else Score(value=None),
        learnt={name: float(np.mean([own[name] for own in learnt])) for name in learnt[0]},
        given=_given(there),
        audit=_mean([_audited(one, audit) for one in there]),
        **measured,
    )


def _given(there: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """New labels of a round by class, the mean over members and seeds; empty where none says."""
    members = [own for one in there for own in one.get("given", ())]
    classes = list(there[0]["learnt"]) if members else []
    counts = [Counter(own.values()) for own in members]
    return {name: float(np.mean([own[label] for own in counts])) for label, name in enumerate(classes)}


def _mean(values: Sequence[float | None], weights: Sequence[float] | None = None) -> float | None:
    """Of those that are known; None where none is, or all have no weight."""
    pairs = [(v, w) for v, w in zip(values, weights or [1.0] * len(values), strict=True) if v is not None]
    total = sum(weight for _, weight in pairs)
    return sum(value * weight for value, weight in pairs) / total if total else None


def _audited(one: Mapping[str, Any], audit: Mapping[str, str]) -> float | None:
    """Share of the labels given in this round that the data's own agree with, over all members."""
    classes = list(one["learnt"])
    pairs = [
        (audit[name], classes[label]) for own in one.get("given", ()) for name, label in own.items() if name in audit
    ]
    return float(np.mean([truth == guess for truth, guess in pairs])) if pairs else None


def audit_labels(clips: Sequence[Clip], config: RunConfig) -> dict[str, str]:
    """Labels that the data hold back, by clip id: those of the column ``config.audit_labels``.

    That may be the column of labels itself, whose cells are not learnt from where the split is ``unlabelled``.

    Raises:
        UsageError: no clip has anything there.
    """
    column = config.audit_labels
    if not column:
        return {}
    own = column in {"label", "labels", config.data.columns.get("label")}
    values = {clip.id: (clip.label if own else None) or clip.meta.get("label" if own else column) for clip in clips}
    found = {name: str(value) for name, value in values.items() if value not in (None, "")}
    if not found:
        columns = ", ".join(dict.fromkeys(name for clip in clips for name in clip.meta)) or "none"
        raise UsageError(f"--audit-labels: the data have nothing in {column!r}.", f"Other columns: {columns}.")
    spelling, _ = normalise_labels(found.values(), config.data.label_map)
    return found if own else {name: spelling[value] for name, value in found.items()}


def write_pseudo_labels(file: Path, training: Training) -> bool:
    """Every pseudo-label of the last round, by fold (and seed, of several); False where there was no self-training."""
    found = accounts(training)
    if not found:
        return False
    classes = training.data.targets.classes
    model = training.model
    seeds: list[int | None] = [*model.models] if isinstance(model, SeveralSeeds) else []
    written = StringIO()
    table = csv.writer(written, lineterminator="\n")
    table.writerow(["id", "fold", "label", *(["seed"] if seeds else [])])
    for seed, one in zip(seeds or [None], found, strict=True):
        for fold, own in enumerate(one["labels"], 1):
            table.writerows([name, fold, classes[label], *([seed] if seeds else [])] for name, label in own.items())
    write_text(file, written.getvalue())
    return True
