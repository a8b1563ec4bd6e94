"""Options by owner, as in ``-o OWNER.KEY=VALUE``: which plugin or stream of a run an owner is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mer_core.catalogue import Entry
from mer_core.errors import UsageError

Asked = Mapping[str, Mapping[str, Any]]
"""Options by owner: a stream, or a plugin by its bare or full name."""


def asked_of(asked: Asked, entry: Entry, beside: Iterable[Entry] = ()) -> dict[str, Any]:
    """The options given to a plugin by its bare name, and over them those by its full name.

    Args:
        beside: plugins of its kind that take part, too. Where several have its bare name, that means
            mer's own one.

    Raises:
        UsageError: several have it, and none is mer's own.
    """
    found = {**_by_bare_name(asked, entry, beside)}
    for owner, values in asked.items():
        if "@" in owner and entry.answers_to(owner):
            found |= values
    return found


def _by_bare_name(asked: Asked, entry: Entry, beside: Iterable[Entry]) -> Mapping[str, Any]:
    name = entry.spec.name
    rivals = {one.full_name: one for one in beside if one.spec.name == name and one.full_name != entry.full_name}
    if name not in asked or entry.own or not rivals:
        return asked.get(name, {})
    if any(one.own for one in rivals.values()):
        return {}
    names = sorted([entry.full_name, *rivals])
    raise UsageError(f"option owner {name!r} is {' and '.join(names)} here.", f"Say which: -o {names[0]}.KEY=VALUE.")


def refuse_strangers(asked: Iterable[str], streams: Iterable[str], entries: Iterable[Entry], what: str) -> None:
    """Refuse an owner that is no stream and no plugin of ``what`` (``this run``).

    Raises:
        UsageError: naming it, and the owners that there are.
    """
    streams, entries = set(streams), list(entries)
    for owner in asked:
        if owner not in streams and not any(entry.answers_to(owner) for entry in entries):
            names = sorted(streams | {entry.saved_name for entry in entries})
            raise UsageError(f"option owner {owner!r} takes no part in {what}.", f"Owners here are {', '.join(names)}.")
