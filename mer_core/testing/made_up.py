"""Runs that never were: what a listener would hear of them, event by event."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mer_core.config import PluginChoice, RunConfig, StreamChoice, write_config
from mer_core.events import Event, FeaturesReady, FoldFinished, RunFinished, RunStarted
from mer_core.report.facts import Data, FoldFacts, ModelFacts, Stream
from mer_core.report.model import RunReport
from mer_core.report.parts import Score
from mer_core.report.sections import ClassScore, GroupLine, Metrics, Section

CLASSES = ("happy", "sad")
STREAM = "speech:acoustic"
CLIPS, FOLDS, HELD_OUT = 12, 2, 6
VALUE = 0.625
"""Every score of every made-up run."""


def good_run(folder: Path) -> list[Event]:
    """A run that is cross-validated and finishes; its folder, config and report are there."""
    scores = dict.fromkeys(("waf", "uar", "accuracy", "macro_f1"), VALUE)
    folds = [
        FoldFinished(folder=folder, fold=number, folds=FOLDS, clips=HELD_OUT, scores=dict(scores))
        for number in range(1, FOLDS + 1)
    ]
    report = _report(folder.name, Metrics(cv=_section(), test_reason="no clip is in a test split"))
    return [_started(folder), _ready(folder), *folds, _finished(folder, report)]


def run_without_scores(folder: Path) -> list[Event]:
    """A run with too few clips for folds: it finishes, but ``metrics`` has no ``cv`` and no ``test``."""
    report = _report(folder.name, Metrics(cv_reason="a class has one clip", test_reason="no clip is in a test split"))
    return [_started(folder), _ready(folder), _finished(folder, report)]


def failed_run(folder: Path) -> list[Event]:
    """A run that fails before there are features."""
    error = "no space left on device."
    return [_started(folder), RunFinished(folder=folder, status="failed", seconds=1.5, error=error)]


def interrupted_run(folder: Path) -> list[Event]:
    """A run that somebody ends with Ctrl-C while it trains."""
    return [_started(folder), _ready(folder), RunFinished(folder=folder, status="interrupted", seconds=2.5)]


def _started(folder: Path) -> RunStarted:
    folder.mkdir(parents=True, exist_ok=True)
    config = RunConfig(
        streams={STREAM: StreamChoice(extractor="acoustic", options={"n_mels": 40})},
        fusion=PluginChoice(name="attention", options={"hidden": 128}),
        trainer=PluginChoice(name="cv", options={"epochs": 5}),
    )
    write_config(config, folder / "config.toml")
    return RunStarted(folder=folder, config=config.model_dump(mode="json"), clips=CLIPS)


def _ready(folder: Path) -> FeaturesReady:
    counts: dict[str, Any] = {
        "dims": {STREAM: 106},
        "present": {STREAM: CLIPS - 1},
        "extracted": {STREAM: CLIPS},
        "reused": {STREAM: 0},
    }
    return FeaturesReady(folder=folder, failures=1, seconds=0.5, **counts)


def _finished(folder: Path, report: RunReport) -> RunFinished:
    report.save(folder)
    return RunFinished(folder=folder, status="finished", seconds=3.5, report=report.document())


def _report(name: str, metrics: Metrics) -> RunReport:
    return RunReport(
        name=name,
        created="2025-01-01T12:00:00",
        seed=0,
        n_clips=CLIPS,
        classes=CLASSES,
        modalities=("speech",),
        metrics=metrics,
        data=Data(source="made-up", synthetic=True, n_labelled=CLIPS, class_counts=dict.fromkeys(CLASSES, CLIPS // 2)),
        streams=(Stream(name=STREAM, modality="speech", extractor="acoustic", dim=106, present=CLIPS - 1, missing=1),),
        folds=FoldFacts(kind="grouped", group=True, sizes=((HELD_OUT, HELD_OUT),) * FOLDS) if metrics.cv else None,
        model=ModelFacts(fusion="attention", trainer="cv", selection="last", parameters=1000, members=FOLDS, epochs=5),
        timing={"extract": 0.5, "train": 2.0},
    )


def _section() -> Section:
    score = Score(value=VALUE, low=VALUE - 0.25, high=VALUE + 0.25)
    half = CLIPS // 2
    classes = (
        ClassScore(name=name, n=half, predicted=half, precision=VALUE, recall=VALUE, f1=VALUE) for name in CLASSES
    )
    folds = (GroupLine(name=str(number), n=HELD_OUT, waf=VALUE, uar=VALUE, accuracy=VALUE) for number in (1, 2))
    return Section(
        waf=score,
        uar=score,
        accuracy=score,
        macro_f1=score,
        selection="last",
        optimistic=False,
        n=CLIPS,
        unit="speaker",
        n_units=4,
        resamples=1000,
        classes=tuple(classes),
        confusion=((4, 2), (2, 4)),
        folds=tuple(folds),
    )
