"""What training minimises over one batch: pure functions of predictions and targets, for all members at once.

With a clip's target q over C classes (the share of raters who chose each, or 1 for its label), predicted p, class
weights w, label smoothing e and focal gamma g, its class loss is::

    -sum_c w_c q'_c (1 - p_c)^g log p_c,    q' = (1 - e) q + e / C

and that of a batch the sum over its clips divided by the sum of their own weights, sum_c w_c q_c. That is
torch's ``cross_entropy`` with labels (weights and smoothing included) and with distributions (without weights, for
which torch divides by the number of clips instead), and the focal loss of Lin et al. 2017 (arXiv 1708.02002) with w
as its alpha. Clips without a label play no part.

Continuous targets have a loss of their own over the clips where they are known, averaged over the targets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from mer_plugins.trainers.stack import Outputs

ValueLoss = Literal["mse", "mae", "huber", "ccc"]
COUPLED: frozenset[ValueLoss] = frozenset({"ccc"})
"""Losses of values that depend on which clips are together in a batch."""
_TINY = 1e-12


class Batch(NamedTuple):
    """What one step learns, for F members of B clips each.

    ``rows`` [F, B] are shares of the clips in the batch: they sum to 1, and are 0 for padding. ``labels`` int64 [F, B],
    -1 where there is none. ``shares`` [F, B, C] are distributions over the classes, NaN rows where the label says
    all; None where it always does. ``values`` [F, B, V] are standardised, NaN where unknown.
    """

    rows: Tensor
    labels: Tensor
    shares: Tensor | None
    values: Tensor


@dataclass(frozen=True, slots=True)
class Losses:
    """The loss that the options of ``cv`` ask for.

    Args:
        weights: [F, C] of the classes for each member, or None.
        complete: every clip that is learnt from has a label or votes, so that shares need not be summed up.
    """

    smoothing: float = 0.0
    gamma: float = 0.0
    weights: Tensor | None = None
    complete: bool = False
    value_loss: ValueLoss = "mse"
    value_weight: float = 1.0

    def __call__(self, out: Outputs, batch: Batch) -> Tensor:
        """The loss of each member [F]: of its prediction, of its heads, and its fusion's auxiliary losses."""
        losses = self.of(out.logits, out.values, batch) + out.extra
        for head in out.heads.values():
            losses = losses + self.of(head.logits, head.values, batch, head.weights)
        return losses

    def of(self, logits: Tensor, values: Tensor, batch: Batch, weights: Tensor | None = None) -> Tensor:
        """Loss [F] of one prediction, ``logits`` [F, B, C] and ``values`` [F, B, V].

        Each clip's part is multiplied by its ``weights`` [F, B]. What the sum over the batch is divided by does not
        depend on them.
        """
        if not values.shape[-1]:
            return self.classes(logits, batch, weights)
        found = self.value_weight * self.values(values, batch, weights)
        return self.classes(logits, batch, weights) + found if logits.shape[-1] else found

    def classes(self, logits: Tensor, batch: Batch, weights: Tensor | None = None) -> Tensor:
        """The loss [F] of the classes."""
        logits = _single(logits)
        rows = batch.rows.to(logits)
        counted = rows if weights is None else rows * weights.to(logits)
        if batch.shares is None and self.weights is None and not (self.smoothing or self.gamma):
            flat = logits.flatten(0, 1), batch.labels.flatten()
            each = functional.cross_entropy(*flat, reduction="none", ignore_index=-1).view(rows.shape)
            total = (each * counted).sum(1)
            return total if self.complete else _divided(total, (rows * (batch.labels >= 0)).sum(1))
        target = distribution(batch, logits)
        total = (self.each(logits, target) * counted).sum(1)
        if self.complete and self.weights is None:
            return total
        own = target if self.weights is None else target * self.weights.to(target).unsqueeze(1)
        return _divided(total, (rows * own.sum(-1)).sum(1))

    def each(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss [F, B] of every clip: ``logits`` [F, B, C] and distributions ``target``, zero where unlabelled."""
        log = torch.log_softmax(logits, -1)
        if self.smoothing:
            target = (1 - self.smoothing) * target + self.smoothing / logits.shape[-1] * target.sum(-1, keepdim=True)
        terms = target * log
        if self.gamma:
            terms = terms * (1 - log.exp()).clamp(min=_TINY) ** self.gamma
        if self.weights is not None:
            terms = terms * self.weights.to(terms).unsqueeze(1)
        return -terms.sum(-1)

    def values(self, found: Tensor, batch: Batch, weights: Tensor | None = None) -> Tensor:
        """The loss [F] of the continuous targets; zero where a batch knows none."""
        found = _single(found)
        known = batch.values.isfinite()
        truth = torch.where(known, batch.values.to(found), 0.0)
        rows = batch.rows.to(found).unsqueeze(-1) * known
        counted = rows if weights is None else rows * weights.to(found).unsqueeze(-1)
        if self.value_loss in COUPLED:
            each = (1 - concordance(found, truth, counted)) * counted.sum(1)
        else:
            each = (counted * _distance(self.value_loss, found, truth)).sum(1)
        return _divided(each, rows.sum(1)).mean(-1)


def distribution(batch: Batch, like: Tensor) -> Tensor:
    """[F, B, C] what the classes of each clip should be; rows of zeros where nothing is known."""
    labelled = (batch.labels >= 0).unsqueeze(-1)
    hard = functional.one_hot(batch.labels.clamp(min=0), like.shape[-1]).to(like) * labelled
    if batch.shares is None:
        return hard
    voted = batch.shares.isfinite().all(-1, keepdim=True)
    return torch.where(voted, batch.shares.to(like), hard)


def concordance(found: Tensor, truth: Tensor, weights: Tensor) -> Tensor:
    """Lin's concordance correlation [..., V] over dimension -2 of [..., B, V], clips counting by ``weights``.

    2 cov / (var + var + (mean - mean)^2); 0 where there is nothing to compare.
    """
    shares = weights / weights.sum(-2, keepdim=True).clamp(min=_TINY)
    means = [(shares * part).sum(-2, keepdim=True) for part in (found, truth)]
    a, b = found - means[0], truth - means[1]
    gap = (means[0] - means[1]).squeeze(-2)
    spread = (shares * (a.square() + b.square())).sum(-2) + gap.square()
    return 2 * (shares * a * b).sum(-2) / spread.clamp(min=_TINY)


def _distance(kind: ValueLoss, found: Tensor, truth: Tensor) -> Tensor:
    if kind == "mse":
        return (found - truth).square()
    if kind == "mae":
        return (found - truth).abs()
    return functional.huber_loss(found, truth, reduction="none")


def _divided(total: Tensor, size: Tensor) -> Tensor:
    """``total / size``, and zero with a gradient of zero where ``size`` is."""
    return total / torch.where(size > 0, size, 1.0)


def _single(values: Tensor) -> Tensor:
    """Half precision as single: sums over a batch need it."""
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values
