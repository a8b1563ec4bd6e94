"""Fitting a supervised extractor to some of the clips; every fit is kept, and found again."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mer_core.blame import blame, title
from mer_core.catalogue import Entry
from mer_core.engine import ExtractorJob
from mer_core.engine.answers import make_instance
from mer_core.errors import PluginError, TooLittleDataError, UsageError
from mer_core.feature_set import Supervision
from mer_core.files import writing
from mer_core.fitted import FACTS, FittedState, find_state, save_state
from mer_core.protocols import Progress
from mer_core.spec import digest
from mer_core.store.locks import locked
from mer_core.types import Sample
from mer_core.workflows.decoded import DecodedClips
from mer_core.workflows.fit_progress import STAGE, WAIT
from mer_core.workflows.fitted import describe
from mer_core.workflows.seen import clip_marks

if TYPE_CHECKING:
    from mer_core.aliases import IntArray

WORK = "work"
"""Below a fit's folder: what it keeps while it is not finished, in a folder for each digest of what is fitted."""

LOCK = "lock"
"""Held in ``work`` while a process fits, so that another one waits instead."""

WAIT_SECONDS = 0.5

DIFFERENT = {
    "options": "other options",
    "content": "other weights",
    "training": "other clips, other labels or another seed",
}
"""What a fit may be of that is not the one that is wanted."""

ARRAYS = {
    "bool",
    "float16",
    "float32",
    "float64",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
}
"""Types of arrays that can be saved."""


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
    facts["seen"] = sorted({mark for row in rows for mark in clip_marks(clips.clips[row], job, clips.lookup.hasher)})
    name = digest([job.fingerprint, facts["training"]])
    home = folder if whole else folder / name
    known = _known(home, facts)
    if known is not None:
        _mark_used(known, whole)
        return known
    clips.fill()
    with alone(home / WORK / LOCK, progress) if keep else nullcontext():
        known = _known(home, facts)  # what another process has finished meanwhile
        if known is None:
            supervision = _supervision(lesson, rows, home / WORK / name, progress)
            known = _fitted(job, entry, supervision, clips.samples(rows.tolist()), home, device, facts, keep)
        if keep:
            shutil.rmtree(home / WORK, ignore_errors=True)
    return known


def _supervision(lesson: Lesson, rows: IntArray, folder: Path, progress: Progress | None) -> Supervision:
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return Supervision(
        labels=lesson.labels[rows],
        classes=lesson.classes,
        groups=None if lesson.groups is None else tuple(lesson.groups[row] for row in rows),
        seed=lesson.seed,
        folder=folder,
        progress=progress,
    )


def _fitted(
    job: ExtractorJob,
    entry: Entry,
    supervision: Supervision,
    samples: Sequence[Sample],
    home: Path,
    device: str,
    facts: Mapping[str, Any],
    keep: bool,
) -> FittedState:
    """What the extractor learns, saved in ``home`` unless it is not to be kept."""
    supervision.tell(STAGE, 0, 0, "loading")
    instance = make_instance(job, device)
    with blame(entry, "fit"):
        state = instance.fit(samples, supervision)
    _check(state, entry)
    told = {**facts, "summary": _summary(instance)}
    return save_state(home, state, told) if keep else FittedState(home, told)


def _summary(instance: Any) -> dict[str, Any]:
    """What the extractor tells of its fit, as JSON holds it; nothing where it cannot."""
    found = getattr(instance, "summary", None)
    try:
        text = json.dumps(dict(found) if isinstance(found, Mapping) else {}, default=_simple, skipkeys=True)
    except (TypeError, ValueError):
        return {}
    summary: dict[str, Any] = json.loads(text)
    return summary


def _simple(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


@contextmanager
def alone(lock: Path, progress: Progress | None) -> Iterator[None]:
    """Hold ``lock`` in the block; waits for another process that has it."""
    with ExitStack() as held:
        while not _taken(lock, held):
            if progress is not None:
                progress(WAIT, 0, 1, "for another process that fits the same")
            time.sleep(WAIT_SECONDS)
        yield


def _taken(lock: Path, held: ExitStack) -> bool:
    """Take ``lock`` if nobody has it; its folder may go any moment, since whoever finishes removes it."""
    with writing(lock), suppress(FileNotFoundError), ExitStack() as attempt:
        if attempt.enter_context(locked(lock)):
            held.push(attempt.pop_all())
            return True
    return False


def _known(home: Path, facts: Mapping[str, Any]) -> FittedState | None:
    """The finished fit in ``home``."""
    known = find_state(home)
    if known is not None:
        _refuse_another(known, facts)
    return known


def _mark_used(known: FittedState, whole: bool) -> None:
    """Note in the cache that a fit was needed now, for whoever prunes by age."""
    if not whole:
        with suppress(OSError):  # a cache that can only be read serves as well
            os.utime(known.folder / FACTS)


def _refuse_another(known: FittedState, facts: Mapping[str, Any]) -> None:
    """Refuse to take a fit for one of other options, clips, labels or seed."""
    wanted = json.loads(json.dumps(dict(facts)))
    kinds = ("extractor", "version", "options", "content", "training")
    other = [key for key in kinds if known.facts.get(key) != wanted[key]]
    if other:
        what = DIFFERENT.get(other[0], f"another {other[0]}")
        raise UsageError(f"{known.folder} holds a fit of {what}.", "Name a new folder, or remove it.")


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
    if not isinstance(state, Mapping) or not state:
        what = f"{title(entry)}: fit returned {type(state).__name__ if state else 'nothing'}, not arrays by name."
        raise PluginError(what, "Return the state that restore needs.")
    for name, array in state.items():
        kind = getattr(array, "dtype", None) or type(array).__name__
        if not isinstance(name, str) or name == "__metadata__":
            raise PluginError(f"{title(entry)}: fit returned an array called {name!r}.", "Give it another name.")
        if not isinstance(array, np.ndarray) or array.dtype.name not in ARRAYS:
            what = f"{title(entry)}: fit returned {name!r} as {kind}, not a numpy array of numbers."
            raise PluginError(what, "Return arrays of bool, integers or floats up to 64 bits.")
