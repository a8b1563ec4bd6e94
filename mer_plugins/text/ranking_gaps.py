"""Which clips a table of rankings lacks, and what its rows are for where it lacks all. Light."""

from __future__ import annotations

from collections.abc import Sequence

from mer_core.plugin import Clip, OptionError
from mer_plugins.text.ranking_table import RankingTable

SHOWN = 3
"""Ids and texts that are named, of as many as there are."""
LONGEST = 24
"""Letters of each."""


def gaps(table: RankingTable, clips: Sequence[Clip]) -> tuple[str, ...]:
    """How many of the clips that say something have no row. What a clip says that is to be transcribed is not known.

    Raises:
        OptionError: none has one: the table is another data set's, or is keyed in another way.
    """
    spoken = [clip for clip in clips if (clip.text or "").strip()]
    lacking = [clip for clip in spoken if not table.has(clip.id, clip.text or "")]
    if not lacking:
        return ()
    if len(lacking) == len(spoken):
        raise _foreign(table, spoken)
    ids, have = _some([clip.id for clip in lacking]), "has" if len(lacking) == 1 else "have"
    told = f"{len(lacking):,} of {len(spoken):,} clips with a transcript {have} no ranking in {table.path.name}"
    return (f"{told} ({ids}): their text is read alone.",)


def _foreign(table: RankingTable, spoken: Sequence[Clip]) -> OptionError:
    first = spoken[0]
    which = "the only clip" if len(spoken) == 1 else f"none of the {len(spoken):,} clips"
    verb = "has no" if len(spoken) == 1 else "has a"
    rows = [f"its {kind}s are {_some(table.keys(kind))}" for kind in ("id", "text") if table.keys(kind)]
    clip = f"the first clip's id is {_cut(first.id)}, its text {_cut(first.text or '')}"
    return OptionError(
        f"gpt-ranking: {which} with a transcript {verb} ranking in {table.path}: "
        f"{', '.join(rows) or 'it has no rows'}; {clip}.",
        "Name another table, or put the clips' ids (column id) or transcripts (column text) into it. To do without "
        "rankings: -o gpt-ranking.ranker=none.",
    )


def _some(keys: Sequence[str]) -> str:
    return ", ".join(map(_cut, keys[:SHOWN])) + (" …" if len(keys) > SHOWN else "")


def _cut(key: str) -> str:
    text = key.strip()
    return repr(text if len(text) <= LONGEST else f"{text[:LONGEST]}…")
