"""Votes of several raters -> the label that most of them gave."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer_core.errors import DataError
from mer_core.report.words import count


def majority(array: str, votes: NDArray[Any]) -> tuple[list[int | None], list[str]]:
    """The class with most votes of each clip, None where there is a tie or no vote; and how often that is so.

    Args:
        votes: [N, C], counts or shares.

    Raises:
        DataError: no numbers, or a negative one, by row.
    """
    try:
        shares = np.nan_to_num(np.asarray(votes, dtype=np.float64))
    except (TypeError, ValueError):
        raise DataError("its votes are not numbers.", "Give counts or shares [N, C].") from None
    if (shares < 0).any():
        row = int(np.flatnonzero((shares < 0).any(axis=1))[0])
        raise DataError(f"row {row}: a negative vote.", "Give counts or shares of votes, one column per class.")
    most = shares.max(axis=1)
    empty = most == 0
    tied = (np.isclose(shares, most[:, None], rtol=1e-6, atol=0).sum(axis=1) > 1) & ~empty
    labels = [None if out else int(best) for best, out in zip(shares.argmax(axis=1), empty | tied, strict=True)]
    notes = [f"labels are the majority of the votes in {array!r}"]
    if tied.any():
        notes.append(f"{count(int(tied.sum()), 'clip')} left out of training and scores: a tie of the votes")
    if empty.any():
        notes.append(f"{count(int(empty.sum()), 'clip')} left out of training and scores: no vote")
    return labels, notes
