"""What the ``mer plugins`` commands tell about a plugin, as plain data: its state, why, and what to do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mer_core.registry import Catalogue, Entry, Problem, Source
    from mer_core.spec import PluginSpec

READY, MISSING, BROKEN, AMBIGUOUS = "ready", "missing", "broken", "ambiguous"
"""States of a plugin. ``missing``: packages are not installed; ``ambiguous``: its name alone is refused."""

COLOURS = {READY: "green", MISSING: "yellow", AMBIGUOUS: "yellow", BROKEN: "red"}


def ordered(entries: Iterable[Entry]) -> list[Entry]:
    """By kind, then modality, then name; kinds that mer does not know come last."""
    from mer_core.spec import KINDS

    rank = {kind: number for number, kind in enumerate(KINDS)}
    return sorted(
        entries, key=lambda e: (rank.get(e.spec.kind, len(KINDS)), getattr(e.spec, "modality", ""), e.full_name)
    )


def entry_row(catalogue: Catalogue, entry: Entry) -> dict[str, Any]:
    """One plugin of the catalogue."""
    spec = entry.spec
    status, reason, remedy = _state(catalogue, entry)
    return {
        "kind": spec.kind,
        "name": spec.name,
        "full_name": entry.full_name,
        "modality": getattr(spec, "modality", None),
        "distribution": entry.distribution,
        "entry_point": entry.entry_point,
        "version": spec.version,
        "summary": spec.summary,
        "needs": needs(spec),
        "status": status,
        "call": catalogue.shortest(entry),
        "reason": reason,
        "remedy": remedy,
        "weights_licence": spec.weights_licence or None,
    }


EXTRA = re.compile(r"\[([\w.,-]+)\]")
"""The extra of a distribution in an install line."""


def needs(spec: PluginSpec) -> list[str]:
    """What the plugin wants beside the usual packages.

    That is labels to learn from, weights with the size of the default ones, the extra with which packages are
    installed, and what the spec itself says.
    """
    from mer_core.report.words import size

    found = ["labels"] if getattr(spec, "supervised", False) else []
    if spec.weights:
        known = spec.weights[0].bytes
        found.append(f"weights {size(known)}" if known else "weights")
    return [*found, *(f"extra {name}" for name in EXTRA.findall(spec.install)), *spec.needs]


def problem_row(problem: Problem) -> dict[str, Any]:
    """Something that could not be read; its name is that of the entry point."""
    return {
        "kind": None,
        "name": problem.entry_point,
        "full_name": problem.full_name,
        "distribution": problem.distribution,
        "entry_point": problem.entry_point,
        "target": problem.target,
        "where": problem.where or None,
        "status": BROKEN,
        "reason": problem.reason,
        "remedy": problem.remedy,
    }


def source_row(source: Source) -> dict[str, Any]:
    """How long a plugin module took to import, and what to say about it."""
    return {
        "distribution": source.distribution,
        "entry_point": source.entry_point,
        "target": source.target,
        "seconds": round(source.seconds, 3),
        "note": source.slow,
    }


def _state(catalogue: Catalogue, entry: Entry) -> tuple[str, str | None, str | None]:
    if faults := getattr(entry.spec, "faults", ()):
        return BROKEN, " ".join(reason for reason, _ in faults), " ".join(dict.fromkeys(remedy for _, remedy in faults))
    if entry.problem:
        return BROKEN, entry.problem, entry.remedy
    if absent := entry.missing_packages():
        return MISSING, f"needs {', '.join(absent)}, not installed", f"Run: {entry.install_line()}"
    meant = catalogue.meant(type(entry.spec), entry.spec.name)
    if meant[0].own and not entry.own:
        return READY, "its name alone means mer's own plugin", f"Write {entry.full_name}."
    if len(meant) > 1:
        others = " and ".join(e.distribution for e in meant if e is not entry)
        return AMBIGUOUS, f"the name is also taken by {others}", f"Write {entry.full_name}."
    return READY, None, None
