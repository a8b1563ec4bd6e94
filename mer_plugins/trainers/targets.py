"""What members learn from: labels, votes and values, each member's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mer_core.plugin import TrainingData
from mer_plugins.trainers.checks import refuse_weights
from mer_plugins.trainers.known import ValueScale, values_of, votes_of
from mer_plugins.trainers.losses import Batch
from mer_plugins.trainers.plan import Plan, Rows

ClassWeights = Literal["off", "balanced"] | Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Targets:
    """Targets of the n clips of F members' tables, ``classes`` of which are told apart.

    ``labels`` int64 [F, n], -1 where there is none; ``votes`` [n, C] distributions with NaN rows, or None; ``values``
    [n, V] in their own units, with each member's ``mean`` and ``scale`` [F, 1, V]. ``own`` bool [F, n]: the member may
    learn from the clip's votes and values. Of a clip that it was given a pseudo-label for, it may not: that clip may
    be one that is held out.
    """

    labels: Tensor
    votes: Tensor | None
    values: Tensor
    own: Tensor
    mean: Tensor
    scale: Tensor
    classes: int

    def batch(self, rows: Tensor, shares: Tensor) -> Batch:
        """Targets of clips ``rows`` [F, B], of which each counts ``shares`` [F, B]."""
        return Batch(shares, self.labels.gather(1, rows), self._votes(rows), self._values(rows))

    def _votes(self, rows: Tensor) -> Tensor | None:
        if self.votes is None:
            return None
        return torch.where(self.own.gather(1, rows).unsqueeze(-1), self.votes[rows], torch.nan)

    def _values(self, rows: Tensor) -> Tensor:
        if not self.values.shape[1]:
            return self.values.new_zeros(*rows.shape, 0)
        return torch.where(self.own.gather(1, rows).unsqueeze(-1), self.standardised(rows), torch.nan)

    def standardised(self, rows: Tensor) -> Tensor:
        """Values [F, B, V] of clips ``rows`` [F, B] or [B] on each member's scale."""
        return (self.values[rows] - self.mean) / self.scale


def make_targets(
    data: TrainingData, labels: Rows, own: Plan, rows: Rows, scales: Sequence[ValueScale], device: str
) -> Targets:
    """Targets of the clips ``rows`` (sorted), for the members of ``own``, the plan without pseudo-labelled clips.

    Args:
        labels: [N], or [F, N] where members differ.
    """
    members = len(own.parts)
    each = np.broadcast_to(labels, (members, labels.shape[-1]))[:, rows]
    learnt = np.stack([np.isin(rows, part.train) for part in own.parts])
    votes = votes_of(data)
    mean, scale = (np.stack([getattr(one, part) for one in scales])[:, None] for part in ("mean", "scale"))

    def there(found: NDArray[Any]) -> Tensor:
        return torch.from_numpy(found).to(device)

    return Targets(
        labels=there(each),
        votes=None if votes is None else there(votes[rows]),
        values=there(values_of(data)[rows]),
        own=there(learnt),
        mean=there(mean),
        scale=there(scale),
        classes=len(data.targets.classes),
    )


def class_weights(asked: ClassWeights, classes: Sequence[str], counts: NDArray[np.float64]) -> Tensor | None:
    """[F, C] or None: balanced ones are n / (C n_c) over the classes that a member's training clips have.

    Args:
        counts: [F, C] training clips of each class, pseudo-labelled ones included; shares of raters where these vote.

    Raises:
        OptionError: a class that there is not.
    """
    if asked == "off" or not classes:
        return None
    if asked == "balanced":
        there = counts > 0
        weights = counts.sum(1, keepdims=True) / there.sum(1, keepdims=True).clip(1) / np.where(there, counts, 1)
        return torch.from_numpy(np.where(there, weights, 1.0))
    given = dict(asked) if isinstance(asked, Mapping) else {}
    refuse_weights(given, classes)
    own = torch.tensor([given.get(name, 1.0) for name in classes], dtype=torch.float64)
    return own.expand(len(counts), -1)


def class_counts(targets: Targets, trains: Sequence[Rows], classes: int) -> NDArray[np.float64]:
    """[F, C]: how much of each class is in every member's local training rows ``trains``."""
    found = np.zeros((len(trains), classes))
    for member, rows in enumerate(trains):
        own = torch.from_numpy(rows).to(targets.labels.device)
        labels = targets.labels[member, own].cpu().numpy()
        each = np.where(labels[:, None] == np.arange(classes), 1.0, 0.0)
        if targets.votes is not None:
            voted = torch.where(targets.own[member, own, None], targets.votes[own], torch.nan).cpu().numpy()
            each = np.where(np.isfinite(voted).all(axis=1, keepdims=True), voted, each)
        found[member] = each.sum(axis=0)
    return found
