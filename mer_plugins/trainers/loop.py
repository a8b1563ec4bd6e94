"""The training loop: all members at once, one optimiser, epoch after epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from mer_core.plugin import DataError, Progress
from mer_plugins.trainers.dropout import Site
from mer_plugins.trainers.masking import ModalityDropout
from mer_plugins.trainers.modulation import Modulation
from mer_plugins.trainers.noise import Noise
from mer_plugins.trainers.options import CvOptions
from mer_plugins.trainers.plan import Batches, Plan, Rows, epoch_count, steps_per_epoch
from mer_plugins.trainers.stack import Members
from mer_plugins.trainers.tables import Tables

_CHECKS = 100
"""Selection looks at every epoch, or at about this many of them where there are more."""
_EVALUATED = 256


@dataclass(slots=True)
class Curve:
    """How one member learnt: mean loss of every epoch, and WAF on the selection part where looked at."""

    train_loss: list[float] = field(default_factory=list)
    checked: list[int] = field(default_factory=list)
    waf: list[float] = field(default_factory=list)
    chosen: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """JSON-able; epochs count from 1."""
        facts: dict[str, Any] = {"train_loss": self.train_loss, "chosen_epoch": self.chosen}
        if self.waf:
            facts |= {"checked_epochs": self.checked, "selection_waf": [round(waf, 6) for waf in self.waf]}
        return facts


class Loop:
    """One training of F members. ``labels`` [N], or [F, N] where members differ, index classes; -1: unlabelled."""

    def __init__(
        self,
        members: Members,
        tables: Tables,
        plan: Plan,
        labels: Rows,
        dropping: ModalityDropout,
        options: CvOptions,
        modulation: Modulation | None = None,
    ) -> None:
        self.members, self.tables, self.plan, self.options = members, tables, plan, options
        self.dropping, self.modulation, self.modulating = dropping, modulation, False
        trains = [tables.local(part.train) for part in plan.parts]
        self.choose = [tables.local(part.choose) for part in plan.parts]
        self.trains = trains
        self.sites: list[Site] | None = None
        self.steps = steps_per_epoch(plan.parts, options.batch_size)
        self.epochs = epoch_count(self.steps, options)
        self.labels = torch.from_numpy(np.broadcast_to(labels, (len(plan.parts), labels.shape[-1]))[:, tables.rows])
        self.device = members.parameters()[0].device
        self.curves = [Curve() for _ in plan.parts]
        self.optimiser = torch.optim.Adam(
            members.parameters(), lr=options.lr, weight_decay=options.weight_decay, fused=True
        )

    def run(self, noise: Noise, seed: int, progress: Progress | None = None) -> None:
        """Train; afterwards ``curves[f].best`` is the chosen state of member ``f``.

        Raises:
            DataError: if a loss becomes NaN or infinite.
        """
        batches = Batches(self.trains, self.steps, seed)
        for epoch in range(1, self.epochs + 1):
            self.members.train(True)
            self.modulating = epoch <= math.ceil(self.options.gradient_modulation_until * self.epochs)
            total = torch.zeros(len(self.trains), dtype=torch.float64)
            for step, (rows, weights) in enumerate(batches.epoch()):
                self._set_rate((epoch - 1) * self.steps + step)
                total += self._step(torch.from_numpy(rows), torch.from_numpy(weights), noise).cpu()
            self._record(epoch, (total / self.steps).tolist())
            if progress is not None:
                progress("train", epoch * self.steps, self.epochs * self.steps, f"epoch {epoch}/{self.epochs}")

    def _step(self, rows: Tensor, weights: Tensor, noise: Noise) -> Tensor:
        """One optimiser step on clips ``rows`` [F, B]; losses [F]."""
        x, mask = self.tables.gather(rows.to(self.device))
        if self.sites is None:
            self.sites = self.members.sites(x, mask)
        (given, kept), factors = self.dropping(x, mask, noise), noise.factors(self.sites)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.options.precision == "bfloat16"):
            out = self.members.forward(given, kept, factors)
        labels = self.labels.gather(1, rows).to(self.device)
        each = cross_entropy(out.logits.flatten(0, 1), labels.flatten(), reduction="none").view(rows.shape)
        losses = (each * weights.to(each)).sum(1) + out.extra
        losses.sum().backward()
        if self.modulation is not None and self.modulating:
            self.modulation(self.members, x, mask, labels, weights.to(self.device) > 0)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return losses.detach().double()

    def _set_rate(self, done: int) -> None:
        if self.options.schedule == "cosine":
            rate = self.options.lr * 0.5 * (1 + math.cos(math.pi * done / (self.epochs * self.steps)))
            self.optimiser.param_groups[0]["lr"] = rate

    def _record(self, epoch: int, losses: Sequence[float]) -> None:
        for fold, (curve, loss) in enumerate(zip(self.curves, losses, strict=True)):
            if not math.isfinite(loss):
                raise DataError(
                    f"training of fold {fold} diverged: its loss is {loss} in epoch {epoch}.",
                    "Lower the learning rate, or train with standardise=true.",
                )
            curve.train_loss.append(round(loss, 6))
        if self.plan.select == "last":
            self._keep_last(epoch)
        elif epoch == self.epochs or epoch % max(1, self.epochs // _CHECKS) == 0:
            self._keep_best(epoch)

    def _keep_last(self, epoch: int) -> None:
        if epoch == self.epochs:
            for fold, curve in enumerate(self.curves):
                curve.best, curve.chosen = self.members.state(fold), epoch

    def _keep_best(self, epoch: int) -> None:
        """The first epoch with the highest WAF on the selection part wins."""
        for fold, waf in enumerate(self._selection_waf()):
            curve = self.curves[fold]
            if not curve.waf or waf > max(curve.waf):
                curve.best, curve.chosen = self.members.state(fold), epoch
            curve.checked.append(epoch)
            curve.waf.append(waf)

    @torch.no_grad()
    def _selection_waf(self) -> list[float]:
        self.members.train(False)
        longest = max(len(rows) for rows in self.choose)
        padded = torch.from_numpy(np.stack([np.resize(rows, longest) for rows in self.choose]))
        chunks = torch.split(padded.to(self.device), _EVALUATED, dim=1)
        logits = [self.members.forward(*self.tables.gather(rows), {}).logits for rows in chunks]
        guess = torch.cat(logits, dim=1).argmax(-1).cpu().numpy()
        truth = self.labels.numpy()
        return [weighted_f1(truth[f, rows], guess[f, : len(rows)]) for f, rows in enumerate(self.choose)]


def weighted_f1(truth: NDArray[np.int64], guess: NDArray[np.int64]) -> float:
    """WAF: F1 of each class weighted by its share of ``truth`` (METHODS section 10)."""
    size = int(max(truth.max(), guess.max())) + 1
    support, guessed = np.bincount(truth, minlength=size), np.bincount(guess, minlength=size)
    hits = np.bincount(truth[truth == guess], minlength=size)
    f1 = 2 * hits / np.maximum(support + guessed, 1)
    return float((support * f1).sum() / len(truth))
