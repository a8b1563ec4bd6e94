"""On-the-fly gradient modulation, OGM-GE (Peng et al. 2022, arXiv 2203.15332), for any fusion that names its encoders.

In each step a modality's *score* is the mean probability of the right class given that modality alone. Where a
modality is ahead of the others, the gradients of its encoders' weight matrices shrink, so that the others catch up;
``ogm-ge`` then adds Gaussian noise with each gradient's own deviation, to all modalities' encoders.

The paper reads scores off a linear head over concatenated features. Fusions here have no such head: the other
modalities' presence bits are cleared instead, which costs a pass for each modality and step. The paper has two
modalities; with more, a score is compared with the mean of the others' scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mer_core.plugin import FusionError, StreamInfo
from mer_plugins.trainers.noise import generator
from mer_plugins.trainers.options import CvOptions
from mer_plugins.trainers.stack import Members

EPSILON = 1e-8
"""Added to the deviation of the noise, as in the authors' code."""


def encoder_weights(module: nn.Module, streams: Mapping[str, StreamInfo]) -> dict[str, list[str]]:
    """The weight matrices of each modality's encoders, by their names in ``module``.

    They are found through a part of it that has ``names`` (of streams) and ``encoders`` (a module for each).

    Raises:
        FusionError: no part names an encoder for every stream.
    """
    found: dict[str, list[str]] = {info.modality: [] for info in streams.values()}
    seen = set()
    for path, part in module.named_modules():
        names, encoders = getattr(part, "names", None), getattr(part, "encoders", None)
        if not (isinstance(encoders, nn.ModuleList) and isinstance(names, tuple) and len(names) == len(encoders)):
            continue
        for number, name in enumerate(names):
            if name in streams:
                below = f"{path}.encoders.{number}.".lstrip(".")
                found[streams[name].modality] += [
                    below + key for key, p in encoders[number].named_parameters() if p.dim() > 1
                ]
                seen.add(name)
    if seen != set(streams):
        raise FusionError(
            "does not say which of its weights encode which stream, so gradients cannot be modulated.",
            "Leave out gradient_modulation, or choose another fusion, such as attention or concat.",
        )
    return found


def coefficients(scores: Tensor, alpha: float) -> Tensor:
    """What gradients are multiplied by: 1 - tanh(alpha * ratio) where a modality's ratio is above 1, else 1.

    Args:
        scores: [..., M]; NaN for a modality that no clip has, which plays no part.
    """
    known = ~scores.isnan()
    filled = scores.nan_to_num(0.0)
    others = (filled.sum(-1, keepdim=True) - filled) / (known.sum(-1, keepdim=True) - known.to(torch.int64))
    ratio = torch.where(known, scores / others, torch.zeros_like(scores)).nan_to_num(0.0, posinf=0.0)
    return torch.where(ratio > 1, 1 - torch.tanh(alpha * ratio), torch.ones_like(ratio))


class Modulation:
    """Changes the gradients of all members between backward pass and optimiser step.

    Args:
        weights: names of each modality's weight matrices, from :func:`encoder_weights`.
    """

    def __init__(
        self,
        weights: Mapping[str, Sequence[str]],
        streams: Mapping[str, StreamInfo],
        options: CvOptions,
        seed: int,
        members: int,
        device: str,
    ) -> None:
        self.weights, self.streams, self.options = weights, streams, options
        seeds = [int(generator(seed, fold, "modulation").integers(2**62)) for fold in range(members)]
        self.generators = [torch.Generator(device).manual_seed(one) for one in seeds]
        self.total = torch.zeros(members, len(weights), dtype=torch.float64, device=device)
        self.steps = 0

    def __call__(
        self, members: Members, x: Mapping[str, Tensor], mask: Mapping[str, Tensor], labels: Tensor, rows: Tensor
    ) -> None:
        """One step: ``labels`` [F, B] and ``rows`` bool [F, B], the clips that count."""
        factors = coefficients(self.scores(members, x, mask, labels, rows), self.options.gradient_modulation_alpha)
        self.total += factors
        self.steps += 1
        for member, row in enumerate(factors.tolist()):
            for factor, names in zip(row, self.weights.values(), strict=True):
                for name in names:
                    self._change(members.gradient(name, member), factor, member)

    @torch.no_grad()
    def scores(
        self, members: Members, x: Mapping[str, Tensor], mask: Mapping[str, Tensor], labels: Tensor, rows: Tensor
    ) -> Tensor:
        """[F, M]: the mean probability of the right class given each modality alone; NaN where no clip has it."""
        members.train(False)
        found = [self._score(members, x, mask, labels, rows, modality) for modality in self.weights]
        members.train(True)
        return torch.stack(found, dim=-1).double()

    def _score(
        self,
        members: Members,
        x: Mapping[str, Tensor],
        mask: Mapping[str, Tensor],
        labels: Tensor,
        rows: Tensor,
        modality: str,
    ) -> Tensor:
        own = {name: part & (self.streams[name].modality == modality) for name, part in mask.items()}
        there = (
            torch.stack([part.flatten(2).any(-1) if part.dim() > 2 else part for part in own.values()]).any(0) & rows
        )
        right = members.forward(x, own, {}).logits.softmax(-1).gather(-1, labels.clamp(min=0).unsqueeze(-1)).squeeze(-1)
        return torch.where(there, right, torch.zeros_like(right)).sum(-1) / there.sum(-1)

    def _change(self, gradient: Tensor | None, factor: float, member: int) -> None:
        if gradient is None:
            return
        spread = float(gradient.std()) + EPSILON if self.options.gradient_modulation == "ogm-ge" else 0.0
        gradient.mul_(factor)
        if spread:
            noise = torch.empty(gradient.shape, dtype=gradient.dtype, device=gradient.device)
            gradient.add_(noise.normal_(0, spread, generator=self.generators[member]))

    def facts(self) -> dict[str, Any]:
        """For the report: the mean factor of each modality, by member."""
        means = (self.total / max(self.steps, 1)).T.tolist()
        return {name: [round(one, 6) for one in row] for name, row in zip(self.weights, means, strict=True)}


def make_modulation(
    module: nn.Module, streams: Mapping[str, StreamInfo], options: CvOptions, seed: int, members: int, device: str
) -> Modulation | None:
    """As the options ask for; None where they do not, or where a single modality has none to compete with.

    Raises:
        FusionError: the fusion does not name its encoders.
    """
    if options.gradient_modulation == "off":
        return None
    weights = encoder_weights(module, streams)
    return Modulation(weights, streams, options, seed, members, device) if len(weights) > 1 else None
