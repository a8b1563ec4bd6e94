"""``mer run``: folds -> extract -> train -> evaluate -> report, and everything a run leaves."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import numpy as np

from mer_core.config import RunConfig, write_config
from mer_core.configure import make_config
from mer_core.data.dataset import ClipTable
from mer_core.data.folds import save_folds
from mer_core.engine import ClipFailure
from mer_core.errors import EnvironmentProblem, UsageError
from mer_core.evaluation import Evaluation, SubsetScore
from mer_core.inputs import TRANSCRIPT
from mer_core.report.model import RunReport
from mer_core.report.rivals import Alone
from mer_core.settings import Settings, refuse_unknown
from mer_core.workflows.account import build_report
from mer_core.workflows.competition import train_alone
from mer_core.workflows.data import any_synthetic, clip_groups, load_data
from mer_core.workflows.extract import Extraction, extract_clips
from mer_core.workflows.features import any_present, present_modalities
from mer_core.workflows.jobs import build_jobs
from mer_core.workflows.learning import Deployed, Fitter, Learning, fit_once, given_states, learn
from mer_core.workflows.log import RunLog
from mer_core.workflows.lost import refuse_failed
from mer_core.workflows.pipeline import SYNTHETIC, save_pipeline
from mer_core.workflows.predict import unusable
from mer_core.workflows.predictions import Row, write_predictions
from mer_core.workflows.preflight import check_start
from mer_core.workflows.pseudo_labels import FILE as PSEUDO_LABELS
from mer_core.workflows.pseudo_labels import audit_labels, write_pseudo_labels
from mer_core.workflows.remarks import announce_remarks
from mer_core.workflows.run_rows import prediction_rows
from mer_core.workflows.run_targets import RunTargets, run_targets
from mer_core.workflows.scoring import NO_FOLD, OutOfFold, ensemble, out_of_fold, score_held_out, score_rows
from mer_core.workflows.seen import Seen
from mer_core.workflows.telling import Teller, with_warnings
from mer_core.workflows.train import Training, refuse_untrainable
from mer_core.workflows.trial_files import search_files
from mer_core.workflows.unfinished import WORK, finishing
from mer_core.workflows.workspace import Workspace, open_workspace
from mer_core.workflows.zero_shot import ZeroShot, zero_shot

if TYPE_CHECKING:
    from mer_core.aliases import IntArray

FILES = {
    "report.html": "the report, to read",
    "report.json": "the report, to compute with",
    "predictions.csv": "every clip's prediction",
    "model": "the model: mer predict --model",
    "config.toml": "the run, to repeat: mer run --config",
    "folds.json": "the split plan",
    "log.jsonl": "what happened when",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What a run found and where it put it."""

    folder: Path
    config: RunConfig
    report: RunReport
    rows: tuple[Row, ...]
    training: Training
    extraction: Extraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """All scores of a run; None where there is nothing to score.

    ``everybody`` [N, C] are the saved model's probabilities for all clips, trained on or not. ``seen_held_out`` and
    ``seen_test`` count scored clips whose label an extractor had learnt. ``refitted``: the saved model was fitted to
    everything afterwards. On held-out clips, ``untrained`` are zero-shot scores, ``alone`` those of one modality each.
    ``targets`` are values and votes.
    """

    held_out: OutOfFold
    everybody: np.ndarray
    cross_validated: Evaluation | None
    test: Evaluation | None
    subsets: tuple[SubsetScore, ...]
    targets: RunTargets
    seen_held_out: int = 0
    seen_test: int = 0
    refitted: bool = False
    untrained: tuple[ZeroShot, ...] = ()
    alone: tuple[Alone, ...] = ()


def run(
    data: str | Path | None = None,
    *,
    out: str | Path | None = None,
    space: Workspace | None = None,
    **settings: Unpack[Settings],
) -> RunResult:
    """Extract, train, evaluate and report.

    Args:
        data: manifest, folder or data set name; None for the built-in sample.
        out: the run's folder; None for ``runs/<date>-<time>``.
        settings: see :class:`mer_core.settings.Settings`.

    Raises:
        MerError: usage, data or environment; single bad clips end up in ``report.failures``.
    """
    refuse_unknown(settings, "run", ("data", "out", "space"))
    space = space or open_workspace()
    config = make_config(space.catalogue, data=data, **settings)
    return run_config(config, space, out=Path(out) if out else None)


def run_config(
    config: RunConfig, space: Workspace, *, out: Path | None = None, command: str = "", fit: Fitter = fit_once
) -> RunResult:
    """Like :func:`run`, for a configuration that is already resolved."""
    refuse_folder(out)
    began = time.monotonic()
    table = load_data(config.data, space)
    refuse_untrainable(table, config)
    audit_labels(table.clips, config)  # refuses a column that is not there
    folder = make_folder(out)
    if not (folder / "config.toml").is_file():
        write_config(config, folder / "config.toml")
    log = RunLog(folder / "log.jsonl", began)
    log.finish("data", began, source=config.data.source)
    teller = Teller(space.catalogue, folder, log, space.listeners, space.notice)
    space = replace(space, work=folder / WORK)
    with teller.run(config, len(table.clips)), finishing(space.work):
        found = _work(config, table, space, teller, command, fit)
    return replace(found, report=teller.finished(found.report))


def _work(
    config: RunConfig, table: ClipTable, space: Workspace, teller: Teller, command: str, fit: Fitter
) -> RunResult:
    """Everything between a run's beginning and its end."""
    folder, log = teller.folder, teller.log
    with log.watch("preflight"):
        check_start(config, table.targets, space.catalogue)
        built = build_jobs(config, space.catalogue, table.targets.classes)
        given_states(config, built[0])
        remarks = announce_remarks(built, table.clips, space)
    with log.stage("extract", clips=len(table.clips)):
        extraction = extract_clips(config, table, space, built=built, remarks=remarks, learning=True)
        for upload in extraction.uploads:
            log.write("upload", **upload.document())
        _log_tracebacks(extraction, log)
        refuse_failed(extraction.report, config, space.catalogue, log.file)
    learning = Learning(extraction=extraction)
    if extraction.learners:
        with log.stage("fit", extractors=[job.name for job in extraction.learners]):
            learning = learn(extraction, space)
            extraction = learning.extraction
            refuse_failed(extraction.report, config, space.catalogue, log.file)
    failures = run_failures(extraction)
    teller.features(extraction, failures)
    training, deployed = fit(learning, space, log)
    config = deployed.extraction.config
    with log.stage("evaluate"):
        scores = evaluate_run(learning, training, deployed, config, space)
    if config.competition:
        with log.stage("competition"):
            scores = replace(scores, alone=train_alone(training, scores.held_out, config, space))
    teller.folds(scores.held_out, training.data)
    write_config(config, folder / "config.toml")
    with log.watch("save"):
        shaping = [*config.streams, *([TRANSCRIPT] if config.transcribe else [])]
        facts = {"run": folder.name, **({SYNTHETIC: True} if any_synthetic(table.clips) else {})}
        about = {name: extraction.about[name] for name in shaping}
        model, prints, states = deployed.training.model, extraction.fingerprints, deployed.states
        save_pipeline(folder / "model", config, model, prints, space.catalogue, facts, about, states)
    save_folds(folder / "folds.json", training.plan, training.data.ids)
    rows = prediction_rows(extraction, training, scores)
    modalities = tuple(present_modalities(extraction.features))
    write_predictions(folder / "predictions.csv", rows, table.targets.classes, modalities)
    files = FILES | search_files(folder)
    if write_pseudo_labels(folder / PSEUDO_LABELS, training):
        files[PSEUDO_LABELS] = "the labels that self-training gave, by fold"
    report = build_report(folder.name, config, learning, training, scores, failures, log, space, command, files)
    report = with_warnings(report, teller.warnings)
    report.save(folder)
    log.write("finished", seconds=log.seconds)
    return RunResult(
        folder=folder, config=config, report=report, rows=tuple(rows), training=training, extraction=extraction
    )


def _log_tracebacks(extraction: Extraction, log: RunLog) -> None:
    """One line per kind of error and line of a plugin, with the first clip that it struck."""
    for one in extraction.report.failures:
        if one.traceback:
            facts = {"clip": one.id, "stage": one.stage, "stream": one.stream, "error": one.reason}
            log.write("clip failed", **facts, traceback=one.traceback)


def refuse_folder(out: Path | None) -> None:
    """Make sure, before any work, that ``out`` can become the run's folder.

    Raises:
        UsageError: it is a file, or a folder with other things in it.
    """
    if out is None:
        return
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file.", "Name a folder.")
    if out.is_dir() and any(out.iterdir()) and not (out / "config.toml").is_file():
        raise UsageError(f"--out {out} holds something that is not a run.", "Name a new folder.")


def make_folder(out: Path | None) -> Path:
    """The run's folder, created.

    Raises:
        EnvironmentProblem: it cannot be made or written.
    """
    folder = out or Path("runs") / datetime.now().strftime("%Y%m%d-%H%M%S")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentProblem(
            f"the folder {folder} cannot be made: {error.strerror}.", "Choose another with --out FOLDER."
        ) from None
    if not os.access(folder, os.W_OK):
        raise EnvironmentProblem(f"the folder {folder} is not writable.", "Choose another with --out FOLDER.")
    return folder


def evaluate_run(
    learning: Learning, training: Training, deployed: Deployed, config: RunConfig, space: Workspace
) -> Scores:
    """Out-of-fold scores, subsets of modalities, and the test split, read here for the first time.

    Held-out clips are scored by their fold's member; test clips by the model that is saved.
    """
    data, model = training.data, training.model
    held_out = out_of_fold(model, data)
    everybody = ensemble(deployed.training.model, deployed.extraction.features)
    cross_validated, subsets = score_held_out(model, data, held_out, config.folds.group, config.seed)
    tested = _tested(learning.extraction)
    scored = held_out.rows[data.labels[held_out.rows] >= 0]
    labelled = tested[learning.extraction.features.labels[tested] >= 0]
    seen = Seen.of(learning.extraction, space)
    return Scores(
        held_out=held_out,
        everybody=everybody,
        cross_validated=cross_validated,
        test=_score_test(deployed, tested, everybody, config),
        subsets=subsets,
        targets=run_targets(training, deployed, held_out, everybody, tested, config),
        seen_held_out=seen.count(learning.fits, training.rows[scored], held_out.fold[scored]),
        seen_test=seen.count(deployed.fits, labelled, np.full(len(labelled), NO_FOLD)),
        refitted=deployed.refitted,
        untrained=tuple(zero_shot(data, scored, config, space)),
    )


def _tested(extraction: Extraction) -> IntArray:
    """Rows of the test split that have a stream."""
    usable = any_present(extraction.features)
    clips = extraction.table.clips
    return np.asarray([i for i, clip in enumerate(clips) if clip.split == "test" and usable[i]], dtype=np.int64)


def _score_test(deployed: Deployed, rows: IntArray, everybody: np.ndarray, config: RunConfig) -> Evaluation | None:
    if not len(rows):
        return None
    clips, unit = deployed.extraction.table.clips, config.folds.group
    groups = clip_groups([clips[row] for row in rows], unit)
    known = groups if any(groups) else None
    features, model = deployed.extraction.features, deployed.training.model
    return score_rows(model, features, everybody, rows, known, unit, config.seed)


def run_failures(extraction: Extraction) -> tuple[ClipFailure, ...]:
    """The engine's failures, and clips that have none of the run's modalities."""
    return (*extraction.report.failures, *unusable(extraction.features, extraction.report))
