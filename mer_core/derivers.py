"""Which derivers a run needs, and which plugin makes each artefact."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from mer_core.errors import UsageError
from mer_core.inputs import TRANSCRIPT, Input, derived_names, transcribed
from mer_core.names import same
from mer_core.owners import asked_of
from mer_core.registry import Catalogue, Entry
from mer_core.spec import DeriverSpec, ExtractorSpec, declared_inputs

Choices = dict[str, dict[str, Any]]

USUAL = {"faces": "haar"}
"""Which of several makers is meant where nobody says: the one that needs neither weights nor a program."""


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
    homes: Mapping[str, str] | None = None,
    transcribe: bool = False,
) -> Choices:
    """One deriver, with all its options, for each artefact that the streams read, through each other too.

    Args:
        inputs: per stream, what it reads.
        chosen: per artefact, the name (and options) of the deriver that a flag, file or preset names;
            where there is none, the reader's own package, then mer, then anybody may make it, if only once.
        asked: options by owner, as given on the command line.
        homes: per stream, the distribution of what reads there.
        transcribe: what reads text reads the artefact ``transcript`` where a clip has none.

    Raises:
        UsageError: nothing installed makes an artefact, or several do and none is chosen.
    """
    found: Choices = {}
    homes = homes or {}

    def read(own: Mapping[str, Input]) -> tuple[str, ...]:
        return derived_names(transcribed(own) if transcribe else own)

    waiting = [(artefact, name, homes.get(name, "")) for name, own in inputs.items() for artefact in read(own)]
    while waiting:
        artefact, reader, home = waiting.pop(0)
        if artefact in found:
            continue
        choice = chosen.get(artefact) or {"name": only_deriver(catalogue, artefact, reader, home)}
        entry = catalogue.entry(DeriverSpec, choice["name"])
        name, spec = entry.saved_name, catalogue.find(DeriverSpec, choice["name"])
        if spec.produces != artefact:
            what = f"the deriver {choice['name']!r} makes {spec.produces!r}, not {artefact!r}."
            raise UsageError(what, "Choose another one.")
        options = catalogue.options(DeriverSpec, name, {**choice.get("options", {}), **asked_of(asked, entry)})
        found[artefact] = {"name": name, "options": options.model_dump(mode="json")}
        waiting += [(deeper, name, entry.distribution) for deeper in read(declared_inputs(spec, options))]
    return {artefact: found[artefact] for artefact in sorted(found)}


def only_deriver(catalogue: Catalogue, artefact: str, reader: str, home: str = "") -> str:
    """The one deriver that makes ``artefact``: in the reader's distribution ``home``, or in mer, or installed at all.

    Raises:
        UsageError: there is none, or there are several.
    """
    makers = _makers(catalogue, artefact)
    near = [e for e in makers if home and same(e.distribution, home)] or [e for e in makers if e.own] or makers
    names = sorted(catalogue.shortest(entry) for entry in near)
    if not names:
        raise UsageError(
            f"{reader} reads {artefact!r}, and no installed plugin makes it.",
            similar_artefact(catalogue, artefact)
            or "Install one that does; 'mer plugins list --kind deriver' shows those that are there.",
        )
    if USUAL.get(artefact) in names:
        return USUAL[artefact]
    if len(names) > 1:
        raise UsageError(
            f"{reader} reads {artefact!r}, which {', '.join(names)} make.",
            f"Say which: --deriver {artefact}={names[0]}.",
        )
    return names[0]


def similar_artefact(catalogue: Catalogue, artefact: str) -> str:
    """A guess at what was meant by the name of an artefact that nothing makes; empty if none is like it."""
    made: dict[str, list[str]] = {}
    for entry in catalogue.of_kind(DeriverSpec):
        if isinstance(entry.spec, DeriverSpec) and not entry.problem:
            made.setdefault(entry.spec.produces, []).append(entry.full_name)
    close = get_close_matches(artefact, made, n=1)
    return f"Did you mean {close[0]!r} ({', '.join(made[close[0]])})?" if close else ""


def _makers(catalogue: Catalogue, artefact: str) -> list[Entry]:
    usable = [entry for entry in catalogue.of_kind(DeriverSpec) if not entry.problem]
    return [e for e in usable if isinstance(e.spec, DeriverSpec) and e.spec.produces == artefact]


def made(catalogue: Catalogue, artefact: str) -> bool:
    """Whether any installed deriver makes ``artefact``."""
    return any(isinstance(e.spec, DeriverSpec) and e.spec.produces == artefact for e in catalogue.of_kind(DeriverSpec))


def refuse_unread(
    flags: Mapping[str, str], inputs: Mapping[str, Mapping[str, Input]], further: Iterable[str] = ()
) -> None:
    """Refuse a deriver for an artefact that is not read.

    Args:
        flags: deriver by artefact, as asked for.
        inputs: per stream, what it reads; ``further`` artefacts are read by derivers.

    Raises:
        UsageError: with the close match.
    """
    read = sorted({*further, *(name for own in inputs.values() for name in derived_names(own))})
    for artefact in sorted(set(flags) - {*read, "faces"}):
        close = get_close_matches(artefact, read, n=1)
        guess = (
            "Add --transcribe."
            if artefact == TRANSCRIPT
            else f"Artefacts that are read here: {', '.join(read) or 'none'}."
        )
        raise UsageError(
            f"--deriver names {artefact!r}, which no stream of this run reads.",
            f"Did you mean --deriver {close[0]}={flags[artefact]}?" if close else guess,
        )
