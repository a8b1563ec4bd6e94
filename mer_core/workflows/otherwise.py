"""Whether a model is fed as it was trained: which differences are refused, and which are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mer_core.engine import DeriverJob, ExtractorJob
from mer_core.engine.types import Job
from mer_core.errors import DataError
from mer_core.owners import Asked, asked_of
from mer_core.registry import Catalogue
from mer_core.report.words import listed
from mer_core.spec import ExtractorSpec, digest
from mer_core.workflows.pipeline import Pipeline

UNKNOWN = (
    "Another version of the decoder, of what finds faces or of a weights file, or other options, made the"
    " features that the model was trained on."
)
"""What is told of models that do not say what shaped their features."""


def refuse_otherwise(pipeline: Pipeline, jobs: Sequence[ExtractorJob], asked: Asked, catalogue: Catalogue) -> None:
    """Refuse extractors whose options, or the weights they name, are not those of training.

    Options given now are meant so; :func:`tell_otherwise` tells them.

    Raises:
        DataError: naming the option, and how to give the right one.
    """
    entries = {job.name: catalogue.entry(ExtractorSpec, pipeline.config.streams[job.name].extractor) for job in jobs}
    for job in jobs:
        entry = entries[job.name]
        changed = _changed_options(pipeline, job)
        if changed and not {**asked_of(asked, entry, entries.values()), **asked.get(job.name, {})}:
            alone = sum(other == entry for other in entries.values()) == 1
            raise _refusal(catalogue.shortest(entry) if alone else job.name, changed[0], job.options)


def tell_otherwise(pipeline: Pipeline, jobs: Sequence[ExtractorJob], ear: DeriverJob | None = None) -> list[str]:
    """What else shaped the features otherwise than in training, a sentence each; ``ear`` makes transcripts."""
    heard = ear and ear.name in pipeline.about and digest(pipeline.about[ear.name]) != ear.fingerprint
    texts = [f"Texts were transcribed with {listed(_differences(pipeline, ear))} in training."] if ear and heard else []
    return [*_features_otherwise(pipeline, jobs), *texts]


def _features_otherwise(pipeline: Pipeline, jobs: Sequence[ExtractorJob]) -> list[str]:
    changed = [job for job in jobs if pipeline.fingerprints.get(job.name, job.fingerprint) != job.fingerprint]
    if not changed:
        return []
    if not all(job.name in pipeline.about for job in changed):
        return [UNKNOWN]
    parts = [f"{job.name} has {listed(_differences(pipeline, job))}" for job in changed]
    return [f"The model was trained on features that were made otherwise: {'; '.join(parts)}."]


def _changed_options(pipeline: Pipeline, job: Job) -> list[str]:
    """Options, and what the plugin says of them, that are known both then and now, and differ."""
    return _changed(pipeline.about.get(job.name, {}).get("options", {}), job.about["options"])


def _changed(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [key for key, value in then.items() if key in now and now[key] != value]


def _differences(pipeline: Pipeline, job: Job) -> list[str]:
    then = pipeline.about[job.name]
    found = []
    for key in _changed(then, job.about):
        if key == "options":
            found.append(f"other options ({', '.join(_changed_options(pipeline, job)) or 'added or gone'})")
        elif key == "derived":
            found.append(f"other {', '.join(_changed(then[key], job.about[key])) or 'artefacts'}")
        else:
            found.append(f"another {WORDS.get(key, key)}")
    return found or ["other facts"]


WORDS = {"dtype": "precision", "inputs": "way of reading clips"}
"""What parts of a fingerprint are called."""


def _refusal(owner: str, key: str, options: Any) -> DataError:
    value = getattr(options, key, None)
    if value is None:
        what = f"{owner}: {key!r} is not what it was when this model was trained."
        return DataError(what, "Restore it, or train again.")
    kind, shown = "one", value
    if isinstance(value, Path):
        kind, shown = "folder" if value.is_dir() else "file", value.name
    what = f"{owner}.{key} ({shown}) is not the {kind} that this model was trained with."
    return DataError(what, f"Give that {kind} with -o {owner}.{key}=..., or train again.")
