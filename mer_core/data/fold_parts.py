"""Ways to cut clips into parts that are scored in turn. All chance is ``random.Random(seed).shuffle``."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
Kind = Literal["grouped", "shuffle"]


class Case(Protocol):
    """What is to be cut: rows ``train`` of ``labels`` [N], each of a group."""

    @property
    def labels(self) -> IntArray: ...

    @property
    def train(self) -> IntArray: ...

    @property
    def seed(self) -> int: ...

    def group_of(self, clip: int) -> str: ...

    def strata(self, clips: IntArray) -> Mapping[int, int]: ...


def parts_of(case: Case, k: int | Literal["loo"], kind: Kind, grouped: bool) -> list[IntArray]:
    """The validation parts: index arrays that cover the labelled training clips once."""
    if k == "loo":
        return [np.array(members, dtype=np.int64) for _, members in sorted(_members(case).items())]
    if kind == "shuffle":
        return _shuffled_parts(case.train, k, case.seed)
    return _grouped_parts(case, k) if grouped else _stratified_parts(case, k)


def _members(case: Case) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for clip in case.train.tolist():
        found.setdefault(case.group_of(clip), []).append(clip)
    return found


def _shuffled_parts(clips: IntArray, k: int, seed: int) -> list[IntArray]:
    """MER2024's split: shuffle, parts of int(N / k), the remainder in the last one."""
    order = clips.tolist()
    random.Random(seed).shuffle(order)
    k = min(k, len(order))
    size = len(order) // k
    cuts = [size * fold for fold in range(1, k)]
    return [np.array(part, dtype=np.int64) for part in np.split(np.array(order), cuts)]


def _stratified_parts(case: Case, k: int) -> list[IntArray]:
    """Deal shuffled clips class by class: folds differ by at most one clip, in all and per class."""
    rng = random.Random(case.seed)
    dealt: list[int] = []
    for label in case.strata(case.train):
        clips = case.train[case.labels[case.train] == label].tolist()
        rng.shuffle(clips)
        dealt += clips
    k = min(k, len(dealt))
    return [np.array(dealt[fold::k], dtype=np.int64) for fold in range(k)]


def _grouped_parts(case: Case, k: int) -> list[IntArray]:
    """Give each group, largest first, to the fold that most lacks its classes.

    What a fold lacks of a class is measured from an equal share of it and weighed by the class's
    size, so that rare classes count as much as common ones; ties go to the smaller fold.
    """
    members = _members(case)
    classes = list(case.strata(case.train))
    table = {name: np.array([np.sum(case.labels[clips] == c) for c in classes]) for name, clips in members.items()}
    order = sorted(members)
    random.Random(case.seed).shuffle(order)
    order.sort(key=lambda name: -len(members[name]))
    k = min(k, len(order))
    total = np.sum([table[name] for name in order], axis=0)
    held = np.zeros((k, len(classes)))
    parts: list[list[int]] = [[] for _ in range(k)]
    for name in order:
        cost = (table[name] * (2 * (held - total / k) + table[name]) / total).sum(axis=1)
        fold = min(range(k), key=lambda f: (round(float(cost[f]), 9), len(parts[f])))
        held[fold] += table[name]
        parts[fold] += members[name]
    return [np.array(sorted(part), dtype=np.int64) for part in parts]
