"""Names of the ways in which a clip's frames become what a fusion reads. Light: read with a run's configuration.

``mean``, ``mean_std`` and ``mean_var`` make one vector of them (:mod:`mer_core.pooling`). ``frames`` keeps them all;
``frames:64`` averages those of a longer clip into 64 bins of its own length, of equal size by index.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from mer_core.errors import UsageError
from mer_core.feature_set import Level

FRAMES = "frames"
SOME_FRAMES = "frames:64"
"""What streams are pooled to where a fusion reads nothing but frames and nobody says how many."""

VECTORS = ("mean", "mean_std", "mean_var")
PATTERN = rf"^({'|'.join(VECTORS)}|{FRAMES}(:[1-9][0-9]{{0,6}})?)$"
CHOICES = f"{', '.join(VECTORS)}, {FRAMES} or {FRAMES}:N (at most N a clip)"


def check_pooling(pooling: str) -> str:
    """``pooling`` if there is such a one.

    Raises:
        UsageError: otherwise.
    """
    if not re.match(PATTERN, pooling):
        raise UsageError(f"there is no pooling {pooling!r}.", f"Choose one of {CHOICES}.")
    return pooling


def keeps_frames(pooling: str) -> bool:
    """Whether the stream stays a row of frames: ``frames`` or ``frames:64``."""
    return pooling.partition(":")[0] == FRAMES


def bins_of(pooling: str) -> int | None:
    """How many frames a clip may have at most; None for as many as there are.

    Raises:
        UsageError: ``pooling`` makes vectors, or there is no such one.
    """
    name, _, count = check_pooling(pooling).partition(":")
    if name != FRAMES:
        raise UsageError(f"{pooling} pools frames into one vector.", f"Choose {FRAMES} or {SOME_FRAMES}.")
    return int(count) if count else None


def level_of(pooling: str) -> Level:
    """The level of a stream under ``pooling``."""
    return "frame" if keeps_frames(pooling) else "clip"


def vector_pooling(pooling: str) -> str:
    """How frames become one vector where they have to: as ``pooling`` says, else their mean."""
    return "mean" if keeps_frames(pooling) else pooling


def usual_pooling(levels: Sequence[str], otherwise: str) -> str:
    """What streams are pooled to for a fusion of ``levels`` if nobody says."""
    return otherwise if "clip" in levels else SOME_FRAMES
