"""Model folder -> the very extractors it names -> probabilities per clip, or per window."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mer_core.config import DataChoice, validate_config
from mer_core.data.dataset import ClipTable
from mer_core.engine import ClipFailure, ExtractReport
from mer_core.errors import MediaError, UsageError
from mer_core.feature_choice import Streams
from mer_core.feature_set import FeatureSet, StreamData, TargetSpec
from mer_core.frames import as_level
from mer_core.inputs import TRANSCRIPT
from mer_core.options import parse_pairs
from mer_core.protocols import Model
from mer_core.store import FeatureStore
from mer_core.types import Clip, Prediction
from mer_core.uploads import permitted
from mer_core.workflows.asking import ask, from_states
from mer_core.workflows.data import load_data
from mer_core.workflows.extract import extract_clips
from mer_core.workflows.features import any_present, present_modalities
from mer_core.workflows.jobs import build_jobs
from mer_core.workflows.otherwise import refuse_otherwise, tell_otherwise
from mer_core.workflows.overrides import override_options
from mer_core.workflows.pipeline import Pipeline, load_pipeline, refuse_arrays
from mer_core.workflows.predict_table import read_table, refuse_media
from mer_core.workflows.scoring import ensemble
from mer_core.workflows.transcripts import told
from mer_core.workflows.value_scoring import ensemble_values
from mer_core.workflows.workspace import Workspace, open_workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """Answers for every clip or window that has a modality the model knows; the rest failed."""

    classes: tuple[str, ...]
    predictions: tuple[Prediction, ...]
    failures: tuple[ClipFailure, ...]
    warnings: tuple[str, ...] = ()
    values: tuple[str, ...] = ()


def predict(
    model: str | Path,
    data: str | Path | None = None,
    *,
    features: str | Path | None = None,
    streams: Streams | None = None,
    window: float | None = None,
    hop: float | None = None,
    columns: dict[str, str] | None = None,
    options: Sequence[str] | Mapping[str, Mapping[str, Any]] = (),
    device: str | None = None,
    allow_upload: bool = False,
    space: Workspace | None = None,
) -> Predictions:
    """Predict new clips with a saved model.

    Args:
        model: the ``model`` folder of a run.
        data: media file, folder or manifest; labels in it are ignored.
        features: a feature table in its place, for a model that was trained on one; ``streams`` names its arrays where
            they are not called as in training.
        window: length of a window in seconds, for long clips; text joins no window, since a
            transcript without timestamps cannot be cut, unless the model was trained with transcribed
            texts: then each window is transcribed.
        hop: distance between window starts in seconds; half a window if not given.
        options: ``["onnx-face.model=/new/place.onnx"]``, in place of those that the run's extractors and
            derivers had; a warning says so where the features then differ. Options, or weights that they
            name, which differ without being given here are refused.
        device: ``auto``, ``cpu``, ``cuda:0`` ...; as in the run if not given.
        allow_upload: let plugins that the model was trained with send transcripts to their servers.

    Raises:
        DataError, UsageError: before any work; a bad clip becomes a failure.
    """
    space = space or open_workspace()
    pipeline = load_pipeline(Path(model), space, device)
    if features is not None:
        refuse_media(data, window, pipeline, Path(model))
        return _of_table(pipeline, features, streams, columns or {}, space)
    if data is None:
        raise UsageError("there is nothing to predict.", "Name a media file, folder or manifest, or --features FILE.")
    refuse_arrays(Path(model), pipeline)
    asked = options if isinstance(options, Mapping) else parse_pairs(options)
    config = override_options(pipeline.config, asked, space.catalogue)
    if allow_upload:
        config = validate_config(permitted(config.model_dump(), space.catalogue))
    table = load_data(DataChoice(source=str(data), columns=columns or {}), space)
    windowed = window is not None
    clips, failures = (list(table.clips), []) if window is None else _windows(table.clips, window, hop)
    shown = {clip.id: clip for clip in clips}
    table = ClipTable(tuple(clips), pipeline.model.targets, table.source, table.notes)
    built = build_jobs(config, space.catalogue, table.targets.classes)
    refuse_otherwise(pipeline, built[0], asked, space.catalogue)
    found = extract_clips(config, table, space, built=built, learning=True)
    found = ask(found, from_states(pipeline.states), space)
    complete = complete_streams(found.features, pipeline.model)
    answers = answer(pipeline.model, complete)
    return Predictions(
        classes=pipeline.model.targets.classes,
        values=pipeline.model.targets.values,
        predictions=tuple(_placed(one, shown[one.id], windowed) for one in answers),
        failures=(*failures, *found.report.failures, *unusable(complete, found.report)),
        warnings=(
            *found.remarks,
            *tell_otherwise(pipeline, built[0], built[1].get(TRANSCRIPT)),
            *told(found.transcripts),
        ),
    )


def _of_table(
    pipeline: Pipeline, file: str | Path, streams: Streams | None, columns: Mapping[str, str], space: Workspace
) -> Predictions:
    packs = FeatureStore(space.cache.features).packed
    features, report, warnings = read_table(pipeline, file, streams, columns, packs)
    complete = complete_streams(features, pipeline.model)
    return Predictions(
        classes=pipeline.model.targets.classes,
        values=pipeline.model.targets.values,
        predictions=tuple(answer(pipeline.model, complete)),
        failures=tuple(unusable(complete, report)),
        warnings=warnings,
    )


def complete_streams(features: FeatureSet, model: Model) -> FeatureSet:
    """The streams the model knows; one that no clip has is there with all its bits cleared."""
    count = len(features.ids)

    def absent(name: str) -> StreamData:
        info = model.streams[name]
        return StreamData(info, np.zeros((count, info.dim), np.float32), np.zeros(count, dtype=np.bool_))

    table = {name: as_level(features.table.get(name) or absent(name), model.streams[name]) for name in model.streams}
    return replace(features, table=table)


def answer(model: Model, features: FeatureSet) -> list[Prediction]:
    """One prediction per clip that has at least one stream."""
    probabilities, values = ensemble(model, features), ensemble_values(model, features)
    usable, present = any_present(features), present_modalities(features)
    return [
        as_prediction(
            features.ids[row],
            probabilities[row],
            model.targets,
            {m: bool(p[row]) for m, p in present.items()},
            values[row],
        )
        for row in np.flatnonzero(usable)
    ]


def as_prediction(
    id: str, probabilities: np.ndarray, targets: TargetSpec, present: dict[str, bool], values: np.ndarray
) -> Prediction:
    """One row of probabilities [C] and values [V] as a prediction."""
    best = targets.classes[int(np.argmax(probabilities))] if targets.classes else None
    shares = {name: float(p) for name, p in zip(targets.classes, probabilities, strict=True)}
    numbers = {name: float(value) for name, value in zip(targets.values, values, strict=True)}
    return Prediction(id=id, label=best, probabilities=shares, present=present, values=numbers)


def unusable(features: FeatureSet, report: ExtractReport) -> list[ClipFailure]:
    """Clips that have none of the streams and did not fail, each with the reasons of all its streams."""
    failed = {failure.id for failure in report.failures}
    ids = [features.ids[row] for row in np.flatnonzero(~any_present(features))]
    return [ClipFailure(id=id, stage="data", reason=_why(id, report)) for id in ids if id not in failed]


def _why(id: str, report: ExtractReport) -> str:
    reasons = [f"{stream.partition(':')[0]}: {found[id]}" for stream, found in report.missing.items() if id in found]
    return "no modality of this run is present" + (f" ({'; '.join(reasons)})" if reasons else "")


def _windows(clips: Iterable[Clip], window: float, hop: float | None) -> tuple[list[Clip], list[ClipFailure]]:
    if not (window > 0 and (hop is None or hop > 0)):
        raise UsageError("--window and --hop must be positive seconds.", "For example --window 5 --hop 2.5.")
    found, failures = [], []
    for clip in clips:
        try:
            spans = window_spans(*_extent(clip), window, hop or window / 2)
        except MediaError as error:
            failures.append(ClipFailure(id=clip.id, stage="decode", reason=str(error)))
            continue
        found += [replace(clip, id=f"{clip.id}@{a:g}-{b:g}", start=a, end=b, text=None, label=None) for a, b in spans]
    return found, failures


def _extent(clip: Clip) -> tuple[float, float]:
    """Start and end of the clip in its file, seconds."""
    from mer_core.media.probe import probe

    start = clip.start or 0.0
    if clip.end is not None:
        return start, clip.end
    path = clip.video or clip.audio
    if path is None:
        raise MediaError(f"clip {clip.id} has no media to cut into windows.", "Predict it without --window.")
    duration = probe(path).duration
    if duration is None:
        raise MediaError(f"{path} does not say how long it is.", "Give start and end in a manifest.")
    return start, duration


def window_spans(start: float, end: float, window: float, hop: float) -> list[tuple[float, float]]:
    """Windows over [start, end] seconds; the last one is cut at the end and kept if half a window long."""
    count = max(1, math.ceil((end - start) / hop - 1e-9))
    spans = [(round(start + i * hop, 3), round(min(start + i * hop + window, end), 3)) for i in range(count)]
    kept = [span for span in spans if span[1] - span[0] >= window / 2]
    unique: Sequence[tuple[float, float]] = kept or spans[:1]
    return [span for i, span in enumerate(unique) if i == 0 or span[1] > unique[i - 1][1]]


def _placed(prediction: Prediction, clip: Clip, windowed: bool) -> Prediction:
    if not windowed:
        return prediction
    return replace(prediction, id=clip.id.rpartition("@")[0], start=clip.start, end=clip.end)
