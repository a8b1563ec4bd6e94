"""What a reader should know before quoting a score, in plain sentences read off the numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mer_core.report.calibration import finding
from mer_core.report.causes import causes
from mer_core.report.rivals import sentences
from mer_core.report.tuning import tuning_findings
from mer_core.report.values import value_findings
from mer_core.report.words import (
    TITLES,
    bounds,
    count,
    listed,
    number,
    percent,
    sections,
    sentence,
    transcripts,
    units,
    worth,
)

if TYPE_CHECKING:
    from mer_core.report.facts import Presence
    from mer_core.report.model import RunReport
    from mer_core.report.parts import Score
    from mer_core.report.sections import Section, Subset

FEW_UNITS = 10
FEW_CLIPS = 5
ENOUGH_LABELS = 100
MUCH_MISSING = 0.25
MOST_CAUSES = 3
CAUSES = {
    "extractor": (
        "An extractor had learnt from {n} of the {clips}, with their labels; do not compare it with scores that are"
        " clean. The option --crossfit fold, without --fitted, gives an honest one."
    ),
    "pseudo-labels": (
        "Pseudo-labels came from all folds together, and each clip's label was known to the other folds; do not compare"
        " it with scores that are clean. The option --pseudo-from fold gives an honest one."
    ),
}
"""How a score came to be contaminated, and what to do, by what had learnt the labels."""

FAILED = "failed: "
"""How the reason begins why a clip lacks a modality that something went wrong with."""


def find(report: RunReport) -> tuple[str, ...]:
    """Every finding, the gravest first; none twice."""
    found = [
        *_about_data(report),
        *_about_absence_of_scores(report),
        *(line for key, section in sections(report).items() for line in _about_section(report, key, section)),
        *value_findings(report.metrics.values),
        *_about_modalities(report),
        *sentences(report.competition),
        *_about_clips(report),
        *(sentence(note) for note in (report.folds.notes if report.folds else ())),
        *tuning_findings(report.tuning),
        *_about_self_training(report),
        *_about_deployment(report),
        *(sentence(note) for note in report.model.notes),
        *(sentence(note) for note in report.warnings),
    ]
    return tuple(dict.fromkeys(found))


def _about_data(report: RunReport) -> Iterator[str]:
    if report.data.synthetic:
        yield (
            "These data are synthetic: a program drew and voiced them. The scores show that everything works together;"
            " they say nothing about real emotions."
        )
    if report.transcripts:
        yield f"Text: {transcripts(report.transcripts)}."


def _about_self_training(report: RunReport) -> Iterator[str]:
    found = report.self_training
    if found is None:
        return
    if not found.pool:
        yield "Self-training had nothing to learn from: there is no unlabelled clip (split unlabelled, or no label)."
        return
    if not any(sum(filter(None, one.learnt.values())) for one in found.rounds):
        yield f"Self-training gave no clip a label and changed nothing: {found.stopped}."
        return
    gain = found.gain
    if gain is None or gain.value is None:
        return
    told = f"WAF {number(gain.value, sign=True)} beside no self-training"
    told += (
        f", interval {number(gain.low, sign=True)} to {number(gain.high, sign=True)}" if gain.low is not None else ""
    )
    if gain.low is not None and gain.low > 0:
        yield f"Self-training helped: {told}."
    elif gain.high is not None and gain.high < 0:
        yield f"Self-training made the score worse: {told}."
    else:
        yield f"Self-training did not help by more than chance could explain: {told}."


def _about_deployment(report: RunReport) -> Iterator[str]:
    if report.model.deployed == "refit":
        held_out = "the score on the val split" if report.metrics.val else "the cross-validated score"
        tested = " The test split was scored with the saved model." if report.metrics.test else ""
        yield (
            f"The model that was saved was fitted to all labelled clips afterwards: {held_out} is that of its folds,"
            f" and says about it only what it says about the way it was made.{tested}"
        )


def _about_absence_of_scores(report: RunReport) -> Iterator[str]:
    metrics, n = report.metrics, report.data.n_labelled
    if metrics.cv is None and metrics.cv_reason and not metrics.values:
        yield f"There is no cross-validated score. {sentence(metrics.cv_reason)}"
    if not sections(report) and report.classes and 0 < n < ENOUGH_LABELS:
        yield worth(n, report.data.class_counts)


def _about_section(report: RunReport, key: str, section: Section) -> Iterator[str]:
    name = TITLES[key]
    if section.contaminated:
        yield f"{name}: this score is contaminated. {CAUSES[(section.contaminated_by or ('extractor',))[0]]}".format(
            n=f"{section.contaminated:,}", clips=count(section.n, "scored clip")
        )
    if section.optimistic:
        yield (
            f"{name}: this score is optimistic. The best epoch was chosen on the very clips that are scored; do not"
            " compare it with scores that were not selected like that. The option --select last gives an honest one."
        )
    if section.waf.low is not None and section.chance is not None and section.waf.low <= section.chance:
        yield (
            f"{name}: the {percent(section.level)} interval of the WAF ({bounds(section.waf)})"
            f" {_beside_chance(section)} what guessing gives ({number(section.chance)}). These clips do not show that"
            " the model has learnt anything."
        )
    yield from _about_units(report, key, name, section)
    yield from finding(name, section.calibration, section.level, report.model.options.get("calibrate"))
    yield from _about_classes(name, section)


def _beside_chance(section: Section) -> str:
    high, chance = section.waf.high, section.chance
    return "lies below" if high is not None and chance is not None and high < chance else "includes"


def _about_units(report: RunReport, key: str, name: str, section: Section) -> Iterator[str]:
    if section.unit == "clip":
        yield (
            f"{name}: {_lower(section.note) or 'single clips were resampled.'} Where one person speaks in several"
            " clips, the interval is too narrow" + (" and the score may be too high." if key == "cv" else ".")
        )
    elif section.n_units < FEW_UNITS:
        yield (
            f"{name}: with only {units(section.n_units, section.unit)} the interval is rough and rather too narrow."
            " The score of each one is listed too."
        )
    if key == "cv" and report.data.n_groups and report.folds and not report.folds.group:
        yield (
            f"{name}: clips of one {report.data.group or 'speaker'} are both in training and in the scored part, so"
            f" the score says little about a new {report.data.group or 'speaker'}."
        )


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _about_classes(name: str, section: Section) -> Iterator[str]:
    never = [one.name for one in section.classes if one.n and not one.predicted]
    if never:
        yield f"{name}: never predicted: {listed(never)}."
    few = [f"{one.name} ({one.n})" for one in section.classes if 0 < one.n < FEW_CLIPS]
    if few:
        yield f"{name}: the scores of classes with fewer than {FEW_CLIPS} clips mean little: {listed(few)}."
    absent = [one.name for one in section.classes if not one.n]
    if absent:
        yield f"{name}: no scored clip is labelled {' or '.join(absent)}."


def _about_modalities(report: RunReport) -> Iterator[str]:
    by_name = {frozenset(subset.modalities): subset for subset in report.subsets}
    everything = by_name.get(frozenset(report.modalities))
    singles = [subset for subset in report.subsets if len(subset.modalities) == 1 and subset.waf is not None]
    if everything is None or len(report.modalities) < 2:
        return
    if singles:
        yield _fusion(everything, max(singles, key=lambda subset: subset.waf or 0.0))
    for modality in report.modalities:
        without = by_name.get(frozenset(report.modalities) - {modality})
        if without and without.gain and without.gain.value is not None and without.gain.value <= 0:
            yield (
                f"{modality.capitalize()} does not help here: the WAF is {number(everything.waf)} with it and"
                f" {number(without.waf)} without it."
            )


def _fusion(everything: Subset, single: Subset) -> str:
    gain, name = single.gain, single.modalities[0]
    both = (
        f"{number(everything.waf)} with all modalities, {number(single.waf)} when the same model is given {name} alone"
        f" (difference {_difference(gain)})"
    )
    if gain is None or gain.value is None or gain.value <= 0:
        return f"Fusion does not beat the best single modality: WAF {both}."
    if gain.low is None or gain.low <= 0:
        return f"Fusion is ahead of the best single modality by no more than chance could explain: WAF {both}."
    return f"Fusion beats the best single modality: WAF {both}."


def _difference(gain: Score | None) -> str:
    if gain is None:
        return "unknown"
    interval = f", interval {number(gain.low, sign=True)} to {number(gain.high, sign=True)}"
    return number(gain.value, sign=True) + (interval if gain.low is not None else "")


def _about_clips(report: RunReport) -> Iterator[str]:
    for stream, cells in report.model.imputed.items():
        if cells:
            yield (
                f"{stream}: {count(cells, 'feature value')} {'was' if cells == 1 else 'were'} not finite and"
                f" {'was' if cells == 1 else 'were'} replaced by the median of the training clips."
            )
    for one in report.presence:
        if one.missing and one.missing >= MUCH_MISSING * (one.present + one.missing):
            yield _absence(one)
    if report.failures:
        clips, stages = len({one.id for one in report.failures}), Counter(one.stage for one in report.failures)
        where = listed([f"{stage} ({n:,})" for stage, n in stages.most_common()])
        yield (
            f"{count(clips, 'clip')} failed, wholly or in part, at: {where}.{_common(report)}"
            " The list is under Failures."
        )


def _common(report: RunReport) -> str:
    """The reasons that several failed clips share, the most frequent ones."""
    shared = [one for one in causes(report.failures) if one.n > 1][:MOST_CAUSES]
    return "".join(f" {one.n:,} × {sentence(one.reason.rstrip('.') + f', e.g. {one.id}')}" for one in shared)


def _absence(one: Presence) -> str:
    """Clips without a modality: those that have nothing of the kind, and those that something failed with."""
    failed = sum(n for reason, n in one.reasons.items() if reason.startswith(FAILED))
    parts = [(one.missing - failed, "is missing in"), (failed, "failed in")]
    told = " and ".join(f"{verb} {n:,}" for n, verb in parts if n)
    return f"{one.modality.capitalize()} {told} of {one.present + one.missing:,} clips."
