"""The model folder: what the trainer saved, and which extractors, pooling and classes go with it.

``pipeline.json`` names plugins by registry name, never by import path.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mer_core.blame import blame
from mer_core.config import PluginChoice, RunConfig, validate_config
from mer_core.errors import DataError, PluginError, UsageError
from mer_core.files import write_text, writing
from mer_core.fitted import FittedState, copy_state, load_state
from mer_core.protocols import Fusion, Model, Trainer
from mer_core.registry import Catalogue, Entry
from mer_core.spec import DeriverSpec, ExtractorSpec, FusionSpec, PluginSpec, TrainerSpec
from mer_core.uploads import unpermitted
from mer_core.workflows.guarded import guard
from mer_core.workflows.seeds import load_each
from mer_core.workflows.workspace import Workspace, pick_device

PIPELINE_FILE = "pipeline.json"
PIPELINE_SCHEMA = 1
FITTED = "fitted"
SYNTHETIC = "synthetic"
"""Among the facts of a model: it learnt clips that a program made. Models may lack it."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A model with everything that is needed to feed it.

    ``about`` says what shaped each stream's features; empty for models that were saved without. ``states`` are what
    supervised extractors learnt, by stream: one per fold, or a single one.
    """

    config: RunConfig
    model: Model
    fingerprints: Mapping[str, str]
    facts: Mapping[str, Any]
    about: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    states: Mapping[str, Sequence[FittedState]] = field(default_factory=dict)


def make_fusion(config: RunConfig, catalogue: Catalogue) -> Fusion:
    """The run's fusion plugin, with its options."""
    options = catalogue.options(FusionSpec, config.fusion.name, config.fusion.options)
    plugin = catalogue.load(FusionSpec, config.fusion.name)
    with blame(fusion_entry(config, catalogue), "__init__"):
        fusion: Fusion = plugin(options)
    return fusion


def make_trainer(config: RunConfig, catalogue: Catalogue) -> Trainer:
    """The run's trainer plugin, with its options, on the run's device."""
    options = catalogue.options(TrainerSpec, config.trainer.name, config.trainer.options)
    plugin, device = catalogue.load(TrainerSpec, config.trainer.name), pick_device(config.device)
    with blame(trainer_entry(config, catalogue), "__init__"):
        trainer: Trainer = plugin(options, device)
    return trainer


def fusion_entry(config: RunConfig, catalogue: Catalogue) -> Entry:
    """The run's fusion in the catalogue."""
    return catalogue.entry(FusionSpec, config.fusion.name)


def trainer_entry(config: RunConfig, catalogue: Catalogue) -> Entry:
    """The run's trainer in the catalogue."""
    return catalogue.entry(TrainerSpec, config.trainer.name)


def save_pipeline(
    folder: Path,
    config: RunConfig,
    model: Model,
    fingerprints: Mapping[str, str],
    catalogue: Catalogue,
    facts: Mapping[str, Any],
    about: Mapping[str, Mapping[str, Any]] | None = None,
    states: Mapping[str, Sequence[FittedState]] | None = None,
) -> None:
    """Write the model, what its supervised extractors learnt, and ``pipeline.json`` into ``folder``.

    That file is written last: a folder without it is no model, whatever else a full disk let into it.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / PIPELINE_FILE).unlink(missing_ok=True)
    model.save(folder)
    fitted = {
        stream: [f"{FITTED}/{number}-{fold}" for fold in range(len(found))]
        for number, (stream, found) in enumerate((states or {}).items())
        if stream in model.streams  # one that no clip had is left out
    }
    for stream, places in fitted.items():
        for state, place in zip((states or {})[stream], places, strict=True):
            copy_state(state, folder / place)
    document = {
        "schema": PIPELINE_SCHEMA,
        "classes": list(model.targets.classes),
        "values": list(model.targets.values),
        "votes": model.targets.votes,
        "streams": {
            name: {"modality": i.modality, "dim": i.dim, "level": i.level} for name, i in model.streams.items()
        },
        "versions": {name: _version(catalogue, choice.extractor) for name, choice in config.streams.items()},
        "fingerprints": dict(fingerprints),
        "about": dict(about or {}),
        "fitted": fitted,
        "config": unpermitted(config.model_dump(mode="json")),
        "facts": dict(facts),
    }
    write_text(folder / PIPELINE_FILE, json.dumps(document, ensure_ascii=False, indent=2) + "\n")


def load_pipeline(folder: Path, space: Workspace, device: str | None = None) -> Pipeline:
    """Read a model folder back, for ``device`` or the one that the run was configured for.

    Raises:
        DataError: not a model folder, of another schema, or trained with another version of an
            extractor than the one installed.
        PluginError: a plugin that it names is not there, or the trainer cannot read it.
    """
    document = _read(folder)
    config = validate_config(unpermitted(document["config"]))
    streams = {name: choice for name, choice in config.streams.items() if name in document["streams"]}
    config = config.model_copy(update={"streams": streams, "device": device or config.device})
    config = _settled(config, space.catalogue, folder / PIPELINE_FILE)
    _check_versions(document["versions"], config, space.catalogue)
    fitted = document.get("fitted", {})
    return Pipeline(
        config,
        _load(folder, config, space.catalogue),
        document["fingerprints"],
        document["facts"],
        document.get("about", {}),
        {name: [load_state(folder / place) for place in fitted[name]] for name in streams if name in fitted},
    )


def _settled(config: RunConfig, catalogue: Catalogue, file: Path) -> RunConfig:
    """``config`` with names as they are saved now; older models name every plugin by its bare name.

    Raises:
        PluginError: a name that now means several plugins, or none.
    """

    def name(kind: type[PluginSpec], given: str) -> str:
        meant = [entry.full_name for entry in catalogue.meant(kind, given)]
        if len(meant) > 1:
            what = f"{file} names the {kind.kind} {given!r}, and there are {' and '.join(meant)}."
            raise PluginError(what, f"Write the one that it was trained with in place of {given!r} there.")
        return catalogue.entry(kind, given).saved_name

    def chosen(kind: type[PluginSpec], choice: PluginChoice) -> PluginChoice:
        return choice.model_copy(update={"name": name(kind, choice.name)})

    streams = {
        stream: own.model_copy(update={"extractor": name(ExtractorSpec, own.extractor)})
        for stream, own in config.streams.items()
    }
    return config.model_copy(
        update={
            "streams": streams,
            "derivers": {artefact: chosen(DeriverSpec, own) for artefact, own in config.derivers.items()},
            "fusion": chosen(FusionSpec, config.fusion),
            "trainer": chosen(TrainerSpec, config.trainer),
        }
    )


def _load(folder: Path, config: RunConfig, catalogue: Catalogue) -> Model:
    trainer, fusion = make_trainer(config, catalogue), make_fusion(config, catalogue)
    entry = trainer_entry(config, catalogue)

    def load(place: Path) -> Model:
        with blame(entry, "load", fusion_entry(config, catalogue)):
            return guard(trainer.load(place, fusion), entry)

    return load_each(config, folder, load)


def refuse_arrays(folder: Path, pipeline: Pipeline) -> None:
    """Refuse to predict media with a model that was fitted to arrays.

    Raises:
        UsageError: naming the streams that no extractor makes.
    """
    unmade = [name for name in pipeline.model.streams if name not in pipeline.config.streams]
    if unmade:
        raise UsageError(
            f"{folder} was fitted to arrays: no extractor makes {', '.join(unmade)}.",
            "Give it a feature table: mer predict --features FILE.npz, or mer_core.load_fit(folder).predict(...).",
        )


def _read(folder: Path) -> dict[str, Any]:
    file = folder / PIPELINE_FILE
    if not file.is_file():
        inner = folder / "model" / PIPELINE_FILE
        hint = (
            f"Did you mean {inner.parent}?" if inner.is_file() else "Give the model folder of a run: runs/NAME/model."
        )
        raise DataError(f"{folder} is not a model folder (no {PIPELINE_FILE}).", hint)
    try:
        document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{file} is damaged: {error}.", "Copy the model folder again or train again.") from None
    if not isinstance(document, dict) or document.get("schema") != PIPELINE_SCHEMA:
        raise DataError(
            f"{file} is not of schema {PIPELINE_SCHEMA}, which this mer reads.",
            "Use the mer that made it, or train again.",
        )
    return document


def _version(catalogue: Catalogue, extractor: str) -> str:
    return catalogue.find(ExtractorSpec, extractor).version


def _check_versions(saved: Mapping[str, str], config: RunConfig, catalogue: Catalogue) -> None:
    for name, choice in config.streams.items():
        installed = _version(catalogue, choice.extractor)
        if saved[name] != installed:
            raise DataError(
                f"the model was trained with {choice.extractor} version {saved[name]}; {installed} is installed.",
                "Install the version it was trained with, or train again.",
            )
