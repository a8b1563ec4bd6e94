"""Predictions + labels, values and votes -> metrics with intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mer_core.config import DataChoice
from mer_core.data.dataset import ClipTable
from mer_core.errors import DataError
from mer_core.evaluation import METRICS, Evaluation, Interval, evaluate_predictions, scores
from mer_core.evaluation_values import ValueEvaluation, VoteEvaluation, evaluate_values, evaluate_votes
from mer_core.feature_set import TargetSpec
from mer_core.target_choice import Names, with_targets
from mer_core.types import Clip, Prediction
from mer_core.workflows.data import clip_groups, load_data
from mer_core.workflows.features import value_table, vote_shares
from mer_core.workflows.label_match import match_labels, spelling
from mer_core.workflows.predictions import HELD_OUT, NEW, TRAINED_ON, PredictionFile, open_predictions
from mer_core.workflows.workspace import Workspace, open_workspace

SUM = 1e-3
"""How far the probabilities of a clip may be from adding up to 1."""


@dataclass(frozen=True, slots=True)
class Scored:
    """An evaluation, and what could not be scored.

    ``evaluation`` has 0 clips and no scores where the data have no labels, only ``values``. Of ``votes`` are predicted
    distributions beside the raters'. Where a run's predictions are both out-of-fold and of new clips, ``sections`` has
    each kind alone, ``"out-of-fold"`` and ``"new"``: they are answers of different models, and ``evaluation`` pools
    them. ``notes`` say which labels the predictions cannot have.
    """

    evaluation: Evaluation
    unpredicted: tuple[str, ...]
    trained_on: tuple[str, ...]
    unlabelled: tuple[str, ...]
    values: tuple[ValueEvaluation, ...] = ()
    votes: VoteEvaluation | None = None
    sections: Mapping[str, Scored] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def left_out(self) -> dict[str, list[str]]:
        """Ids that took no part in the score, by reason."""
        names = ("unpredicted", "trained_on", "unlabelled")
        return {name: list(getattr(self, name)) for name in names}


@dataclass(frozen=True, slots=True)
class _Judge:
    """What scores any of the clips: their answers and groups, and how the intervals are drawn."""

    table: ClipTable
    guesses: Mapping[str, Prediction]
    groups: Mapping[str, str | None]
    unit: str
    seed: int

    def score(self, clips: Sequence[Clip]) -> Scored:
        """Labels, values and votes of ``clips``, all of which are answered."""
        found, targets = [self.guesses[clip.id] for clip in clips], self.table.targets
        groups = [self.groups[clip.id] for clip in clips]
        return Scored(
            _labels(clips, found, targets.classes, groups, self.unit, self.seed),
            unpredicted=(),
            trained_on=(),
            unlabelled=(),
            values=tuple(_values(clips, found, targets, groups, self.unit, self.seed)),
            votes=_votes(clips, found, targets, groups, self.unit, self.seed),
        )


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
        DataError: no clip is both predicted and labelled, or no label is a class of the predictions.
    """
    file = open_predictions(Path(predictions)) if isinstance(predictions, str | Path) else None
    answers = [] if isinstance(predictions, str | Path) else list(predictions)
    space = space or open_workspace()
    choice = {"source": str(data), "columns": dict(columns or {}), "label_map": dict(label_map or {})}
    table = load_data(DataChoice(**with_targets(choice, values, votes)), space)
    guesses = file.read(table.targets.values) if file else {one.id: one for one in answers}
    seen = file.seen if file else {}
    asked = [c for c in table.clips if _has_target(c)]
    clips = [c for c in asked if split is None or c.split == split]
    scored = [c for c in clips if _answered(guesses.get(c.id)) and seen.get(c.id) != TRAINED_ON]
    if not scored:
        raise _nothing(file, str(data), clips, asked, split, guesses)
    names, found = [c.label for c in scored if c.label], [guesses[c.id] for c in scored]
    notes = match_labels(names, found, table.targets.classes)
    judge = _Judge(
        table, guesses, dict(zip([c.id for c in scored], clip_groups(scored, group), strict=True)), group, seed
    )
    return replace(
        judge.score(scored),
        unpredicted=tuple(c.id for c in clips if not _answered(guesses.get(c.id))),
        trained_on=tuple(c.id for c in clips if seen.get(c.id) == TRAINED_ON),
        unlabelled=tuple(c.id for c in table.clips if not _has_target(c) and _answered(guesses.get(c.id))),
        sections=_sections(judge, scored, seen),
        notes=notes,
    )


def _sections(judge: _Judge, scored: Sequence[Clip], seen: Mapping[str, str]) -> dict[str, Scored]:
    """Out-of-fold answers and those of the saved model, each alone; nothing where there is only one kind."""
    parts = {kind: [clip for clip in scored if seen.get(clip.id) == kind] for kind in (HELD_OUT, NEW)}
    return {kind: judge.score(part) for kind, part in parts.items()} if all(parts.values()) else {}


def _has_target(clip: Clip) -> bool:
    return bool(clip.label or clip.values or clip.votes)


def _answered(found: Prediction | None) -> bool:
    return found is not None and bool(found.label or found.values)


def _nothing(
    file: PredictionFile | None,
    data: str,
    clips: Sequence[Clip],
    labelled: Sequence[Clip],
    split: str | None,
    guesses: Mapping[str, Prediction],
) -> DataError:
    """Why none of ``clips``, the labelled ones of the split, can be scored."""
    source, seen = (file.path if file else "the predictions"), file.seen if file else {}
    if any(seen.get(clip.id) == TRAINED_ON for clip in clips):
        return DataError(
            f"{source} holds only predictions of clips that the model was trained on, which score nothing.",
            "Predict clips that it has not seen, or train with enough labelled clips for folds.",
        )
    if split is not None and not clips and labelled:
        return DataError(f"no labelled clip of {data} is of the split {split!r}.", _splits(split, labelled, guesses))
    return DataError(f"no clip of {data} is both labelled and predicted.", "Are the ids the same in both files?")


def _splits(asked: str, clips: Sequence[Clip], guesses: Mapping[str, Prediction]) -> str:
    """Which splits there are, with counts."""
    counts = Counter(clip.split or "" for clip in clips if _answered(guesses.get(clip.id)))
    there = [f"{name or 'none'} ({n:,})" for name, n in counts.most_common()]
    folds = " The val clips that took part in a run's folds are of its split train." if asked == "val" else ""
    return f"Splits of the labelled and predicted clips: {', '.join(there) or 'none'}.{folds}"


def _labels(
    clips: Sequence[Clip],
    found: Sequence[Prediction],
    known: tuple[str, ...],
    groups: Sequence[str | None],
    unit: str,
    seed: int,
) -> Evaluation:
    """Scores of the labels."""
    told = [
        (clip.label, one, group)
        for clip, one, group in zip(clips, found, groups, strict=True)
        if clip.label and one.label
    ]
    spelt = spelling({one.label for _, one, _ in told if one.label}, known)
    classes = (*known, *sorted(set(spelt.values()) - set(known)))
    index = {name: number for number, name in enumerate(classes)}
    if not told:
        return _unscored(classes)
    return evaluate_predictions(
        [index[label] for label, _, _ in told],
        [index[spelt[one.label or ""]] for _, one, _ in told],
        classes,
        [group for _, _, group in told],
        unit=unit,
        probabilities=_probabilities([one for _, one, _ in told], classes),
        seed=seed,
    )


def _probabilities(found: Sequence[Prediction], classes: Sequence[str]) -> list[list[float]] | None:
    """Probabilities [N, C], None unless every prediction has them for these classes and they add up to 1."""
    names = {name for one in found for name in one.probabilities}
    theirs = {spelt: name for name, spelt in spelling(names, classes).items()}
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
    clips: Sequence[Clip],
    found: Sequence[Prediction],
    targets: TargetSpec,
    groups: Sequence[str | None],
    unit: str,
    seed: int,
) -> list[ValueEvaluation]:
    names, true = targets.values, value_table(clips, targets)
    if true is None:
        return []
    known, nan = groups if any(groups) else None, float("nan")
    each = [
        evaluate_values(name, true[:, i], [one.values.get(name, nan) for one in found], known, unit=unit, seed=seed)
        for i, name in enumerate(names)
    ]
    return [one for one in each if one is not None]


def _votes(
    clips: Sequence[Clip],
    found: Sequence[Prediction],
    targets: TargetSpec,
    groups: Sequence[str | None],
    unit: str,
    seed: int,
) -> VoteEvaluation | None:
    shares = vote_shares(clips, targets)
    if shares is None:
        return None
    guesses = [_distribution(one.probabilities, targets.classes) for one in found]
    known = groups if any(groups) else None
    return evaluate_votes(shares, np.asarray(guesses, np.float64), known, unit=unit, seed=seed)


def _distribution(probabilities: Mapping[str, float], classes: Sequence[str]) -> list[float]:
    """Probabilities in the order of ``classes``; NaN where there are none."""
    spelt = spelling(set(probabilities), classes)
    found = {spelt[name]: share for name, share in probabilities.items()}
    return [found.get(name, 0.0) if found else float("nan") for name in classes]
