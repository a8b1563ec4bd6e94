"""Votes of several raters -> shares of classes, and the label that most of them gave."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer_core.data.gaps import doubt_notes
from mer_core.data.vocabulary import canonical, class_order, clean_label, normalise_labels, refuse_circles
from mer_core.errors import DataError

FloatArray = NDArray[np.float64]
CLOSE = 1e-6
"""Two classes whose votes differ by less than this share of the larger have a tie."""


def read_votes(votes: Any) -> FloatArray:
    """[N, C] counts or shares of votes; NaN is no vote.

    Raises:
        DataError: no numbers, or a negative or infinite one, by row.
    """
    try:
        found = np.nan_to_num(np.asarray(votes, dtype=np.float64), posinf=np.inf)
    except (TypeError, ValueError):
        raise DataError("its votes are not numbers.", "Give counts or shares [N, C].") from None
    for odd, kind in ((found < 0, "a negative"), (np.isinf(found), "an infinite")):
        if odd.any():
            what = f"row {int(np.flatnonzero(odd.any(axis=1))[0])}: {kind} vote."
            raise DataError(what, "Give counts or shares of votes, one column per class.")
    return found


def shares(votes: FloatArray) -> FloatArray:
    """[N, C] shares of votes that add up to 1; rows of NaN where nobody voted."""
    total = votes.sum(axis=1, keepdims=True)
    return np.where(total > 0, votes / np.where(total > 0, total, 1.0), np.nan)


def majority(array: str, given: Any, learnt: bool = False) -> tuple[list[int | None], list[str]]:
    """The class with most votes of each clip, None where there is a tie or no vote; and how often that is so.

    Args:
        given: [N, C] counts or shares.
        learnt: the votes themselves are learnt from, too.

    Raises:
        DataError: as :func:`read_votes`.
    """
    votes = read_votes(given)
    most = votes.max(axis=1)
    empty = most == 0
    tied = (np.isclose(votes, most[:, None], rtol=CLOSE, atol=0).sum(axis=1) > 1) & ~empty
    labels = [None if out else int(best) for best, out in zip(votes.argmax(axis=1), empty | tied, strict=True)]
    notes = [f"labels are the majority of the votes in {array!r}"]
    if tied.any():
        out = "without a label, learnt from by their votes" if learnt else "left out of training and scores"
        notes.append(f"{_clips(tied)} {out}: a tie of the votes")
    if empty.any():
        notes.append(f"{_clips(empty)} left out of training and scores: no vote")
    return labels, notes


def most_votes(votes: Mapping[str, float]) -> str | None:
    """The class with most votes; None where there is a tie or no vote."""
    if not votes:
        return None
    (label,), _ = majority("", np.asarray([list(votes.values())], np.float64))
    return None if label is None else list(votes)[label]


def normalise_with_votes(
    labels: Iterable[str], voted: Iterable[str], label_map: Mapping[str, str] | None = None
) -> tuple[dict[str, str], tuple[str, ...]]:
    """How labels, and classes that raters vote for, are spelt: each as :func:`normalise_labels` says.

    A class of the votes is a label that the vocabulary spells alike: votes for ``HAP`` are votes for ``happy``.

    Raises:
        UsageError: ``label_map`` renames in a circle.
    """
    asked, written, names = dict(label_map or {}), list(labels), sorted(set(voted))
    refuse_circles(asked)
    present = set(written)
    for_votes = {old: new for old, new in asked.items() if clean_label(old) in map(clean_label, names)}
    others = {old: new for old, new in asked.items() if old not in for_votes or clean_label(old) in present}
    mapping, notes = normalise_labels(written, others)
    own, told = normalise_labels(names, for_votes) if names else ({}, ())
    alike = {canonical(name) or name: name for name in reversed(class_order(filter(None, mapping.values())))}
    joined = {
        name: new if not new or new in alike.values() else alike.get(canonical(new) or new, new)
        for name, new in own.items()
    }
    return {**joined, **mapping}, tuple(dict.fromkeys((*notes, *told, *doubt_notes(written, asked))))


def spelt(votes: Mapping[str, float], mapping: Mapping[str, str]) -> dict[str, float]:
    """Votes by the spelling of their classes; those of one class add up, "" drops them."""
    found: dict[str, float] = {}
    for name, number in votes.items():
        if number and mapping[name]:
            found[mapping[name]] = found.get(mapping[name], 0.0) + number
    return found


def merged(votes: FloatArray, names: Sequence[str], mapping: Mapping[str, str]) -> tuple[tuple[str, ...], FloatArray]:
    """Classes that anybody voted for, in order, and [N, C'] the votes for them."""
    order = tuple(dict.fromkeys(mapping[name] for name in names if mapping[name]))
    table = np.zeros((len(votes), len(order)))
    for column, name in enumerate(names):
        if mapping[name]:
            table[:, order.index(mapping[name])] += votes[:, column]
    used = np.flatnonzero(table.any(axis=0))
    return tuple(order[place] for place in used), table[:, used]


def _clips(rows: NDArray[np.bool_]) -> str:
    n = int(rows.sum())
    return f"{n:,} clip" if n == 1 else f"{n:,} clips"
