"""A training loop that learns from labelled and unlabelled clips together; see :mod:`.consistency` for what counts.

Views of a clip's features, for which the methods, made for images, say nothing (these are guesses): the weak one is
the clip with the fusion's own dropout; the strong one has modality dropout and Gaussian noise on its standardised
columns besides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from mer_plugins.trainers.consistency import FALL, WARM_UP, Dash, FlexMatch, distance
from mer_plugins.trainers.loop import Loop
from mer_plugins.trainers.noise import Noise, generator
from mer_plugins.trainers.plan import Rows
from mer_plugins.trainers.sites import Sites

if TYPE_CHECKING:
    from mer_plugins.trainers.options import CvOptions

_AT_ONCE = 256


class Unlabelled:
    """Clips ``pool`` (sorted rows of the data) that a training learns from by consistency, and what came of it."""

    def __init__(self, pool: Rows, seed: int) -> None:
        self.pool, self.seed = pool, seed
        self.learnt: list[dict[int, int]] = []

    def rows(self, labelled: Rows) -> Rows:
        """Every clip that training touches, sorted."""
        return np.union1d(labelled, self.pool)

    def loop(self, *parts: Any) -> ConsistencyLoop:
        """The loop over ``parts``, as :class:`Loop` takes them."""
        return ConsistencyLoop(self, *parts)


class ConsistencyLoop(Loop):
    """See the module's text. Every member has its own order, its own state and its own predictions."""

    def __init__(self, unlabelled: Unlabelled, *parts: Any) -> None:
        super().__init__(*parts)
        members, pool, device = len(self.trains), unlabelled.pool, self.device
        self.unlabelled = unlabelled
        self.pool = torch.from_numpy(self.tables.local(pool)).to(device)
        self.orders = [Order(len(pool), unlabelled.seed, member) for member in range(members)]
        self.rule = make_rule(self.options, members, len(pool), self.targets.classes, device)
        self.more = Sites(self.members, self.tables.longest)
        self.done = 0
        self.answers = torch.full((members, len(pool)), -1, device=device)

    def run(self, noise: Noise, seed: int, progress: Any = None) -> None:
        """As in :class:`Loop`; ``unlabelled.learnt`` are then, by member, clips that counted last time, as what."""
        super().run(noise, seed, progress)
        pool = self.unlabelled.pool
        for own in self.answers.cpu().numpy():
            taken = np.flatnonzero(own >= 0)
            self.unlabelled.learnt.append({int(pool[at]): int(own[at]) for at in taken})

    def _gradients(self, rows: Tensor, weights: Tensor, noise: Noise) -> Tensor:
        losses = super()._gradients(rows, weights, noise)
        self._on_time()
        self.done += 1
        if isinstance(self.rule, Dash) and self.rule.loss is None:
            return losses
        return losses + self._unlabelled(self.options.consistency_ratio * rows.shape[1], noise)

    def _unlabelled(self, count: int, noise: Noise) -> Tensor:
        """Gradients of a batch of ``count`` unlabelled clips; the weighted losses [F]."""
        at = torch.from_numpy(np.stack([order.take(count) for order in self.orders])).to(self.device)
        x, mask = self.tables.gather(self.pool[at])
        with torch.no_grad():
            weak = self._logits(x, mask, noise)
        counts, target = self.rule(weak, at)
        self.answers.scatter_(1, at, torch.where(counts, target.argmax(-1), -1))
        strong = {name: part + self._noise(part, noise) for name, part in x.items()}
        each = distance(self._logits(*self.dropping(strong, mask, noise), noise), target)
        losses = self.options.consistency_weight * (each * counts).mean(1)
        losses.sum().backward()
        return losses.detach().double()

    def _logits(self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor], noise: Noise) -> Tensor:
        """[F, B, C] in single precision at least, with dropout."""
        factors = self.more.factors(x, mask, noise)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.options.precision == "bfloat16"):
            logits = self.members.forward(x, mask, factors).logits
        return logits if logits.dtype == torch.float64 else logits.float()

    def _noise(self, part: Tensor, noise: Noise) -> Tensor:
        return self.options.consistency_noise * noise.normal(tuple(part.shape[1:])).to(part)

    def _on_time(self) -> None:
        """Begin, or lower, Dash's bound when its time has come."""
        if not isinstance(self.rule, Dash):
            return
        steps = self.epochs * self.steps
        begin, every = round(WARM_UP * steps), max(1, round(FALL * steps))
        if self.done == begin:
            self.rule.begin(self._supervised())
        elif self.done > begin and (self.done - begin) % every == 0:
            self.rule.fall()

    @torch.no_grad()
    def _supervised(self) -> Tensor:
        """The loss [F] of the members' labelled training clips, without dropout."""
        self.members.train(False)
        found = [self._labelled_loss(member, rows) for member, rows in enumerate(self.trains)]
        self.members.train(True)
        return torch.stack(found)

    def _labelled_loss(self, member: int, rows: Rows) -> Tensor:
        labels = self.targets.labels[member, torch.from_numpy(rows).to(self.device)]
        own = torch.from_numpy(rows).to(self.device)[labels >= 0]
        sums = [self._sum(member, part) for part in own.split(self.tables.columns(len(self.trains), _AT_ONCE))]
        return torch.stack(sums).sum() / max(1, len(own))

    def _sum(self, member: int, rows: Tensor) -> Tensor:
        logits = self.members.forward(*self.tables.gather(rows.expand(len(self.trains), -1)), {}).logits[member]
        return torch.nn.functional.cross_entropy(logits.float(), self.targets.labels[member, rows], reduction="sum")


class Order:
    """Clips of the pool one after the other, shuffled anew whenever all have had their turn."""

    def __init__(self, count: int, seed: int, member: int) -> None:
        self.count, self.rng = count, generator(seed, member, "unlabelled")
        self.left: Rows = np.empty(0, np.int64)

    def take(self, count: int) -> Rows:
        """The next ``count``."""
        parts: Sequence[Rows] = [self.left]
        while sum(map(len, parts)) < count:
            parts = [*parts, self.rng.permutation(self.count)]
        every = np.concatenate(parts)
        self.left = every[count:]
        return every[:count]


def make_rule(options: CvOptions, members: int, pool: int, classes: int, device: torch.device) -> FlexMatch | Dash:
    """The rule that ``options.self_training`` names."""
    if options.self_training == "dash":
        return Dash(options.consistency_temperature)
    return FlexMatch(members, pool, classes, options.consistency_threshold, device)
