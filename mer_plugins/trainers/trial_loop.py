"""A training loop over the members of several trials at once.

A member is one fold of one trial. Members of the same fold see the same clips in the same order and the same random
numbers, whatever their trial: these are made once for each fold. What differs by member are its weights, its learning
rate and weight decay, and how much its dropouts drop.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mer_plugins.trainers.dropout import Factors, MaskedDropout, Site
from mer_plugins.trainers.loop import Loop
from mer_plugins.trainers.losses import Losses
from mer_plugins.trainers.masking import ModalityDropout
from mer_plugins.trainers.noise import Noise, generator
from mer_plugins.trainers.optimiser import MemberAdam
from mer_plugins.trainers.options import CvOptions
from mer_plugins.trainers.plan import Batches, Plan, Rows, epoch_count, steps_per_epoch
from mer_plugins.trainers.stack import Stacked
from mer_plugins.trainers.tables import Tables
from mer_plugins.trainers.targets import Targets


class SharedTables(Tables):
    """Tables of G folds that serve M members.

    Args:
        tables: of the G folds.
        place: [M] which of the folds each member sees; every one of them is seen.
    """

    def __init__(self, tables: Tables, place: Sequence[int], device: str) -> None:
        super().__init__(tables.streams, tables.rows)
        self.place = torch.tensor(place, device=device)
        self.first = torch.tensor([place.index(fold) for fold in range(max(place) + 1)], device=device)

    def gather(self, rows: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Local ``rows`` [M, B], the same for all members of a fold -> values and presence of every stream."""
        x, mask = super().gather(rows[self.first])
        return {k: v[self.place] for k, v in x.items()}, {k: v[self.place] for k, v in mask.items()}


class SharedNoise(Noise):
    """The random numbers of G folds for M members, whose dropouts have rates of their own.

    Args:
        folds: [G] the folds' own numbers; ``place`` as for :class:`SharedTables`.
        rates: [M] the dropouts of each member, by their place in the module.
    """

    def __init__(
        self,
        seed: int,
        folds: Sequence[int],
        place: Sequence[int],
        rates: Sequence[Mapping[str, MaskedDropout]],
        device: str,
        dtype: torch.dtype,
    ) -> None:
        super().__init__(seed, 0, device, dtype)
        self.folds = len(folds)
        self.generators = [generator(seed, fold, "noise") for fold in folds]
        self.device_generators = [] if self.numpy else [self._on_device(rng) for rng in self.generators]
        self.place = torch.tensor(place, device=device)
        limits = {name: torch.tensor([own[name].threshold for own in rates]) for name in rates[0]}
        self.limits = {name: found.clamp(max=255).to(torch.uint8).to(device) for name, found in limits.items()}
        scales = {name: [own[name].scale for own in rates] for name in rates[0]}
        self.scales = {name: torch.tensor(found, dtype=dtype, device=device) for name, found in scales.items()}

    def uniform(self, rows: int, columns: int) -> Tensor:
        """[M, rows, columns] in [0, 1), float32."""
        return super().uniform(rows, columns)[self.place]

    def factors(self, sites: Sequence[Site]) -> Factors:
        """Dropout factors [M, *shape] of every site."""
        sizes = [site.size for site in sites]
        drawn = self._bytes(sum(sizes))[self.place].split(sizes, dim=1) if sites else ()
        found: Factors = {}
        for number, (site, cells) in enumerate(zip(sites, drawn, strict=True)):
            shape = (len(self.place), *site.shape)
            like = (-1, *[1] * len(site.shape))
            kept = self._buffer(number, shape)
            torch.ge(cells.view(shape), self.limits[site.name].view(like), out=kept)
            found.setdefault(site.name, []).append(kept.mul_(self.scales[site.name].view(like)))
        return found


class SharedBatches(Batches):
    """The batches of all F folds, for M members of some of them: as large as if all folds were trained."""

    def __init__(self, trains: Sequence[Rows], steps: int, seed: int, folds: Sequence[int]) -> None:
        super().__init__(trains, steps, seed)
        self.folds = np.asarray(folds)

    def epoch(self) -> Iterator[tuple[Rows, NDArray[np.float64]]]:
        """S times ``rows`` [M, B] and ``weights`` [M, B]."""
        for rows, weights in super().epoch():
            yield rows[self.folds], weights[self.folds]


class TrialLoop(Loop):
    """One training of M members. A member whose loss is not finite any more is told in ``diverged``; others go on.

    Args:
        plan: of the M members; ``whole`` that of all F folds, and ``folds`` [M] which of them each member is.
        rates: [M] learning rates; ``decays`` weight decays.
        share: of the epochs that the options ask for.
    """

    def __init__(
        self,
        members: Stacked,
        tables: Tables,
        plan: Plan,
        targets: Targets,
        losses: Losses,
        dropping: ModalityDropout,
        options: CvOptions,
        *,
        whole: Plan,
        folds: Sequence[int],
        rates: Sequence[float],
        decays: Sequence[float],
        share: float = 1.0,
    ) -> None:
        self.rates, self.decays, self.whole, self.folds = list(rates), list(decays), whole, list(folds)
        self.diverged: dict[int, int] = {}
        super().__init__(members, tables, plan, targets, losses, dropping, options)
        self.steps = steps_per_epoch(whole.parts, options.batch_size)
        self.epochs = shortened(epoch_count(self.steps, options), share)

    def _optimiser(self) -> MemberAdam:
        return MemberAdam(self.members.parameters(), self.rates, self.decays)

    def _batches(self, seed: int) -> Batches:
        trains = [self.tables.local(part.train) for part in self.whole.parts]
        return SharedBatches(trains, self.steps, seed, self.folds)

    def _record(self, epoch: int, losses: Sequence[float]) -> None:
        for member, loss in enumerate(losses):
            if not math.isfinite(loss):
                self.diverged.setdefault(member, epoch)
        super()._record(epoch, [loss if math.isfinite(loss) else 0.0 for loss in losses])


def shortened(epochs: int, share: float) -> int:
    """``share`` of ``epochs``, at least one."""
    return max(1, round(share * epochs))
