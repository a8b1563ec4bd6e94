"""The split plan of a run: which labelled clips are learnt from and which are scored, fold by fold.

Three ways to split: ``grouped`` (seeded, stratified by class, a group such as a speaker stays in one
part), ``shuffle`` (the MER2024 protocol: a plain seeded shuffle) and ``loo`` (one
group left out at a time). Own ``val`` clips replace all of them. Same arguments, same plan, on every
machine: randomness is ``random.Random(seed).shuffle`` alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mer_core.data.fold_parts import Kind, parts_of
from mer_core.errors import DataError, TooLittleDataError, UsageError
from mer_core.feature_set import Fold
from mer_core.files import write_text

IntArray = NDArray[np.int64]

SCHEMA = 1
NO_CLASS = -1
RARE_SHARE = 0.05
"""Classes of one clip forbid cross-validation if they hold more than this share of labelled clips."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldPlan:
    """How to split, or why not to.

    Attributes:
        folds: indices into the N clips; empty where cross-validation means nothing.
        kind: ``grouped``, ``shuffle``, ``loo``, ``val`` (the manifest's own) or ``none``.
        seed: what the shuffles started from.
        group: whether no group is in both parts of a fold.
        reason: why there are no folds, in plain words; None if there are.
        notes: what is unusual about the folds, e.g. classes too small to be in each of them.
    """

    folds: tuple[Fold, ...]
    kind: str
    seed: int
    group: bool
    reason: str | None = None
    notes: tuple[str, ...] = ()


def plan_folds(
    labels: IntArray,
    groups: Sequence[str | None] | None = None,
    splits: Sequence[str | None] | None = None,
    k: int | Literal["loo"] = 5,
    seed: int = 0,
    kind: Kind = "grouped",
    classes: Sequence[str] = (),
    learnable: NDArray[np.bool_] | None = None,
) -> FoldPlan:
    """Plan the folds over the clips of the training split that can be learnt from.

    Args:
        labels: [N] class indices, -1 where unlabelled.
        groups: [N] speaker or other group, None where unknown (such a clip is its own group);
            None or all unknown: stratified by class only.
        splits: [N] ``train``, ``val``, ``test``, ``unlabelled``; None counts as ``train``.
        k: how many folds, at least 2; fewer are made where there are fewer groups or clips.
            ``"loo"``: as many as groups.
        kind: ``grouped`` or ``shuffle``.
        classes: class names, for messages.
        learnable: [N] clips with a label, votes or a value; by default those with a label. The others of them
            count as one more class where parts are stratified, and as no class elsewhere.

    Raises:
        TooLittleDataError: no training clip to learn from, or all of one class.
        UsageError: k below 2, or ``"loo"`` with clips whose group is unknown.
    """
    case = _Case.of(labels, groups, splits, seed, classes, learnable)
    case.refuse_untrainable()
    if k != "loo" and k < 2:
        raise UsageError(f"{k} folds cannot be made.", "Give --folds a number from 2 on, or loo.")
    if case.val.size:
        return case.own_split()
    if k == "loo":
        case.refuse_unknown_groups()
    grouped = (k == "loo" or kind == "grouped") and case.knows_groups
    reason = case.reason_against(grouped)
    if reason is not None:
        return FoldPlan(folds=(), kind="none", seed=seed, group=grouped, reason=reason)
    parts = parts_of(case, k, kind, grouped)
    return case.plan_of(parts, "loo" if k == "loo" else kind, grouped, k)


def save_folds(path: Path, plan: FoldPlan, ids: Sequence[str]) -> None:
    """Write ``folds.json``: the plan with clips named by id, so that it survives a reordered manifest."""
    folds = [{"train": _names(fold.train, ids), "val": _names(fold.val, ids)} for fold in plan.folds]
    about = {"schema": SCHEMA, "kind": plan.kind, "seed": plan.seed, "group": plan.group, "reason": plan.reason}
    text = json.dumps({**about, "notes": list(plan.notes), "folds": folds}, ensure_ascii=False, indent=1)
    write_text(path, text + "\n")


def load_folds(path: Path, ids: Sequence[str]) -> FoldPlan:
    """Read ``folds.json`` back as indices into ``ids``.

    Raises:
        DataError: not a fold plan, or it names a clip that is not in ``ids``.
    """
    found = _read_plan(path)
    index = {name: position for position, name in enumerate(ids)}
    try:
        folds = tuple(Fold(_indices(fold["train"], index), _indices(fold["val"], index)) for fold in found["folds"])
        about = {key: found[key] for key in ("kind", "seed", "group", "reason")}
    except KeyError as error:
        hint = "Use the manifest that the folds were planned on, or plan them again without this file."
        raise DataError(f"{path} names {error}, which is not there.", hint) from error
    return FoldPlan(folds=folds, **about, notes=tuple(found.get("notes", ())))


def _read_plan(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a fold plan: {error}.", "Plan the folds again.") from error
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise DataError(f"{path} is not a fold plan of schema {SCHEMA}.", "Plan the folds again.")
    return found


def _names(indices: IntArray, ids: Sequence[str]) -> list[str]:
    return [ids[int(i)] for i in indices]


def _indices(names: Sequence[str], index: Mapping[str, int]) -> IntArray:
    return np.array([index[name] for name in names], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class _Case:
    """The labelled clips of one planning; ``train`` and ``val`` are indices into all N clips."""

    labels: IntArray
    groups: tuple[str | None, ...]
    train: IntArray
    val: IntArray
    seed: int
    classes: tuple[str, ...]

    @classmethod
    def of(
        cls,
        labels: IntArray,
        groups: Sequence[str | None] | None,
        splits: Sequence[str | None] | None,
        seed: int,
        classes: Sequence[str],
        learnable: NDArray[np.bool_] | None = None,
    ) -> _Case:
        labels = np.asarray(labels, dtype=np.int64)
        usable = labels >= 0 if learnable is None else (labels >= 0) | learnable
        count = len(labels)
        role = np.array([split or "train" for split in (splits if splits is not None else [None] * count)])
        known = tuple(groups) if groups is not None else (None,) * count
        train, val = (np.flatnonzero(usable & (role == name)) for name in ("train", "val"))
        return cls(labels, known, train, val, seed, tuple(classes))

    @property
    def knows_groups(self) -> bool:
        """Whether any training clip has a known group."""
        return any(self.groups[i] for i in self.train)

    def name(self, label: int) -> str:
        """The class called ``label``, quoted."""
        return repr(self.classes[label]) if label < len(self.classes) else f"class {label}"

    def group_of(self, clip: int) -> str:
        """A clip's group; one of its own where unknown."""
        return f"g{self.groups[clip]}" if self.groups[clip] else f"c{clip}"

    def strata(self, clips: IntArray) -> dict[int, int]:
        """How many of ``clips`` each training class has, -1 being those that have a value or votes alone."""
        return {int(label): int((self.labels[clips] == label).sum()) for label in np.unique(self.labels[self.train])}

    def counts(self, clips: IntArray) -> dict[int, int]:
        """How many of ``clips`` each training class has."""
        return {label: count for label, count in self.strata(clips).items() if label >= 0}

    @property
    def classless(self) -> bool:
        """Whether there are values alone to learn, no classes."""
        return not self.counts(self.train) and len(self.train) > 0

    def refuse_untrainable(self) -> None:
        """Raise if nothing can be fitted."""
        counts = self.counts(self.train)
        if self.classless:
            return
        if not counts:
            hint = "Fill in the label column, or say which column it is, e.g. --column label=emotion."
            raise TooLittleDataError("no clip of the training split has a label.", hint)
        if len(counts) == 1:
            (only,) = counts
            some = f"all {counts[only]} labelled training clips are"
            which = "the only labelled training clip is" if counts[only] == 1 else some
            message = f"{which} {self.name(only)}; there is nothing to tell apart."
            raise TooLittleDataError(message, "Label clips of at least one other class.")

    def refuse_unknown_groups(self) -> None:
        """Raise if a clip cannot be left out with its group."""
        unknown = sum(not self.groups[i] for i in self.train)
        if unknown:
            message = f"{unknown} of {len(self.train)} labelled clips have no group to leave out."
            raise UsageError(message, "Name the column that holds it with --group, fill it in, or use --folds 5.")

    def own_split(self) -> FoldPlan:
        """The manifest's own train and val parts as the only fold."""
        fold = Fold(self.train, self.val)
        known = [{self.groups[i] for i in part if self.groups[i]} for part in (self.train, self.val)]
        shared = sorted(filter(None, known[0] & known[1]))
        notes = [f"groups in both train and val: {_some(shared)}"] if shared else []
        unseen = sorted({*self.labels[self.val].tolist()} - {*self.labels[self.train].tolist(), NO_CLASS})
        notes += [f"{self.name(label)} is in val but not in train" for label in unseen]
        return FoldPlan(folds=(fold,), kind="val", seed=self.seed, group=all(known) and not shared, notes=tuple(notes))

    def reason_against(self, grouped: bool) -> str | None:
        """Why cross-validation would mean nothing here, None if it would."""
        counts = self.counts(self.train)
        single = [label for label, count in counts.items() if count < 2]
        rare = len(counts) - len(single) < 2 or len(single) > RARE_SHARE * len(self.train)
        if rare and not self.classless:
            return self._too_few(single, counts) if single else None
        if len(self.train) < 2:
            return "there is one clip with a value: two are needed, one to learn from and one to be scored"
        groups = {self.group_of(i) for i in self.train}
        if grouped and len(groups) < 2:
            return (
                f"all {len(self.train)} labelled clips are of one group ({self.groups[self.train[0]]}), "
                "so nothing can be scored on a group that was not learnt from"
            )
        return None

    def _too_few(self, single: list[int], counts: Mapping[int, int]) -> str:
        names = ", ".join(self.name(label) for label in single)
        verb = "has one clip" if len(single) == 1 else "have one clip each"
        return (
            f"{len(single)} of {len(counts)} classes {verb} ({names}): "
            "a class needs two labelled training clips, one to learn from and one to be scored"
        )

    def plan_of(self, parts: list[IntArray], kind: str, grouped: bool, k: int | str) -> FoldPlan:
        """Folds from their validation parts, unless some fold has nothing to tell apart."""
        folds = tuple(Fold(np.setdiff1d(self.train, part), np.sort(part)) for part in parts)
        seen = [set(self.labels[fold.train].tolist()) for fold in folds]
        if any(len(classes - {NO_CLASS}) < 2 for classes in seen) and not self.classless:
            reason = "with any split by group, some fold has one class only to learn from"
            return FoldPlan(folds=(), kind="none", seed=self.seed, group=grouped, reason=reason)
        notes = (*self._unknown_groups(grouped), *self._notes(seen, k, len(folds)))
        return FoldPlan(folds=folds, kind=kind, seed=self.seed, group=grouped, notes=notes)

    def _unknown_groups(self, grouped: bool) -> list[str]:
        unknown = sum(not self.groups[i] for i in self.train) if grouped else 0
        clips = f"{unknown} of {len(self.train)} labelled clips"
        verb = "has no known group and is" if unknown == 1 else "have no known group and are"
        return [f"{clips} {verb} split one by one"] if unknown else []

    def _notes(self, seen: list[set[int]], k: int | str, made: int) -> list[str]:
        counts = self.counts(self.train)
        notes = [f"{made} folds instead of {k}: there are no more groups or clips"] if k not in ("loo", made) else []
        few = [f"{self.name(label)} ({count})" for label, count in counts.items() if count < made]
        if few:
            notes.append(f"classes with fewer clips than folds: {', '.join(few)}")
        unlearnt = [label for label in counts if any(label not in classes for classes in seen)]
        notes += [f"{self.name(label)} cannot be learnt in the fold that holds all its clips" for label in unlearnt]
        return notes


def _some(names: Sequence[str], shown: int = 5) -> str:
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")
