"""Which presence bits a training step clears, for all members at once."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import torch
from torch import Tensor

from mer_core.modality_dropout import drop_modalities, drop_one
from mer_core.plugin import StreamInfo
from mer_plugins.trainers.checks import dropout_units
from mer_plugins.trainers.noise import Noise
from mer_plugins.trainers.options import CvOptions
from mer_plugins.trainers.rates import rates_of


class ModalityDropout:
    """Modality dropout as the options of ``cv`` ask for it.

    What goes are *units*: modalities, or single streams. Nothing but presence bits changes, unless ``inverse``
    scaling is asked for. ``notes`` are for the report.
    """

    def __init__(self, streams: Mapping[str, StreamInfo], options: CvOptions) -> None:
        alone = options.modality_dropout_by == "stream"
        units = dropout_units(streams, alone=alone)
        self.options = options
        self.index = {name: list(units).index(name if alone else info.modality) for name, info in streams.items()}
        self.rates, foreign = rates_of(options.modality_dropout, units)
        if options.modality_dropout_policy == "drop_one" and not isinstance(options.modality_dropout, Mapping):
            self.rates = [rate / len(units) for rate in self.rates]
        self.notes = [f"Modality dropout was given a rate for {name}, which these streams lack." for name in foreign]
        self.active = any(self.rates)

    def __call__(
        self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor], noise: Noise
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Values and presence of every stream ([F, B, ...]) after dropout."""
        if not self.active:
            return dict(x), dict(mask)
        kept = self._kept(torch.stack([self._any(mask, unit) for unit in range(len(self.rates))], dim=-1), noise)
        masks = {name: part & _like(kept[..., self.index[name]], part) for name, part in mask.items()}
        return self._scaled(x), masks

    def _kept(self, present: Tensor, noise: Noise) -> Tensor:
        """Presence of the units, [F, B, U]."""
        policy = self.options.modality_dropout_policy
        rows = 1 if self.options.modality_dropout_per == "batch" else present.shape[1]
        columns = 2 if policy == "drop_one" else present.shape[2]
        drawn = noise.uniform(rows, columns).expand(*present.shape[:2], columns)
        if policy == "drop_one":
            return drop_one(present, self.rates, drawn)
        return drop_modalities(present, self.rates, drawn, policy)

    def _scaled(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        if self.options.modality_dropout_scale == "none":
            return dict(x)
        return {name: part / (1 - self.rates[self.index[name]]) for name, part in x.items()}

    def _any(self, mask: Mapping[str, Tensor], unit: int) -> Tensor:
        """bool [F, B]: any stream of ``unit`` is present, in any frame."""
        own = [
            part if part.dim() == 2 else part.flatten(2).any(-1)
            for name, part in mask.items()
            if self.index[name] == unit
        ]
        return functools.reduce(torch.logical_or, own)


def _like(bits: Tensor, mask: Tensor) -> Tensor:
    """``bits`` [F, B] as wide as ``mask`` [F, B] or [F, B, T]."""
    return bits.view(*bits.shape, *[1] * (mask.dim() - 2))
