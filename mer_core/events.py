"""What a run announces to plugins: plain data, never tensors. Times are seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Status = Literal["finished", "failed", "interrupted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """A run begins. ``folder`` exists; ``config`` is the fully resolved configuration, JSON-able.

    ``clips`` counts the clips of the manifest.
    """

    folder: Path
    config: Mapping[str, Any]
    clips: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FeaturesReady:
    """Extraction is over. Counts by stream name.

    Args:
        dims: feature columns after pooling.
        present: clips that have the stream.
        extracted: clips whose features were made in this run; ``reused`` those found in the store.
        failures: clips with which something went wrong.
        seconds: how long extraction took.
    """

    folder: Path
    dims: Mapping[str, int]
    present: Mapping[str, int]
    extracted: Mapping[str, int]
    reused: Mapping[str, int]
    failures: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldFinished:
    """A fold was trained and scored on the clips that it held out.

    Folds that train together finish together: their announcements follow one another.

    Args:
        fold: 1 to ``folds``.
        clips: number of held-out clips.
        scores: ``waf``, ``uar``, ``accuracy`` and ``macro_f1`` on them, between 0 and 1.
    """

    folder: Path
    fold: int
    folds: int
    clips: int
    scores: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished:
    """A run ended, well or not. Follows every :class:`RunStarted`, but for a process that is killed.

    Args:
        status: ``finished``, ``failed`` (``error`` says why) or ``interrupted``.
        report: the contents of ``report.json``; empty unless finished.
        seconds: how long the run took.
    """

    folder: Path
    status: Status
    seconds: float
    report: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""


Event = RunStarted | FeaturesReady | FoldFinished | RunFinished
