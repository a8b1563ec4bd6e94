"""Gathers what a run did into its report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from mer_core.config import RunConfig
from mer_core.engine import ClipFailure
from mer_core.errors import OptionError
from mer_core.frame_pooling import level_of
from mer_core.names import readable
from mer_core.registry import Catalogue
from mer_core.report import build
from mer_core.report.facts import UNSTATED, Data, Stream, Unlabelled
from mer_core.report.findings import FAILED
from mer_core.report.model import RunReport
from mer_core.report.rivals import rivals
from mer_core.report.sections import Metrics
from mer_core.report.values import value_score, vote_score
from mer_core.spec import ExtractorSpec, FusionSpec, TrainerSpec
from mer_core.workflows.artefacts import artefacts
from mer_core.workflows.data import any_synthetic, clip_groups
from mer_core.workflows.extract import Extraction
from mer_core.workflows.features import any_present, learnable, present_modalities
from mer_core.workflows.learning import Learning
from mer_core.workflows.log import RunLog
from mer_core.workflows.lost import failed_streams
from mer_core.workflows.preflight import protocol_gaps
from mer_core.workflows.provenance import provenance
from mer_core.workflows.pseudo_labels import accounts, audit_labels, self_training
from mer_core.workflows.run_targets import target_counts
from mer_core.workflows.train import Training
from mer_core.workflows.workspace import Workspace

if TYPE_CHECKING:
    from mer_core.workflows.run import Scores


def build_report(
    name: str,
    config: RunConfig,
    learning: Learning,
    training: Training,
    scores: Scores,
    failures: Sequence[ClipFailure],
    log: RunLog,
    space: Workspace,
    command: str,
    files: Mapping[str, str],
) -> RunReport:
    """The report of a finished run."""
    extraction, features = learning.extraction, learning.extraction.features
    present = present_modalities(features)
    return RunReport(
        name=name,
        created=log.created,
        seed=config.seed,
        n_clips=len(features.ids),
        classes=features.targets.classes,
        modalities=config.modalities,
        metrics=_metrics(training, scores, extraction),
        subsets=build.subsets(scores.subsets),
        subsets_of=_section_name(training),
        competition=rivals(config.modalities, scores.subsets, scores.alone),
        baselines=tuple(
            build.baseline("zero-shot", one.stream, one.evaluation) for one in scores.untrained if one.evaluation
        ),
        tuning=training.model.summary.get("tuning"),
        self_training=self_training(training, audit_labels(extraction.table.clips, config), config.seed),
        failures=build.failures(failures),
        data=_data(config, extraction, training),
        presence=build.presence(
            features.ids,
            {name: present.get(name, np.zeros(len(features.ids), bool)).tolist() for name in config.modalities},
            _reasons(extraction),
        ),
        streams=_streams(config, learning, space),
        artefacts=tuple(artefacts(extraction, space.catalogue)),
        transcripts=extraction.transcripts,
        folds=build.fold_facts(training.plan) if training.plan.folds else None,
        model=build.model_facts(
            training.model.summary,
            readable(config.fusion.name),
            readable(config.trainer.name),
            **{readable(config.fusion.name): config.fusion.options},
        ).model_copy(
            update={
                "deployed": "refit" if scores.refitted else "folds",
                "usual": tuple(_usual(config, space.catalogue)),
            }
        ),
        unlabelled=_unlabelled(extraction, scores),
        provenance=provenance(config, extraction, training, command),
        timing={**log.timing, "total": log.seconds},
        files=dict(files),
        warnings=(
            *(*extraction.remarks, *extraction.warnings),
            *(f"No zero-shot score of {one.stream}: {one.reason}" for one in scores.untrained if one.reason),
            *(f"No model was trained on {one.modality} alone: {one.reason}" for one in scores.alone if one.reason),
            *protocol_gaps(config, space.catalogue),
            *_not_nested(learning),
            *_shared_with_test(extraction, training),
            *_transductive(config, scores, bool(accounts(training))),
        ),
    )


def _not_nested(learning: Learning) -> Iterator[str]:
    """Remarks on folds whose training part was too small to be divided again."""
    if learning.extraction.config.fitting.crossfit != "nested":
        return
    for name, fits in learning.fits.items():
        folds = {part.fold for part, _ in fits if part.fold is not None}
        whole = folds - {part.fold for part, _ in fits if part.inner}
        if whole:
            yield (
                f"The stream {name} could not be nested in {len(whole)} of {len(folds)} folds, whose training part has"
                " too few clips of a class or too few groups: there, the fusion learnt from features of clips that"
                " their own fit had seen."
            )


def _usual(config: RunConfig, catalogue: Catalogue) -> Iterator[str]:
    """Options of the trainer that are at their default; the fusion's name, if all of its are."""
    trainer, fusion = config.trainer, config.fusion
    with suppress(OptionError):  # one without a default
        usual = catalogue.options(TrainerSpec, trainer.name, {}).model_dump(mode="json")
        yield from (name for name, value in trainer.options.items() if name in usual and usual[name] == value)
    with suppress(OptionError):
        if catalogue.options(FusionSpec, fusion.name, {}).model_dump(mode="json") == fusion.options:
            yield readable(fusion.name)


def _transductive(config: RunConfig, scores: Scores, learnt: bool) -> tuple[str, ...]:
    """A remark on a test score of clips that took part in training, without their labels."""
    if not (config.transductive and scores.test):
        return ()
    if not learnt:
        told = "Test split: its clips were at hand in training, without their labels (--transductive)"
        return (f"{told}, but the trainer tells of no self-training, which is off unless asked for.",)
    return ("Test split: its clips took part in training without their labels (--transductive). A new clip did not.",)


def _shared_with_test(extraction: Extraction, training: Training) -> tuple[str, ...]:
    """A remark on groups that are in the scored test split and in what was trained on."""
    clips, labels, column = extraction.table.clips, extraction.features.labels, extraction.config.folds.group
    groups = clip_groups(clips, column)
    tested = {groups[i] for i, clip in enumerate(clips) if clip.split == "test" and labels[i] >= 0} - {None}
    learnt = (row for row in training.rows if labels[row] >= 0 and clips[row].split != "test")
    shared = tested & {groups[row] for row in learnt}
    if not shared:
        return ()
    return (
        f"Test split: {len(shared)} of its {len(tested)} {column}s are in training too, so its score says little"
        f" about a new {column}.",
    )


def _section_name(training: Training) -> str:
    return "val" if training.plan.kind == "val" else "cv"


def _metrics(training: Training, scores: Scores, extraction: Extraction) -> Metrics:
    summary = training.model.summary
    selection, optimistic = str(summary.get("selection", UNSTATED)), bool(summary.get("optimistic", False))
    found, seen, by = scores.cross_validated, scores.seen_held_out, ["extractor"] if scores.seen_held_out else []
    if found is not None and summary.get("contaminated"):
        seen, by = found.scores.n, ["pseudo-labels", *by]
    held_out = None if found is None else build.section(found, selection, optimistic, seen, by)
    fixed = _section_name(training) == "val"
    told = {_section_name(training): scores.targets.held_out, "test": scores.targets.test}
    return Metrics(
        cv=None if fixed else held_out,
        cv_reason=build.cv_reason(training.plan) or build.no_classes(training.data.targets.classes),
        values={key: tuple(map(value_score, one.values)) for key, one in told.items() if one.values},
        votes={key: vote_score(one.votes) for key, one in told.items() if one.votes},
        val=held_out if fixed else None,
        test=None if scores.test is None else build.section(scores.test, selection, False, scores.seen_test),
        test_reason=None if scores.test else _no_test(extraction),
    )


def _no_test(extraction: Extraction) -> str:
    test = [clip for clip in extraction.table.clips if clip.split == "test"]
    if not test:
        return "There is no test split."
    if not any(clip.label for clip in test):
        return build.no_classes(extraction.features.targets.classes) or "The test clips are not labelled."
    return "No labelled test clip has a modality of this run."


def _data(config: RunConfig, extraction: Extraction, training: Training) -> Data:
    clips, features = extraction.table.clips, extraction.features
    labels = training.data.labels
    counts = Counter(labels[labels >= 0].tolist())
    groups = {name for name in training.data.groups or () if name}
    return Data(
        source=readable(config.data.source),
        features=config.data.features,
        synthetic=any_synthetic(clips),
        n_labelled=int((labels >= 0).sum()),
        n_unlabelled=int((~learnable(training.data)).sum()),
        n_test=sum(clip.split == "test" for clip in clips),
        class_counts={name: counts.get(index, 0) for index, name in enumerate(features.targets.classes)},
        **target_counts(training.data),
        splits=dict(Counter(clip.split for clip in clips if clip.split)),
        group=config.folds.group if groups else None,
        n_groups=len(groups),
        media_seconds=extraction.report.media_hours * 3600 or None,
        notes=extraction.table.notes,
    )


def _reasons(extraction: Extraction) -> dict[str, dict[str, str]]:
    """Per modality, why a clip lacks it: what the engine said of its streams, failures included."""
    found: dict[str, dict[str, str]] = {}
    for stream, reasons in extraction.report.missing.items():
        found.setdefault(stream.partition(":")[0], {}).update(reasons)
    for failure in extraction.report.failures:
        for stream in failed_streams(failure, extraction.config):
            found.setdefault(stream.partition(":")[0], {})[failure.id] = f"{FAILED}{failure.stage}"
    return found


def _streams(config: RunConfig, learning: Learning, space: Workspace) -> tuple[Stream, ...]:
    extraction, report = learning.extraction, learning.extraction.report
    rows = []
    for name, choice in config.streams.items():
        entry = space.catalogue.entry(ExtractorSpec, choice.extractor)
        data = extraction.features.table.get(name)
        rows.append(
            Stream(
                name=name,
                modality=name.partition(":")[0],
                extractor=entry.full_name,
                version=entry.spec.version,
                dim=data.info.dim if data else 0,
                level=data.info.level if data else level_of(choice.pooling),
                pooling=choice.pooling,
                present=int(data.present.sum()) if data else 0,
                missing=len(report.missing.get(name, {})),
                failed=sum(name in failed_streams(failure, config) for failure in report.failures),
                extracted=report.extracted.get(name, 0),
                reused=report.reused.get(name, 0),
                fingerprint=extraction.fingerprints[name],
                licence=entry.spec.licence,
                weights_licence=entry.spec.weights_licence,
                options=choice.options,
                fits=0 if choice.fitted else len(learning.fits.get(name, ())),
                fitted=("given" if choice.fitted else _kind(learning)) if name in learning.fits else "",
            )
        )
    return (*rows, *_given(extraction))


def _given(extraction: Extraction) -> Iterator[Stream]:
    """The streams of a feature table."""
    for name, array in extraction.config.data.streams.items():
        data = extraction.features.table.get(name)
        yield Stream(
            name=name,
            modality=name.partition(":")[0],
            extractor="",
            array=array,
            dim=data.info.dim if data else 0,
            level=data.info.level if data else "clip",
            pooling=extraction.config.data.pooling if data and data.info.level == "frame" else "",
            present=int(data.present.sum()) if data else 0,
            missing=len(extraction.report.missing.get(name, {})),
            fingerprint=extraction.fingerprints[name],
        )


def _kind(learning: Learning) -> str:
    """How the supervised extractors were fitted: without folds there is but one fit."""
    return learning.extraction.config.fitting.crossfit if learning.plan and learning.plan.folds else "single"


def _unlabelled(extraction: Extraction, scores: Scores) -> Unlabelled:
    clips, features = extraction.table.clips, extraction.features
    usable = any_present(features)
    nothing = ~learnable(features)
    rows = [i for i, c in enumerate(clips) if nothing[i] and c.split != "test" and usable[i]]
    if not rows or not features.targets.classes:
        return Unlabelled()
    best = np.argmax(scores.everybody[rows], axis=1)
    counts = Counter(features.targets.classes[index] for index in best)
    return Unlabelled(n=len(rows), predicted=dict(counts))
