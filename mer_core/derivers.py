"""Which derivers a run needs, and which plugin makes each artefact."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mer_core.errors import UsageError
from mer_core.registry import Catalogue
from mer_core.spec import DeriverSpec, ExtractorSpec, Input, declared_inputs, derived_names

Choices = dict[str, dict[str, Any]]


def stream_inputs(catalogue: Catalogue, streams: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Input]]:
    """What each stream reads, by stream name; ``streams`` maps it to its extractor and options."""
    return {
        name: declared_inputs(
            catalogue.find(ExtractorSpec, choice["extractor"]),
            catalogue.options(ExtractorSpec, choice["extractor"], choice["options"]),
        )
        for name, choice in streams.items()
    }


def choose_derivers(
    catalogue: Catalogue,
    inputs: Mapping[str, Mapping[str, Input]],
    chosen: Mapping[str, Mapping[str, Any]],
    asked: Mapping[str, Mapping[str, Any]],
) -> Choices:
    """One deriver, with all its options, for each artefact that the streams read, through each other too.

    Args:
        inputs: per stream, what it reads.
        chosen: per artefact, the name (and options) of the deriver that a flag, file or preset names;
            where there is none, the only installed deriver of that artefact is taken.
        asked: options by owner, as given on the command line.

    Raises:
        UsageError: nothing installed makes an artefact, or several do and none is chosen.
    """
    found: Choices = {}
    waiting = [(artefact, reader) for reader, own in inputs.items() for artefact in derived_names(own)]
    while waiting:
        artefact, reader = waiting.pop(0)
        if artefact in found:
            continue
        choice = chosen.get(artefact) or {"name": only_deriver(catalogue, artefact, reader)}
        name = choice["name"]
        spec = catalogue.find(DeriverSpec, name)
        if spec.produces != artefact:
            raise UsageError(f"the deriver {name!r} makes {spec.produces!r}, not {artefact!r}.", "Choose another one.")
        options = catalogue.options(DeriverSpec, name, {**choice.get("options", {}), **asked.get(name, {})})
        found[artefact] = {"name": name, "options": options.model_dump(mode="json")}
        waiting += [(deeper, name) for deeper in derived_names(declared_inputs(spec, options))]
    return {artefact: found[artefact] for artefact in sorted(found)}


def only_deriver(catalogue: Catalogue, artefact: str, reader: str) -> str:
    """The one installed deriver that makes ``artefact``.

    Raises:
        UsageError: there is none, or there are several.
    """
    names = sorted(_makers(catalogue, artefact))
    if not names:
        raise UsageError(
            f"{reader} reads {artefact!r}, and no installed plugin makes it.",
            "Install one that does; 'mer plugins list --kind deriver' shows those that are there.",
        )
    if len(names) > 1:
        raise UsageError(
            f"{reader} reads {artefact!r}, which {', '.join(names)} make.",
            f"Say which: --deriver {artefact}={names[0]}.",
        )
    return names[0]


def _makers(catalogue: Catalogue, artefact: str) -> Iterable[str]:
    usable = [entry for entry in catalogue.of_kind(DeriverSpec) if not entry.problem]
    made = [e for e in usable if isinstance(e.spec, DeriverSpec) and e.spec.produces == artefact]
    bare = [entry.spec.name for entry in made]
    return (entry.full_name if bare.count(entry.spec.name) > 1 else entry.spec.name for entry in made)
