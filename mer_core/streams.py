"""Which streams a run has, and what each of them is made with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mer_core.errors import UsageError
from mer_core.fitted import load_state
from mer_core.names import bare
from mer_core.owners import Asked, asked_of
from mer_core.registry import Catalogue, Entry
from mer_core.spec import ExtractorSpec, PresetSpec


def choose_streams(
    catalogue: Catalogue,
    saved: Mapping[str, Any],
    preset: PresetSpec,
    modalities: Sequence[str] | None,
    extractors: Mapping[str, str] | None,
    asked_preset: str | None,
) -> dict[str, dict[str, Any]]:
    """The streams of a run by name, each with its extractor and what a saved run says of it.

    Args:
        saved: a config file's contents; its streams count unless a preset is asked for now.
        modalities: which ones take part; by default those of the file or preset, and of ``extractors``.
        extractors: as in :func:`mer_core.configure.make_config`.

    Raises:
        UsageError: a modality that has no extractor, or two streams of one name.
    """
    base: dict[str, dict[str, Any]] = {} if asked_preset else dict(saved.get("streams", {}))
    if not base:
        base = {stream: own for modality in preset.extractors for stream, own in _of_preset(preset, modality).items()}
    chosen = _chosen(extractors or {})
    wanted = list(dict.fromkeys(modalities or [*(n.partition(":")[0] for n in base), *chosen]))
    for modality in chosen:
        if modality not in wanted:
            raise UsageError(
                f"--extractor names {modality}, which is not among the modalities {', '.join(wanted)}.",
                f"Add {modality} to --modalities.",
            )
    found: dict[str, dict[str, Any]] = {}
    for modality in wanted:
        if modality in chosen:
            found.update(chosen[modality])
            continue
        own = {name: choice for name, choice in base.items() if name.partition(":")[0] == modality}
        if not own:
            own = _preset_streams(preset, modality, catalogue)
        found.update(own)
    return found


def _of_preset(preset: PresetSpec, modality: str) -> dict[str, dict[str, Any]]:
    """The preset's streams of ``modality``, with the options that it gives their extractors."""
    given = {bare(name): dict(values) for name, values in preset.extractor_options.items()}
    named = _named(modality, preset.extractors[modality])
    return {stream: {**own, "options": given.get(bare(own["extractor"]), {})} for stream, own in named.items()}


def _preset_streams(preset: PresetSpec, modality: str, catalogue: Catalogue) -> dict[str, dict[str, Any]]:
    if modality in preset.extractors:
        return _of_preset(preset, modality)
    others = sorted(
        catalogue.shortest(e)
        for e in catalogue.of_kind(ExtractorSpec)
        if isinstance(e.spec, ExtractorSpec) and e.spec.modality == modality
    )
    hint = (
        f"Choose one: --extractor {modality}={others[0]}."
        if others
        else (f"Modalities of the preset {preset.name!r} are {', '.join(preset.extractors)}.")
    )
    raise UsageError(f"the preset {preset.name!r} has no extractor for the modality {modality!r}.", hint)


def _chosen(extractors: Mapping[str, str]) -> dict[str, dict[str, dict[str, Any]]]:
    """``{"speech": "a,b"}`` -> ``{"speech": {"speech:a": {"extractor": "a"}, ...}}``."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for key, names in extractors.items():
        modality, _, alias = key.partition(":")
        listed = [name.strip() for name in names.split(",") if name.strip()]
        if alias and len(listed) != 1:
            raise UsageError(f"the stream {key!r} takes exactly one extractor.", f"Write {key}=NAME.")
        own = {f"{modality}:{alias}": {"extractor": listed[0]}} if alias else _named(modality, listed)
        found.setdefault(modality, {}).update(own)
    return found


def _named(modality: str, extractors: Sequence[str]) -> dict[str, dict[str, Any]]:
    """A stream per extractor, whose alias is the extractor's bare name.

    Raises:
        UsageError: two would have the same.
    """
    found: dict[str, dict[str, Any]] = {}
    for name in extractors:
        stream = f"{modality}:{bare(name)}"
        if found.setdefault(stream, {"extractor": name})["extractor"] != name:
            raise UsageError(
                f"{found[stream]['extractor']} and {name} would both be the stream {stream}.",
                f"Give one an alias of your own: --extractor {modality}:other={name}.",
            )
    return found


def resolve_stream(
    catalogue: Catalogue,
    name: str,
    choice: Mapping[str, Any],
    pooling: str,
    default_pooling: str,
    asked: Asked,
    readers: Sequence[Entry],
) -> dict[str, Any]:
    """One stream in full: extractor by its saved name, pooling, and all options.

    Args:
        asked: options by owner; ``readers`` are the extractors of all streams.

    Raises:
        PluginError, UsageError, OptionError: naming the extractor or option.
    """
    entry = catalogue.entry(ExtractorSpec, choice["extractor"])
    extractor, spec = entry.saved_name, catalogue.find(ExtractorSpec, choice["extractor"])
    modality = name.partition(":")[0]
    if spec.modality != modality:
        raise UsageError(
            f"{choice['extractor']} is an extractor of {spec.modality}, not of {modality}.",
            f"Write --extractor {spec.modality}={choice['extractor']}.",
        )
    wanted = {**asked_of(asked, entry, readers), **asked.get(name, {})}
    options = catalogue.options(ExtractorSpec, extractor, {**choice.get("options", {}), **wanted})
    return {
        "extractor": extractor,
        "pooling": pooling or choice.get("pooling") or default_pooling,
        "options": options.model_dump(mode="json"),
        "fitted": choice.get("fitted", ""),
    }


def with_fitted(
    catalogue: Catalogue, streams: Mapping[str, dict[str, Any]], fitted: Mapping[str, str | Path]
) -> dict[str, dict[str, Any]]:
    """``streams`` with the folders of extractors that were fitted elsewhere, and the options they were fitted with.

    Args:
        fitted: by stream or extractor, what ``mer finetune`` wrote.

    Raises:
        UsageError: no such extractor in this run, or one that does not learn.
        DataError: nothing fitted in the folder.
    """
    found = {name: dict(choice) for name, choice in streams.items()}
    for owner, folder in fitted.items():
        entries = {name: catalogue.entry(ExtractorSpec, choice["extractor"]) for name, choice in found.items()}
        own = [name for name, entry in entries.items() if name == owner or entry.answers_to(owner)]
        if not own:
            hint = f"Its extractors are {', '.join(entry.spec.name for entry in entries.values())}."
            raise UsageError(f"--fitted {owner}={folder}: this run has no extractor {owner!r}.", hint)
        for name in own:
            spec = entries[name].spec
            if not (isinstance(spec, ExtractorSpec) and spec.supervised):
                raise UsageError(f"--fitted {owner}: {spec.name} does not learn from labels.", "Leave it out.")
            state = load_state(Path(folder).expanduser().resolve())
            options = {**state.facts["options"], **found[name].get("options", {})}
            found[name] |= {"fitted": str(state.folder), "options": options}
    return found
