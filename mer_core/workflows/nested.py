"""Choosing within folds: parts of each fold's own training clips, and the model of what each fold chose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mer_core.config import RunConfig
from mer_core.data.folds import plan_folds
from mer_core.errors import TooLittleDataError
from mer_core.feature_set import FeatureSet, Fold, StreamData, StreamInfo, TargetSpec
from mer_core.protocols import Model, ValueModel
from mer_core.workflows.features import learnable

if TYPE_CHECKING:
    from mer_core.aliases import IntArray

PARTS = 5
"""A fold's training clips are cut into so many parts, of which one or several are held out in turn."""


@dataclass(frozen=True, slots=True)
class Inside:
    """``data`` whose folds lie within the training parts of those of ``outer``; ``owner`` says within which."""

    outer: FeatureSet
    data: FeatureSet
    owner: tuple[int, ...]

    def within(self, fold: int) -> tuple[int, ...]:
        """Numbers of the inner folds of an outer one."""
        return tuple(number for number, owner in enumerate(self.owner) if owner == fold)

    def chosen_on(self, fold: int) -> IntArray:
        """Clips that the inner folds of ``fold`` hold out, one after the other."""
        return np.concatenate([self.data.folds[number].val for number in self.within(fold)])


def hold_out_inside(data: FeatureSet, parts: int, config: RunConfig) -> Inside:
    """Cut each fold's training clips as the run cuts all of them: groups stay together, classes are spread.

    Args:
        parts: how many of the parts are held out in turn, 1 to :data:`PARTS`.

    Raises:
        TooLittleDataError: the clips of a fold cannot be cut.
    """
    folds, owner = [], []
    for number, fold in enumerate(data.folds):
        train = np.asarray(fold.train, np.int64)
        plan = plan_folds(
            data.labels[train],
            None if data.groups is None else [data.groups[row] or None for row in train],
            k=PARTS,
            seed=config.seed,
            kind=config.folds.kind,
            classes=data.targets.classes,
            learnable=learnable(data)[train],
        )
        if not plan.folds:
            what = f"the training clips of fold {number + 1} cannot be cut for a choice within: {plan.reason}."
            raise TooLittleDataError(what, "Label more clips, or choose the options yourself and use mer train.")
        folds += [Fold(train[part.train], train[part.val]) for part in plan.folds[:parts]]
        owner += [number] * len(plan.folds[:parts])
    tables = {place: data.fold_tables[fold] for place, fold in enumerate(owner) if fold in data.fold_tables}
    return Inside(data, replace(data, folds=tuple(folds), fold_tables=tables), tuple(owner))


class NestedModel:
    """Every fold's member is that of the model which this fold chose; see :class:`mer_core.protocols.Model`.

    It is there to be scored. What it saves, and says without a fold, is that of ``kept``.

    Args:
        members: by fold, the model and the member of it.
    """

    def __init__(self, members: Sequence[tuple[Model, int]], kept: Model, facts: Mapping[str, Any]) -> None:
        self.members, self.kept = tuple(members), kept
        self.targets: TargetSpec = kept.targets
        self.streams: Mapping[str, StreamInfo] = kept.streams
        self.summary: Mapping[str, Any] = {**kept.summary, **facts}

    def predict(self, features: Mapping[str, StreamData], fold: int | None = None) -> NDArray[np.float64]:
        """Probabilities [N, C]."""
        model, member = self._of(fold)
        return model.predict(features, member)

    def logits(self, features: Mapping[str, StreamData], fold: int | None = None) -> NDArray[np.float64]:
        """Logits [N, C]."""
        model, member = self._of(fold)
        return model.logits(features, member)

    def predict_values(self, features: Mapping[str, StreamData], fold: int | None = None) -> NDArray[np.float64]:
        """[N, V], by models that predict values."""
        model, member = self._of(fold)
        assert isinstance(model, ValueModel)
        return model.predict_values(features, member)

    def save(self, folder: Path) -> None:
        """Write the model that is kept."""
        self.kept.save(folder)

    def _of(self, fold: int | None) -> tuple[Model, int | None]:
        return (self.kept, None) if fold is None else self.members[fold]
