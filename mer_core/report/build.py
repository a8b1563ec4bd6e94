"""Turns what evaluation, engine and trainer return into parts of a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mer_core.report.calibration import calibration
from mer_core.report.facts import Curve, FailedClip, FoldFacts, ModelFacts, Presence
from mer_core.report.parts import Score
from mer_core.report.sections import Baseline, ClassScore, GroupLine, Section, Subset
from mer_core.report.seeds import seeds

if TYPE_CHECKING:
    from mer_core.data.folds import FoldPlan
    from mer_core.evaluation import Evaluation, GroupScore, Interval, SubsetScore

STATED = ("selection", "optimistic", "parameters", "epochs", "steps", "stacked", "stacked_reason")
"""Keys of a model's summary that the report states as they are."""


def section(
    evaluation: Evaluation,
    selection: str = "last",
    optimistic: bool = False,
    contaminated: int = 0,
    contaminated_by: Sequence[str] = (),
) -> Section:
    """One set of scores.

    Args:
        optimistic: the epoch was chosen on the very clips scored here.
        contaminated: of how many of these clips the labels had been learnt from, and ``contaminated_by`` what.
    """
    found = evaluation.scores
    return Section(
        **{name: score(interval) for name, interval in evaluation.intervals.items()},
        selection=selection,
        optimistic=optimistic,
        contaminated=contaminated,
        contaminated_by=tuple(contaminated_by),
        n=found.n,
        unit=evaluation.unit,
        n_units=evaluation.n_units,
        resamples=evaluation.resamples,
        level=evaluation.level,
        chance=evaluation.chance,
        note=evaluation.note,
        classes=_classes(evaluation),
        confusion=tuple(tuple(_count(cell) for cell in row) for row in found.confusion),
        per_group=_lines(evaluation.per_group),
        folds=_lines(evaluation.folds),
        seeds=seeds(evaluation.seeds),
        calibration=calibration(evaluation.calibration),
    )


def _count(found: float) -> int | float:
    """A whole number as such; a mean over seeds, rounded, as it is."""
    return int(found) if float(found).is_integer() else round(float(found), 4)


def score(interval: Interval) -> Score:
    """An interval as the report writes it."""
    return Score(value=interval.value, low=interval.low, high=interval.high)


def _classes(evaluation: Evaluation) -> tuple[ClassScore, ...]:
    """Recall of a class without clips and precision of one never predicted are undefined: None."""
    found = evaluation.scores
    rows = []
    for i, name in enumerate(evaluation.classes):
        n, predicted = int(found.support[i]), _count(found.predicted[i])
        rows.append(
            ClassScore(
                name=name,
                n=n,
                predicted=predicted,
                precision=float(found.precision[i]) if predicted else None,
                recall=float(found.recall[i]) if n else None,
                f1=float(found.f1[i]) if n or predicted else None,
            )
        )
    return tuple(rows)


def _lines(found: Iterable[GroupScore]) -> tuple[GroupLine, ...]:
    return tuple(GroupLine(name=g.name, n=g.n, waf=g.waf, uar=g.uar, accuracy=g.accuracy) for g in found)


def subsets(found: Iterable[SubsetScore]) -> tuple[Subset, ...]:
    """The subsets of modalities, as :func:`mer_core.evaluation.evaluate_subsets` scored them."""
    return tuple(
        Subset(
            modalities=one.modalities,
            waf=one.waf.value,
            low=one.waf.low,
            high=one.waf.high,
            n=one.n,
            gain=score(one.gain),
        )
        for one in found
    )


def baseline(name: str, stream: str, evaluation: Evaluation) -> Baseline:
    """What ``stream`` scores without training; ``name`` says by which way."""
    return Baseline(name=name, stream=stream, waf=score(evaluation.intervals["waf"]), n=evaluation.scores.n)


def presence(
    ids: Sequence[str], present: Mapping[str, Sequence[bool]], reasons: Mapping[str, Mapping[str, str]]
) -> tuple[Presence, ...]:
    """Missing modalities, counted.

    Args:
        ids: the N clips.
        present: per modality, whether each clip has it ([N]).
        reasons: per modality, why a clip has it not, by clip id (missing or failed).
    """
    rows = []
    for modality, bits in present.items():
        known = reasons.get(modality, {})
        absent = [known.get(id, "not given") for id, bit in zip(ids, bits, strict=True) if not bit]
        counts = dict(Counter(absent).most_common())
        rows.append(Presence(modality=modality, present=len(ids) - len(absent), missing=len(absent), reasons=counts))
    return tuple(rows)


def failures(found: Iterable[Any]) -> tuple[FailedClip, ...]:
    """The engine's failures (anything with ``id``, ``stage``, ``reason`` and perhaps ``stream``)."""
    return tuple(
        FailedClip(id=one.id, stage=one.stage, reason=one.reason, stream=getattr(one, "stream", None) or "")
        for one in found
    )


def fold_facts(plan: FoldPlan) -> FoldFacts:
    """The split plan, counted."""
    sizes = tuple((len(fold.train), len(fold.val)) for fold in plan.folds)
    return FoldFacts(kind=plan.kind, group=plan.group, sizes=sizes, notes=plan.notes)


def cv_reason(plan: FoldPlan) -> str | None:
    """Why there is no cross-validation, or None where there is."""
    if plan.kind == "val":
        return "The data have a val split of their own, which was scored instead of folds."
    return plan.reason


def no_classes(classes: Sequence[str]) -> str | None:
    """Why there is no score of classes where there are values alone."""
    return None if classes else "There are continuous values to predict, and no classes."


def model_facts(summary: Mapping[str, Any], fusion: str, trainer: str, **options: Any) -> ModelFacts:
    """What a model's ``summary`` says; keys that a trainer does not give stay at their defaults.

    Args:
        summary: :attr:`mer_core.protocols.Model.summary`.
        fusion: registry name.
        trainer: registry name.
        options: further options to list, e.g. those of the fusion.
    """
    given = {key: summary[key] for key in STATED if key in summary}
    lines = curves(summary.get("curves", ()))
    return ModelFacts(
        fusion=fusion,
        trainer=trainer,
        members=summary.get("members", max(1, len(lines))),
        seeds=tuple(summary.get("seeds", ())),
        temperatures=tuple(summary.get("temperatures", ())),
        imputed={name: _cells(found) for name, found in summary.get("imputed", {}).items()},
        curves=lines,
        notes=tuple(summary.get("notes", ())),
        options={**options, **summary.get("options", {})},
        **given,
    )


def _cells(found: Any) -> int:
    return int(found["cells"]) if isinstance(found, Mapping) else int(found)


def curves(found: Sequence[Mapping[str, Any]]) -> tuple[Curve, ...]:
    """Learning curves of the folds in order; of one model on all clips if there is only one."""
    return tuple(
        Curve(
            fold=one.get("fold", fold + 1 if len(found) > 1 else None),
            seed=one.get("seed"),
            loss=tuple(one.get("train_loss", ())),
            waf=tuple(one.get("selection_waf", ())),
            waf_epochs=tuple(one.get("checked_epochs", ())),
            chosen=one.get("chosen_epoch"),
        )
        for fold, one in enumerate(found)
    )
