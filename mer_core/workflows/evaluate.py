"""Predictions + labels -> metrics with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mer_core.config import DataChoice
from mer_core.data.vocabulary import normalise_labels
from mer_core.errors import DataError
from mer_core.evaluation import Evaluation, evaluate_predictions
from mer_core.types import Prediction
from mer_core.workflows.data import clip_groups, load_data
from mer_core.workflows.predictions import read_predictions
from mer_core.workflows.workspace import Workspace, open_workspace


@dataclass(frozen=True, slots=True)
class Scored:
    """An evaluation, and what could not be scored."""

    evaluation: Evaluation
    unpredicted: tuple[str, ...]
    trained_on: tuple[str, ...]
    unlabelled: tuple[str, ...]

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
    seed: int = 0,
    space: Workspace | None = None,
) -> Scored:
    """Score predictions against the labels of a manifest, those of clips trained on left out.

    Args:
        predictions: a ``predictions.csv``, or what :func:`predict` returned.
        group: column whose values are resampled for the intervals.
        split: score only clips of this split.

    Raises:
        DataError: no clip is both predicted and labelled, or a predicted label is unknown.
    """
    space = space or open_workspace()
    choice = DataChoice(source=str(data), columns=dict(columns or {}), label_map=dict(label_map or {}))
    table = load_data(choice, space)
    guesses, known = _guesses(predictions)
    clips = [c for c in table.clips if c.label and (split is None or c.split == split)]
    scored = [c for c in clips if guesses.get(c.id) and c.id not in known]
    if not scored and any(c.id in known for c in clips):
        raise DataError(
            f"{predictions} holds only predictions of clips that the model was trained on, which score nothing.",
            "Predict clips that it has not seen, or train with enough labelled clips for folds.",
        )
    if not scored:
        raise DataError(f"no clip of {data} is both labelled and predicted.", "Are the ids the same in both files?")
    spelling = _spelling({guesses[c.id] for c in scored}, table.targets.classes)
    classes = (*table.targets.classes, *sorted(set(spelling.values()) - set(table.targets.classes)))
    index = {name: number for number, name in enumerate(classes)}
    found = evaluate_predictions(
        [index[c.label or ""] for c in scored],
        [index[spelling[guesses[c.id]]] for c in scored],
        classes,
        clip_groups(scored, group),
        unit=group,
        seed=seed,
    )
    return Scored(
        found,
        unpredicted=tuple(c.id for c in clips if not guesses.get(c.id)),
        trained_on=tuple(c.id for c in clips if c.id in known),
        unlabelled=tuple(c.id for c in table.clips if not c.label and guesses.get(c.id)),
    )


def _guesses(predictions: str | Path | Iterable[Prediction]) -> tuple[dict[str, str], frozenset[str]]:
    if isinstance(predictions, str | Path):
        return read_predictions(Path(predictions))
    return {one.id: one.label or "" for one in predictions}, frozenset()


def _spelling(labels: set[str], classes: tuple[str, ...]) -> Mapping[str, Any]:
    """How the data spell each predicted label: as it is, or by its synonym in the vocabulary."""
    mapping, _ = normalise_labels(sorted(labels))
    return {label: label if label in classes else mapping.get(label, label) for label in labels}
