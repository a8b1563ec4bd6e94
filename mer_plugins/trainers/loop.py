"""The training loop: all members at once, one optimiser, epoch after epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mer_core.plugin import DataError, Progress
from mer_plugins.trainers.curve import Curve
from mer_plugins.trainers.losses import Losses, concordance
from mer_plugins.trainers.masking import ModalityDropout
from mer_plugins.trainers.modulation import Modulation
from mer_plugins.trainers.noise import Noise
from mer_plugins.trainers.optimiser import Adam
from mer_plugins.trainers.options import CvOptions
from mer_plugins.trainers.plan import Batches, Plan, epoch_count, steps_per_epoch
from mer_plugins.trainers.schedule import rate_factor
from mer_plugins.trainers.sites import Sites
from mer_plugins.trainers.stack import Members, refuse_misshapen
from mer_plugins.trainers.tables import Tables
from mer_plugins.trainers.targets import Targets

_CHECKS = 100
"""Selection looks at every epoch, or at about this many of them where there are more."""
_EVALUATED = 256


class Loop:
    """One training of F members on ``targets`` of the clips in ``tables``; ``losses`` say what is minimised."""

    def __init__(
        self,
        members: Members,
        tables: Tables,
        plan: Plan,
        targets: Targets,
        losses: Losses,
        dropping: ModalityDropout,
        options: CvOptions,
        modulation: Modulation | None = None,
    ) -> None:
        self.members, self.tables, self.plan, self.options = members, tables, plan, options
        self.dropping, self.modulation, self.modulating = dropping, modulation, False
        trains = [tables.local(part.train) for part in plan.parts]
        self.choose = [tables.local(part.choose) for part in plan.parts]
        self.trains = trains
        self.sites = Sites(members, tables.longest)
        self.steps = steps_per_epoch(plan.parts, options.batch_size)
        self.epochs = epoch_count(self.steps, options)
        self.trained = 0
        self.targets, self.losses = targets, losses
        self.device = members.parameters()[0].device
        self.curves = [Curve("waf" if targets.classes else "ccc") for _ in plan.parts]
        self.optimiser = self._optimiser()

    def run(self, noise: Noise, seed: int, progress: Progress | None = None) -> None:
        """Train; afterwards ``curves[f].best`` is the chosen state of member ``f``.

        Raises:
            DataError: if a loss becomes NaN or infinite.
        """
        batches = self._batches(seed)
        for epoch in range(1, self.epochs + 1):
            self.members.train(True)
            self.modulating = epoch <= math.ceil(self.options.gradient_modulation_until * self.epochs)
            total = torch.zeros(len(self.trains), dtype=torch.float64)
            for step, (rows, weights) in enumerate(batches.epoch()):
                self._set_rate((epoch - 1) * self.steps + step)
                total += self._step(torch.from_numpy(rows), torch.from_numpy(weights), noise).cpu()
            self._record(epoch, (total / self.steps).tolist())
            if progress is not None:
                last = epoch if self.stopped else self.epochs
                progress("train", epoch * self.steps, last * self.steps, f"epoch {epoch}/{self.epochs}")
            self.trained = epoch
            if self.stopped:
                break

    @property
    def stopped(self) -> bool:
        """Every member's patience is at its end."""
        return all(curve.stopped for curve in self.curves)

    def _step(self, rows: Tensor, weights: Tensor, noise: Noise) -> Tensor:
        """One optimiser step on clips ``rows`` [F, B] with ``weights`` [F, B]; losses [F]."""
        losses = self._gradients(rows.to(self.device), weights.to(self.device), noise)
        if self.options.clip_norm is not None:
            self.members.clip(self.options.clip_norm)
        self.optimiser.step()
        self.optimiser.zero_grad()
        return losses

    def _gradients(self, rows: Tensor, weights: Tensor, noise: Noise) -> Tensor:
        """Losses [F] of a step, and the gradient of their sum."""
        x, mask = self.tables.gather(rows)
        mask = {name: without_padding(part, weights) for name, part in mask.items()}
        (given, kept), factors = self.dropping(x, mask, noise), self.sites.factors(x, mask, noise)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.options.precision == "bfloat16"):
            out = self.members.forward(given, kept, factors)
        refuse_misshapen(out, rows.shape[1], self.targets.classes, self.targets.values.shape[1])
        batch = self.targets.batch(rows, weights)
        losses = self.losses(out, batch)
        losses.sum().backward()
        if self.modulation is not None and self.modulating:
            self.modulation(self.members, x, mask, batch.labels, (weights > 0) & (batch.labels >= 0))
        return losses.detach().double()

    def _optimiser(self) -> Adam:
        return Adam(self.members.parameters(), self.options.lr, self.options.weight_decay)

    def _batches(self, seed: int) -> Batches:
        return Batches(self.trains, self.steps, seed)

    def _set_rate(self, done: int) -> None:
        share = done / (self.epochs * self.steps)
        factor = rate_factor(share, self.options.schedule, self.options.warmup)
        for group in self.optimiser.groups:
            group.lr = group.initial_lr * factor

    def _record(self, epoch: int, losses: Sequence[float]) -> None:
        for fold, (curve, loss) in enumerate(zip(self.curves, losses, strict=True)):
            if curve.stopped:
                continue
            if not math.isfinite(loss):
                raise self._diverged(fold, loss, epoch)
            curve.train_loss.append(round(loss, 6))
        if self.plan.select == "last":
            self._keep_last(epoch)
        elif epoch == self.epochs or epoch % max(1, self.epochs // _CHECKS) == 0:
            self._keep_best(epoch)

    def _diverged(self, fold: int, loss: float, epoch: int) -> DataError:
        which = f" of fold {fold + 1}" if len(self.curves) > 1 else ""
        cure = "." if self.options.standardise else ", or leave out standardise=false."
        what = f"training{which} diverged: its loss is {loss} in epoch {epoch}."
        return DataError(what, f"Lower the learning rate: -o cv.lr={self.options.lr / 10:g}{cure}")

    def _keep_last(self, epoch: int) -> None:
        if epoch == self.epochs:
            for fold, curve in enumerate(self.curves):
                curve.best, curve.chosen = self.members.state(fold), epoch

    def _keep_best(self, epoch: int) -> None:
        """The first epoch with the highest score on the selection part wins."""
        for fold, score in enumerate(self._scores()):
            curve = self.curves[fold]
            if not curve.stopped and curve.better(epoch, score, self.options.patience):
                curve.best = self.members.state(fold)

    @torch.no_grad()
    def _scores(self) -> list[float]:
        """WAF of every member on its selection part; the mean concordance of values where there are no classes."""
        self.members.train(False)
        longest = max(len(rows) for rows in self.choose)
        padded = torch.from_numpy(np.stack([np.resize(rows, longest) for rows in self.choose])).to(self.device)
        at_once = self.tables.columns(len(self.choose), _EVALUATED)
        found = [self.members.forward(*self.tables.gather(rows), {}) for rows in padded.split(at_once, dim=1)]
        if not self.targets.classes:
            values = torch.cat([out.values for out in found], dim=1)
            return [self._concordance(f, rows, values[f, : len(rows)]) for f, rows in enumerate(self.choose)]
        guess = torch.cat([out.logits for out in found], dim=1).argmax(-1).cpu().numpy()
        truth = [self.targets.labels[f].cpu().numpy()[rows] for f, rows in enumerate(self.choose)]
        return [weighted_f1(own[own >= 0], guess[f, : len(own)][own >= 0]) for f, own in enumerate(truth)]

    def _concordance(self, member: int, rows: NDArray[np.int64], found: Tensor) -> float:
        truth = self.targets.standardised(torch.from_numpy(rows).to(self.device))[member]
        known = truth.isfinite()
        each = concordance(found.to(truth), torch.where(known, truth, 0.0), known.to(truth))
        return float(each.mean())


def without_padding(mask: Tensor, weights: Tensor) -> Tensor:
    """Presence [F, B, ...] with all bits of clips whose weight [F, B] is 0 cleared: losses that count who is there
    must not count what only fills a batch up."""
    return mask & (weights > 0).view(*weights.shape, *[1] * (mask.dim() - 2))


def weighted_f1(truth: NDArray[np.int64], guess: NDArray[np.int64]) -> float:
    """WAF: F1 of each class weighted by its share of ``truth``."""
    size = int(max(truth.max(), guess.max())) + 1
    support, guessed = np.bincount(truth, minlength=size), np.bincount(guess, minlength=size)
    hits = np.bincount(truth[truth == guess], minlength=size)
    f1 = 2 * hits / np.maximum(support + guessed, 1)
    return float((support * f1).sum() / len(truth))
