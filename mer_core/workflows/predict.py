"""Model folder -> the very extractors it names -> probabilities per clip, or per window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mer_core.config import validate_config
from mer_core.data.dataset import ClipTable
from mer_core.engine import ClipFailure, ExtractReport
from mer_core.errors import UsageError
from mer_core.feature_choice import Streams
from mer_core.feature_set import FeatureSet, StreamData, TargetSpec
from mer_core.frames import as_level
from mer_core.inputs import TRANSCRIPT
from mer_core.options import parse_pairs
from mer_core.protocols import Model
from mer_core.report.words import count
from mer_core.store import FeatureStore
from mer_core.types import Prediction
from mer_core.uploads import permitted
from mer_core.workflows.asking import ask, from_states
from mer_core.workflows.extract import extract_clips
from mer_core.workflows.features import any_present, present_modalities
from mer_core.workflows.jobs import build_jobs
from mer_core.workflows.otherwise import refuse_otherwise, tell_otherwise
from mer_core.workflows.overrides import override_options
from mer_core.workflows.pipeline import SYNTHETIC, Pipeline, load_pipeline, refuse_arrays
from mer_core.workflows.predict_data import Sources, as_sources, load_sources
from mer_core.workflows.predict_table import read_table, refuse_media
from mer_core.workflows.scoring import ensemble
from mer_core.workflows.transcripts import told
from mer_core.workflows.value_scoring import ensemble_values
from mer_core.workflows.windows import cut_windows, place
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
    data: Sources | None = None,
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
        data: media file, folder or manifest, or several of them; labels in them are ignored. Files of the same name
            are told apart by their endings, or else by their paths.
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
        refuse_media(as_sources(data), window, pipeline, Path(model))
        return _of_table(pipeline, features, streams, columns or {}, space)
    if not as_sources(data):
        raise UsageError(
            "there is nothing to predict.", "Name media files, a folder or a manifest, or --features FILE."
        )
    refuse_arrays(Path(model), pipeline)
    asked = options if isinstance(options, Mapping) else parse_pairs(options)
    config = override_options(pipeline.config, asked, space.catalogue)
    if allow_upload:
        config = validate_config(permitted(config.model_dump(), space.catalogue))
    table = load_sources(as_sources(data), columns or {}, space)
    windowed = window is not None
    clips, failures = (list(table.clips), []) if window is None else cut_windows(table.clips, window, hop)
    said = (*(_textless(pipeline, table) if windowed else ()), *synthetic(pipeline))
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
        predictions=tuple(place(one, shown[one.id], windowed) for one in answers),
        failures=(*failures, *found.report.failures, *unusable(complete, found.report)),
        warnings=(
            *found.remarks,
            *tell_otherwise(pipeline, built[0], built[1].get(TRANSCRIPT)),
            *told(found.transcripts),
            *said,
        ),
    )


def _textless(pipeline: Pipeline, table: ClipTable) -> tuple[str, ...]:
    """The remark on texts that no window has, if the model would read them."""
    reads = any(info.modality == "text" for info in pipeline.model.streams.values())
    texts = sum(bool((clip.text or "").strip()) for clip in table.clips)
    if not texts or not reads or pipeline.config.transcribe:
        return ()
    return (f"Windows have no text: a text without times cannot be cut. {count(texts, 'text')} left out.",)


def synthetic(pipeline: Pipeline) -> tuple[str, ...]:
    """The remark on a model of synthetic data; models that were saved without saying so have none."""
    if not pipeline.facts.get(SYNTHETIC):
        return ()
    return ("This model learnt synthetic data, drawn and voiced by a program: it knows nothing of real emotions.",)


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
        warnings=(*warnings, *synthetic(pipeline)),
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
