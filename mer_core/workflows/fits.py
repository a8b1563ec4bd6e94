"""Fitting a supervised extractor to some of the clips; every fit is kept, and found again."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mer_core.blame import blame, title
from mer_core.catalogue import Entry
from mer_core.engine import ExtractorJob
from mer_core.engine.answers import make_instance
from mer_core.errors import PluginError, TooLittleDataError, UsageError
from mer_core.fitted import FittedState, find_state, save_state
from mer_core.protocols import Progress
from mer_core.spec import digest
from mer_core.types import Supervision
from mer_core.workflows.decoded import DecodedClips
from mer_core.workflows.fitted import describe

if TYPE_CHECKING:
    from mer_core.aliases import IntArray

WORK = "work"
"""Below a fit's folder: what it keeps while it is not finished."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What one fit learns from: ``labels`` [N] of all the clips (-1: none), of which ``rows`` take part."""

    rows: IntArray
    labels: IntArray
    classes: tuple[str, ...]
    groups: tuple[str, ...] | None
    seed: int


def fit_extractor(
    job: ExtractorJob,
    entry: Entry,
    lesson: Lesson,
    clips: DecodedClips,
    folder: Path,
    device: str,
    progress: Progress | None = None,
    *,
    whole: bool = False,
    keep: bool = True,
) -> FittedState:
    """Fit the job's extractor, or find the same fit of an earlier run.

    Args:
        entry: the extractor in the catalogue, to name it where it raises.
        folder: all fits lie below it, each under a digest of the extractor, its options, the clips' content, their
            labels and the seed.
        whole: ``folder`` is for this fit alone.
        keep: write the state; False in all but one of several processes that fit together.

    Raises:
        TooLittleDataError: fewer than two classes can be decoded.
        UsageError: ``folder`` holds another fit.
        PluginError: the extractor raised, or returned no state.
    """
    rows = np.asarray([row for row in lesson.rows if clips.keys[row] is not None], dtype=np.int64)
    labels = lesson.labels[rows]
    if len(np.unique(labels)) < 2:
        what = f"{job.name} has {len(rows)} clips of {len(np.unique(labels))} classes to learn from."
        raise TooLittleDataError(what, "It needs two classes; leave the stream out, or add clips.")
    facts = _facts(job, lesson, rows, [str(clips.keys[row]) for row in rows])
    home = folder if whole else folder / digest([job.fingerprint, facts["training"]])
    known = find_state(home)
    if known is not None:
        _refuse_another(known, facts)
        return known
    clips.fill()
    (home / WORK).mkdir(parents=True, exist_ok=True)
    supervision = Supervision(
        labels=labels,
        classes=lesson.classes,
        groups=None if lesson.groups is None else tuple(lesson.groups[row] for row in rows),
        seed=lesson.seed,
        folder=home / WORK,
        progress=progress,
    )
    instance = make_instance(job, device)
    with blame(entry, "fit"):
        state = instance.fit(clips.samples(rows.tolist()), supervision)
    _check(state, entry)
    summary = getattr(instance, "summary", None)
    facts["summary"] = dict(summary) if isinstance(summary, Mapping) else {}
    if not keep:
        return FittedState(home, facts)
    saved = save_state(home, state, facts)
    shutil.rmtree(home / WORK, ignore_errors=True)
    return saved


def _refuse_another(known: FittedState, facts: Mapping[str, Any]) -> None:
    """Refuse to take a fit for one of other options, clips, labels or seed."""
    other = [key for key in ("extractor", "options", "training") if known.facts[key] != facts[key]]
    if other:
        what = {"training": "clips, labels or seed"}.get(other[0], other[0])
        raise UsageError(f"{known.folder} holds a fit of another {what}.", "Name a new folder, or remove it.")


def _facts(job: ExtractorJob, lesson: Lesson, rows: IntArray, keys: Sequence[str]) -> dict[str, Any]:
    labels = [lesson.classes[label] for label in lesson.labels[rows]]
    groups = None if lesson.groups is None else [lesson.groups[row] for row in rows]
    return {
        **describe(job),
        "classes": list(lesson.classes),
        "clips": len(rows),
        "seed": lesson.seed,
        "training": digest([list(zip(keys, labels, strict=True)), list(lesson.classes), groups, lesson.seed], 32),
        "keys": list(keys),
    }


def _check(state: Any, entry: Entry) -> None:
    """Refuse a state that is no named arrays of numbers."""
    wrong = not isinstance(state, Mapping) or not state
    wrong = wrong or any(
        not isinstance(name, str) or not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf"
        for name, array in state.items()
    )
    if wrong:
        what = f"{title(entry)}: fit returned {type(state).__name__}, not numpy arrays of numbers by name."
        raise PluginError(what, "Return the state that restore needs.")
