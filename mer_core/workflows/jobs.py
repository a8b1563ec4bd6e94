"""From a run's configuration to the engine's jobs, each with the fingerprint of all that shapes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mer_core.config import PluginChoice, RunConfig, StreamChoice
from mer_core.engine import DeriverJob, ExtractorJob
from mer_core.engine.answers import make_instance
from mer_core.errors import MerError, MissingWeightsError, OptionError, UsageError
from mer_core.frame_pooling import keeps_frames
from mer_core.inputs import TRANSCRIPT, Input, derived_names
from mer_core.media import DECODER_VERSION
from mer_core.options import Options
from mer_core.protocols import Deriver
from mer_core.registry import Catalogue
from mer_core.spec import DeriverSpec, ExtractorSpec, PluginSpec, declared_inputs, digest, plain
from mer_core.uploads import PERMISSION
from mer_core.weights import AbsentWeights, absent_together
from mer_core.workflows.weights import shorter_name
from mer_core.workflows.workspace import pick_device

Jobs = tuple[list[ExtractorJob], dict[str, DeriverJob]]
"""One per stream, and one per artefact."""

CLASSES: Any = tuple[str, ...] | None
"""Type of an option ``classes`` that is filled with the run's where it is left at None."""


def build_jobs(config: RunConfig, catalogue: Catalogue, classes: Sequence[str] = ()) -> Jobs:
    """One job per stream, and one per artefact that any of them reads.

    Args:
        classes: those of the run, for plugins whose option ``classes`` is left at None.

    Raises:
        MissingPackageError, PluginError, UsageError: a plugin that cannot be used here.
        MissingWeightsError: naming all weights that the run needs and that are not here.
    """
    try:
        return _jobs(config, catalogue, classes)
    except MissingWeightsError as first:
        raise _all_missing(config, catalogue, classes, first) from None


def _jobs(config: RunConfig, catalogue: Catalogue, classes: Sequence[str]) -> Jobs:
    specs = {name: catalogue.find(ExtractorSpec, choice.extractor) for name, choice in config.streams.items()}
    options = {
        name: _options(ExtractorSpec, choice.extractor, choice.options, catalogue, classes)
        for name, choice in config.streams.items()
    }
    needed = {name: derived_names(declared_inputs(specs[name], options[name])) for name in specs}
    derivers = _deriver_jobs(needed, config.derivers, catalogue, classes)
    jobs = [
        _extractor_job(
            name, choice, config.device, catalogue, options[name], {a: derivers[a].fingerprint for a in needed[name]}
        )
        for name, choice in config.streams.items()
    ]
    return _transcribing(jobs, derivers, config, catalogue) if config.transcribe else (jobs, derivers)


def _all_missing(
    config: RunConfig, catalogue: Catalogue, classes: Sequence[str], first: MissingWeightsError
) -> MissingWeightsError:
    """``first``, together with what else is not here of the weights of extractors and derivers."""
    found = [error for options in _all_options(config, catalogue, classes) for error in _absent(options)]
    names = [one.weights.name for one in found if isinstance(one, AbsentWeights) and not one.revision]
    return absent_together(found or [first], shorter_name(catalogue, config.preset, names))


def _all_options(config: RunConfig, catalogue: Catalogue, classes: Sequence[str]) -> Iterator[Any]:
    """The options of the run's extractors, then of the derivers that any of them or of these needs."""
    waiting: list[tuple[type[PluginSpec], PluginChoice]] = [
        (ExtractorSpec, PluginChoice(name=choice.extractor, options=choice.options))
        for choice in config.streams.values()
    ]
    seen: set[str] = set()
    for kind, choice in waiting:  # which grows meanwhile
        options = _options(kind, choice.name, choice.options, catalogue, classes)
        yield options
        spec: Any = catalogue.find(kind, choice.name)
        wanted = {*derived_names(declared_inputs(spec, options)), *([TRANSCRIPT] if config.transcribe else [])} - seen
        waiting += [(DeriverSpec, config.derivers[name]) for name in sorted(wanted & set(config.derivers))]
        seen |= wanted


def _absent(options: Options) -> list[MissingWeightsError]:
    try:
        options.fingerprint()
    except MissingWeightsError as error:
        return [error]
    except (MerError, OSError):
        return []  # told when the weights are here
    return []


def _transcribing(
    jobs: Sequence[ExtractorJob], derivers: Mapping[str, DeriverJob], config: RunConfig, catalogue: Catalogue
) -> Jobs:
    """The jobs as they are where clips without text are transcribed, and what makes transcripts if any reads text.

    Their fingerprints stay: transcripts count by their content, in the digests of the clips that need one.
    """
    listed = [replace(job, transcribe=True) for job in jobs]
    named = {name: replace(job, transcribe=True) for name, job in derivers.items()}
    read = {name for job in (*listed, *named.values()) for name in job.of_silent.derived} - set(named)
    return listed, {**_deriver_jobs({"": sorted(read)}, config.derivers, catalogue, ()), **named}


def _options(
    kind: type[PluginSpec], name: str, values: Mapping[str, Any], catalogue: Catalogue, classes: Sequence[str]
) -> Any:
    """The plugin's options; ``classes`` that are left at None are the run's, if it has at least two."""
    options: Options = catalogue.options(kind, name, values)
    field = type(options).model_fields.get("classes")
    empty = field is not None and field.annotation == CLASSES and getattr(options, "classes", ()) is None
    if not empty or len(classes) < 2:
        return options
    return catalogue.options(kind, name, {**values, "classes": list(classes)})


def build_deriver(artefact: str, config: RunConfig, catalogue: Catalogue) -> tuple[Deriver, dict[str, Input]]:
    """The run's deriver of ``artefact``, ready to work on the CPU, and the inputs it declares."""
    job = _deriver_job(artefact, config.derivers, catalogue)
    deriver: Deriver = make_instance(job, "cpu")
    return deriver, declared_inputs(job.spec, job.options)


def _deriver_jobs(
    needed: Mapping[str, Sequence[str]],
    choices: Mapping[str, PluginChoice],
    catalogue: Catalogue,
    classes: Sequence[str],
) -> dict[str, DeriverJob]:
    """One job per artefact that streams read, directly or through another artefact."""
    found: dict[str, DeriverJob] = {}
    waiting = sorted(set().union(*needed.values()))
    while waiting:
        artefact = waiting.pop(0)
        if artefact not in found:
            found[artefact] = _deriver_job(artefact, choices, catalogue, classes)
            waiting += found[artefact].derived
    return found


def _extractor_job(
    name: str, choice: StreamChoice, device: str, catalogue: Catalogue, options: Any, derived: Mapping[str, str]
) -> ExtractorJob:
    entry = catalogue.entry(ExtractorSpec, choice.extractor)
    spec = catalogue.find(ExtractorSpec, choice.extractor)
    about = {
        "extractor": entry.full_name,
        "version": spec.version,
        "modality": spec.modality,
        "options": _facts(options, entry.full_name),
        "inputs": plain(declared_inputs(spec, options)),
        "derived": dict(derived),
        "decoder": DECODER_VERSION,
        "dtype": _dtype(options, device),
    }
    return ExtractorJob(
        name=name,
        spec=spec,
        options=options,
        extractor_class=catalogue.load(ExtractorSpec, choice.extractor),
        fingerprint=digest(about),
        about=about,
        frames=keeps_frames(choice.pooling) and not spec.supervised,
    )


def _dtype(options: Options, device: str) -> str:
    """What the plugin computes in; torch is asked about the device only if the plugin's answer depends on it."""
    plain_answer = type(options).compute_dtype is Options.compute_dtype
    return options.compute_dtype(device if plain_answer else pick_device(device))


def _facts(options: Any, owner: str) -> dict[str, Any]:
    """The options' values, with what the plugin itself says about them (the content of a weights file)."""
    try:
        found = {**plain(options), **plain(options.fingerprint())}
    except OSError as error:
        raise OptionError(
            f"{owner}: {error.filename} cannot be read: {error.strerror}.", "Check the path in its options."
        ) from error
    return {**found, PERMISSION: None} if PERMISSION in found else found


def _deriver_job(
    artefact: str, choices: Mapping[str, PluginChoice], catalogue: Catalogue, classes: Sequence[str] = ()
) -> DeriverJob:
    if artefact not in choices:
        raise UsageError(
            f"a stream of this run reads {artefact!r}, and nothing here makes it.",
            "Name a deriver in the config under [derivers], or choose a preset that has one.",
        )
    name = choices[artefact].name
    entry, spec = catalogue.entry(DeriverSpec, name), catalogue.find(DeriverSpec, name)
    if spec.produces != artefact:
        raise UsageError(f"the deriver {name!r} makes {spec.produces}, not {artefact}.", "Choose another one.")
    options = _options(DeriverSpec, name, choices[artefact].options, catalogue, classes)
    about = {
        "deriver": entry.full_name,
        "version": spec.version,
        "produces": artefact,
        "options": _facts(options, entry.full_name),
        "inputs": plain(declared_inputs(spec, options)),
        "decoder": DECODER_VERSION,
    }
    return DeriverJob(
        name=artefact,
        spec=spec,
        options=options,
        deriver_class=catalogue.load(DeriverSpec, name),
        fingerprint=digest(about),
        about=about,
    )
