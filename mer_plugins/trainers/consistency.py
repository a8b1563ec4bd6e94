"""FlexMatch and Dash: which unlabelled clips of a batch count, and what they should be.

Both compare two views of a clip: the prediction for the weak one is what that for the strong one should be. They differ
in which clips count. FlexMatch (Zhang et al. 2021, arXiv 2110.08263) asks for a probability that is lower for classes
that are learnt less; Dash (Xu et al. 2021) for a loss below a bound that falls in training. Both as in USB (Wang et al.
2022, arXiv 2208.07204), whose defaults these constants are. All state is of F members, each with its own.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import one_hot

FACTOR, DECAY, LEAST = 1.0001, 1.27, 0.05
"""Dash's bound: ``FACTOR * DECAY ** -n`` times the supervised loss after n falls, and ``LEAST`` at the end."""
WARM_UP = 0.1
"""Share of the training after which Dash looks at unlabelled clips. A guess: USB's is a number of steps."""
FALL = 0.01
"""Share of the training between two falls of the bound: USB's ten of its 1,024 epochs."""


class Rule(Protocol):
    """Decides over batches of predictions."""

    def __call__(self, logits: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
        """``logits`` [F, B, C] of the weak view of clips ``at`` [F, B] of the pool -> which count, bool [F, B], and
        what they should be [F, B, C]."""
        ...


def flexible_threshold(learnt: Tensor, threshold: float) -> Tensor:
    """FlexMatch's bound for classes that are ``learnt`` in [0, 1]: the convex mapping, t b / (2 - b)."""
    return threshold * learnt / (2 - learnt)


class FlexMatch:
    """``learnt`` [F, C]: of each class, the clips ever predicted above ``threshold``, beside the commonest answer.

    That nothing sure was ever said of a clip is an answer, too (the method's warm-up), so that all bounds begin at 0.
    """

    def __init__(self, members: int, pool: int, classes: int, threshold: float, device: torch.device) -> None:
        self.threshold, self.classes = threshold, classes
        self.selected = torch.full((members, pool), -1, device=device)
        self.learnt = torch.zeros(members, classes, device=device)

    def __call__(self, logits: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Rule`; what is learnt is updated afterwards."""
        sure, guess = logits.softmax(-1).max(-1)
        counts = sure >= flexible_threshold(self.learnt.gather(1, guess), self.threshold).to(sure)
        self._remember(at, guess, sure >= self.threshold)
        return counts, one_hot(guess, self.classes).to(logits)

    def _remember(self, at: Tensor, guess: Tensor, sure: Tensor) -> None:
        self.selected.scatter_(1, at, torch.where(sure, guess, self.selected.gather(1, at)))
        members, pool = self.selected.shape
        width = self.classes + 1
        first = width * torch.arange(members, device=at.device).unsqueeze(1)
        counts = torch.bincount((self.selected + 1 + first).flatten(), minlength=members * width).view(members, width)
        most = counts.max(1, keepdim=True).values
        self.learnt = torch.where(most < pool, counts[:, 1:] / most, self.learnt)


def dash_bound(loss: Tensor, falls: int) -> Tensor:
    """Dash's bound after ``falls`` falls, for members whose supervised loss [F] was ``loss`` after the warm-up."""
    return (FACTOR * DECAY**-falls * loss).clamp(min=LEAST)


class Dash:
    """``bound`` [F] on the loss of the weak view; nothing counts before :meth:`begin`.

    A clip should be what is predicted, sharpened by ``temperature``, and the likeliest class alone when the bound is
    at its least. With the likeliest class alone, a loss up to the bound is a probability from exp(-bound).
    """

    def __init__(self, temperature: float) -> None:
        self.temperature = temperature
        self.loss: Tensor | None = None
        self.bound = torch.zeros(0)
        self.falls = 0

    def begin(self, loss: Tensor) -> None:
        """Warmed up, with a supervised ``loss`` [F]."""
        self.loss, self.falls = loss, 0
        self.bound = dash_bound(loss, 0)

    def fall(self) -> None:
        """Lower the bound, if there is one."""
        if self.loss is not None:
            self.falls += 1
            self.bound = dash_bound(self.loss, self.falls)

    def __call__(self, logits: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Rule`."""
        soft = (logits / self.temperature).softmax(-1)
        hard = one_hot(logits.argmax(-1), logits.shape[-1]).to(logits)
        bound = self.bound.to(logits)
        target = torch.where((bound <= LEAST)[:, None, None], hard, soft)
        return distance(logits, target) <= bound[:, None], target


def distance(logits: Tensor, target: Tensor) -> Tensor:
    """Cross entropy [F, B] of predictions and distributions [F, B, C]."""
    return -(target * logits.log_softmax(-1)).sum(-1)
