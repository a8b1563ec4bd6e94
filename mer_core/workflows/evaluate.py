"""Predictions + labels, values and votes -> metrics with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mer_core.config import DataChoice
from mer_core.data.dataset import ClipTable
from mer_core.data.vocabulary import normalise_labels
from mer_core.errors import DataError
from mer_core.evaluation import METRICS, Evaluation, Interval, evaluate_predictions, scores
from mer_core.evaluation_values import ValueEvaluation, VoteEvaluation, evaluate_values, evaluate_votes
from mer_core.target_choice import Names, with_targets
from mer_core.types import Clip, Prediction
from mer_core.workflows.data import clip_groups, load_data
from mer_core.workflows.features import value_table, vote_shares
from mer_core.workflows.predictions import read_predictions
from mer_core.workflows.workspace import Workspace, open_workspace

SUM = 1e-3
"""How far the probabilities of a clip may be from adding up to 1."""


@dataclass(frozen=True, slots=True)
class Scored:
    """An evaluation, and what could not be scored.

    ``evaluation`` has 0 clips and no scores where the data have no labels, only ``values``. Of ``votes`` are predicted
    distributions beside the raters'.
    """

    evaluation: Evaluation
    unpredicted: tuple[str, ...]
    trained_on: tuple[str, ...]
    unlabelled: tuple[str, ...]
    values: tuple[ValueEvaluation, ...] = ()
    votes: VoteEvaluation | None = None

    def left_out(self) -> dict[str, list[str]]:
        """Ids that took no part in the score, by reason."""
        names = ("unpredicted", "trained_on", "unlabelled")
        return {name: list(getattr(self, name)) for name in names}


def evaluate(
    predictions: str | Path | Iterable[Prediction],
    data: str | Path,
    *,
    group: str = "speaker",
    split: str | None = None,
    columns: Mapping[str, str] | None = None,
    label_map: Mapping[str, str] | None = None,
    values: Names | None = None,
    votes: Names | None = None,
    seed: int = 0,
    space: Workspace | None = None,
) -> Scored:
    """Score predictions against the labels of a manifest, those of clips trained on left out.

    Args:
        predictions: a ``predictions.csv``, or what :func:`predict` returned.
        group: column whose values are resampled for the intervals.
        split: score only clips of this split.
        values: columns with the true continuous targets, too; ``votes`` those of raters' votes.

    Raises:
        DataError: no clip is both predicted and labelled, or a predicted label is unknown.
    """
    space = space or open_workspace()
    choice = {"source": str(data), "columns": dict(columns or {}), "label_map": dict(label_map or {})}
    table = load_data(DataChoice(**with_targets(choice, values, votes)), space)
    guesses, known = _guesses(predictions, table.targets.values)
    clips = [c for c in table.clips if _has_target(c) and (split is None or c.split == split)]
    scored = [c for c in clips if _answered(guesses.get(c.id)) and c.id not in known]
    _refuse_nothing(predictions, data, scored, any(c.id in known for c in clips))
    found = [guesses[c.id] for c in scored]
    return Scored(
        _labels(scored, found, table, group, seed),
        unpredicted=tuple(c.id for c in clips if not _answered(guesses.get(c.id))),
        trained_on=tuple(c.id for c in clips if c.id in known),
        unlabelled=tuple(c.id for c in table.clips if not _has_target(c) and _answered(guesses.get(c.id))),
        values=tuple(_values(scored, found, table, group, seed)),
        votes=_votes(scored, found, table, group, seed),
    )


def _has_target(clip: Clip) -> bool:
    return bool(clip.label or clip.values or clip.votes)


def _answered(found: Prediction | None) -> bool:
    return found is not None and bool(found.label or found.values)


def _refuse_nothing(predictions: object, data: object, scored: Sequence[Clip], known: bool) -> None:
    if not scored and known:
        raise DataError(
            f"{predictions} holds only predictions of clips that the model was trained on, which score nothing.",
            "Predict clips that it has not seen, or train with enough labelled clips for folds.",
        )
    if not scored:
        raise DataError(f"no clip of {data} is both labelled and predicted.", "Are the ids the same in both files?")


def _labels(clips: Sequence[Clip], found: Sequence[Prediction], table: ClipTable, group: str, seed: int) -> Evaluation:
    """Scores of the labels."""
    told = [(clip, one) for clip, one in zip(clips, found, strict=True) if clip.label and one.label]
    pairs = [(clip, one.label or "") for clip, one in told]
    spelling = _spelling({label for _, label in pairs}, table.targets.classes)
    classes = (*table.targets.classes, *sorted(set(spelling.values()) - set(table.targets.classes)))
    index = {name: number for number, name in enumerate(classes)}
    if not pairs:
        return _unscored(classes)
    return evaluate_predictions(
        [index[clip.label or ""] for clip, _ in pairs],
        [index[spelling[label]] for _, label in pairs],
        classes,
        clip_groups([clip for clip, _ in pairs], group),
        unit=group,
        probabilities=_probabilities([one for _, one in told], classes),
        seed=seed,
    )


def _probabilities(found: Sequence[Prediction], classes: Sequence[str]) -> list[list[float]] | None:
    """Probabilities [N, C], None unless every prediction has them for these classes and they add up to 1."""
    names = {name for one in found for name in one.probabilities}
    theirs = {spelt: name for name, spelt in _spelling(names, tuple(classes)).items()}
    rows = [[one.probabilities.get(theirs.get(name, name), 0.0) for name in classes] for one in found]
    return rows if all(abs(sum(row) - 1) < SUM for row in rows) else None


def _unscored(classes: tuple[str, ...]) -> Evaluation:
    """An evaluation of no clip."""
    nan = float("nan")
    nothing = {name: Interval(nan) for name in METRICS}
    empty = scores([], [], len(classes))
    return Evaluation(
        classes=classes,
        scores=empty,
        intervals=nothing,
        unit="clip",
        n_units=0,
        resamples=0,
        level=0.95,
        chance=nan,
        note="No scored clip is labelled.",
    )


def _values(
    clips: Sequence[Clip], found: Sequence[Prediction], table: ClipTable, group: str, seed: int
) -> list[ValueEvaluation]:
    names, true = table.targets.values, value_table(clips, table.targets)
    if true is None:
        return []
    groups, nan = clip_groups(clips, group), float("nan")
    known = groups if any(groups) else None
    each = [
        evaluate_values(name, true[:, i], [one.values.get(name, nan) for one in found], known, unit=group, seed=seed)
        for i, name in enumerate(names)
    ]
    return [one for one in each if one is not None]


def _votes(
    clips: Sequence[Clip], found: Sequence[Prediction], table: ClipTable, group: str, seed: int
) -> VoteEvaluation | None:
    shares = vote_shares(clips, table.targets)
    if shares is None:
        return None
    groups = clip_groups(clips, group)
    guesses = [_distribution(one.probabilities, table.targets.classes) for one in found]
    known = groups if any(groups) else None
    return evaluate_votes(shares, np.asarray(guesses, np.float64), known, unit=group, seed=seed)


def _distribution(probabilities: Mapping[str, float], classes: Sequence[str]) -> list[float]:
    """Probabilities in the order of ``classes``; NaN where there are none."""
    spelling = _spelling(set(probabilities), tuple(classes))
    found = {spelling[name]: share for name, share in probabilities.items()}
    return [found.get(name, 0.0) if found else float("nan") for name in classes]


def _guesses(
    predictions: str | Path | Iterable[Prediction], values: Sequence[str]
) -> tuple[dict[str, Prediction], frozenset[str]]:
    if isinstance(predictions, str | Path):
        return read_predictions(Path(predictions), values)
    return {one.id: one for one in predictions}, frozenset()


def _spelling(labels: set[str], classes: tuple[str, ...]) -> Mapping[str, Any]:
    """How the data spell each predicted label: as it is, or by its synonym in the vocabulary."""
    mapping, _ = normalise_labels(sorted(labels))
    return {label: label if label in classes else mapping.get(label, label) for label in labels}
