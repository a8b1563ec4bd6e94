"""Fusions with one mistake each, for looking at the checks. ``Good`` is their twin without one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mer_core.plugin import FusionOutput, FusionSpec, StreamInfo, TargetSpec, clear_hidden, clear_input

HIDDEN = 8


class Module(nn.Module):
    """Streams are encoded, frames averaged, streams summed, the sum classified."""

    def __init__(self, streams: Mapping[str, StreamInfo], classes: int, values: int = 0) -> None:
        super().__init__()
        self.classes = classes
        self.names = tuple(streams)
        self.modalities = tuple(info.modality for info in streams.values())
        self.encoders = self.make_encoders(streams)
        self.drop = nn.Dropout(0.2)
        self.out = nn.Linear(HIDDEN, classes + values)
        self.prepare()

    def make_encoders(self, streams: Mapping[str, StreamInfo]) -> nn.Module:
        return nn.ModuleList(nn.Linear(info.dim, HIDDEN) for info in streams.values())

    def prepare(self) -> None:
        pass

    def forward(self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> FusionOutput:
        hidden = [self.encode(number, x[name], mask[name]) for number, name in enumerate(self.names)]
        present = [mask[name] if mask[name].dim() == 1 else mask[name].any(1) for name in self.names]
        told = self.out(self.drop(self.mix(torch.stack(hidden, 1), torch.stack(present, 1))))
        found = self.answer(told[:, : self.classes])
        return self.with_values(found, told[:, self.classes :]) if told.shape[1] > self.classes else found

    def with_values(self, found: FusionOutput, values: Tensor) -> FusionOutput:
        return found._replace(values=values)

    def encode(self, number: int, x: Tensor, present: Tensor) -> Tensor:
        hidden = torch.tanh(self.encoders[number](clear_input(x, present)))
        return self.pool(clear_hidden(hidden, present, "mask"), present)

    def pool(self, hidden: Tensor, present: Tensor) -> Tensor:
        if hidden.dim() == 2:
            return hidden
        return hidden.sum(1) / present.sum(1, keepdim=True).clamp(min=1)

    def mix(self, hidden: Tensor, present: Tensor) -> Tensor:
        """[B, M, H] and bool [B, M] -> [B, H]."""
        return hidden.sum(1)

    def answer(self, logits: Tensor) -> FusionOutput:
        return FusionOutput(logits, logits[:, :0], {})


class Good:
    """Nothing is wrong with it."""

    module: ClassVar[type[Module]] = Module

    def __init__(self, options: Any) -> None:
        self.shared = nn.Linear(HIDDEN, 6)

    def build(self, streams: Mapping[str, StreamInfo], targets: TargetSpec) -> nn.Module:
        return self.module(streams, len(targets.classes), len(targets.values))


class ForgetsValues(Good):
    """values: classes are answered, continuous values are not."""

    class module(Module):
        def with_values(self, found: FusionOutput, values: Tensor) -> FusionOutput:
            return found


class KnowsValues(Good):
    """values: answers the same values whatever it learns."""

    class module(Module):
        def with_values(self, found: FusionOutput, values: Tensor) -> FusionOutput:
            return found._replace(values=torch.ones_like(values.detach()))


class GivesNone(Good):
    """starts: an output with None in it."""

    class module(Module):
        def answer(self, logits: Tensor) -> FusionOutput:
            return FusionOutput(logits, None, {})  # type: ignore[arg-type]


class LosesPerClip(Good):
    """starts: an auxiliary loss that is not a scalar."""

    class module(Module):
        def answer(self, logits: Tensor) -> FusionOutput:
            return FusionOutput(logits, logits[:, :0], {"size": logits.square().mean(1)})


class SharesLayer(Good):
    """starts: one layer in all modules."""

    def build(self, streams: Mapping[str, StreamInfo], targets: TargetSpec) -> nn.Module:
        built = super().build(streams, targets)
        built.out = self.shared
        return built


class AlwaysDrops(Good):
    """starts: dropout in evaluation too."""

    class module(Module):
        def mix(self, hidden: Tensor, present: Tensor) -> Tensor:
            return nn.functional.dropout(hidden, 0.2).sum(1)


class WritesInput(Good):
    """starts: fills absent rows of the caller's tensor."""

    class module(Module):
        def encode(self, number: int, x: Tensor, present: Tensor) -> Tensor:
            x[...] = clear_input(x, present) * 2
            return super().encode(number, x, present)


class CountsStreams(Good):
    """stream-order: values by position in the dict."""

    class module(Module):
        def forward(self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> FusionOutput:
            return super().forward(dict(zip(self.names, x.values(), strict=True)), mask)


class CountsBits(Good):
    """stream-order: presence by position in the dict; fits by accident, so nothing raises."""

    class module(Module):
        def forward(self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> FusionOutput:
            return super().forward(x, dict(zip(self.names, mask.values(), strict=True)))


class NamesParts(Good):
    """keys: encoders by name of stream."""

    class module(Module):
        def make_encoders(self, streams: Mapping[str, StreamInfo]) -> nn.Module:
            return nn.ModuleDict({name: nn.Linear(info.dim, HIDDEN) for name, info in streams.items()})

        def encode(self, number: int, x: Tensor, present: Tensor) -> Tensor:
            hidden = torch.tanh(self.encoders[self.names[number]](clear_input(x, present)))
            return self.pool(clear_hidden(hidden, present, "mask"), present)


class NamesPartsSafely(NamesParts):
    """keys: likewise, with the dots taken out, so that nothing raises."""

    class module(NamesParts.module):
        def make_encoders(self, streams: Mapping[str, StreamInfo]) -> nn.Module:
            self.names = tuple(name.replace(".", "_") for name in streams)
            return super().make_encoders(dict(zip(self.names, streams.values(), strict=True)))

        def forward(self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> FusionOutput:
            safe = {name.replace(".", "_"): value for name, value in x.items()}
            return super().forward(safe, {name.replace(".", "_"): value for name, value in mask.items()})


class NobodyIsNan(Good):
    """absence: weights that sum to 1 over nobody."""

    class module(Module):
        def mix(self, hidden: Tensor, present: Tensor) -> Tensor:
            scores = hidden.sum(-1).masked_fill(~present, -torch.inf)
            return (scores.softmax(1).unsqueeze(-1) * hidden).sum(1)


class IgnoresMask(Good):
    """absence: presence bits are not looked at."""

    class module(Module):
        def encode(self, number: int, x: Tensor, present: Tensor) -> Tensor:
            return super().encode(number, x, torch.ones_like(present))


class MultipliesMask(Good):
    """cleared-values: NaN times zero is NaN."""

    class module(Module):
        def encode(self, number: int, x: Tensor, present: Tensor) -> Tensor:
            bits = present.unsqueeze(-1).to(x)
            return self.pool(torch.tanh(self.encoders[number](x * bits)) * bits, present)


class ClearsLate(Good):
    """cleared-values: outputs are right, but NaN reaches the gradients."""

    class module(Module):
        def encode(self, number: int, x: Tensor, present: Tensor) -> Tensor:
            return self.pool(clear_input(torch.tanh(self.encoders[number](x)), present), present)


class Detaches(Good):
    """gradients: the second stream's encoder learns nothing."""

    class module(Module):
        def encode(self, number: int, x: Tensor, present: Tensor) -> Tensor:
            hidden = super().encode(number, x, present)
            return hidden.detach() + 0 * hidden.sum() if number == 1 else hidden


class OnePerModality(Good):
    """gradients: of two streams of one modality, the second replaces the first."""

    class module(Module):
        def mix(self, hidden: Tensor, present: Tensor) -> Tensor:
            return torch.stack(list(dict(zip(self.modalities, hidden.unbind(1), strict=True)).values())).sum(0)


class IdleLayer(Good):
    """gradients: a layer that nothing uses."""

    class module(Module):
        def prepare(self) -> None:
            self.idle = nn.Linear(HIDDEN, HIDDEN)


class Normalises(Good):
    """batch-of-one: BatchNorm cannot train on one clip."""

    class module(Module):
        def prepare(self) -> None:
            self.norm = nn.BatchNorm1d(HIDDEN)

        def mix(self, hidden: Tensor, present: Tensor) -> Tensor:
            return self.norm(hidden.sum(1))


class Squeezes(Good):
    """batch-of-one: the batch axis goes with it."""

    class module(Module):
        def answer(self, logits: Tensor) -> FusionOutput:
            return FusionOutput(logits.squeeze(), logits[:, :0], {})


class AttendsAcrossClips(Good):
    """batch-invariance: batch_first was forgotten."""

    class module(Module):
        def prepare(self) -> None:
            self.attention = nn.MultiheadAttention(HIDDEN, 2)

        def mix(self, hidden: Tensor, present: Tensor) -> Tensor:
            return (hidden + self.attention(hidden, hidden, hidden)[0]).sum(1)


class CentresBatch(Good):
    """batch-invariance: the mean of the batch is taken away."""

    class module(Module):
        def mix(self, hidden: Tensor, present: Tensor) -> Tensor:
            mixed = hidden.sum(1)
            return mixed - 0.5 * mixed.mean(0)


class NeedsPairs(Good):
    """one-stream: every stream is compared with the next."""

    class module(Module):
        def mix(self, hidden: Tensor, present: Tensor) -> Tensor:
            return hidden.sum(1) + (hidden[:, 0] - hidden[:, 1]).abs()


class AveragesPadding(Good):
    """frames: padding counts in the mean."""

    class module(Module):
        def pool(self, hidden: Tensor, present: Tensor) -> Tensor:
            return hidden if hidden.dim() == 2 else hidden.mean(1)


class ForgetsProjection(Good):
    """save-load: a random projection that is in no state dict."""

    class module(Module):
        def prepare(self) -> None:
            self.projection = torch.randn(HIDDEN, HIDDEN)

        def mix(self, hidden: Tensor, present: Tensor) -> Tensor:
            return hidden.sum(1) @ self.projection


class ForgetsStatistics(Good):
    """save-load: a running mean that is not saved."""

    class module(Module):
        def prepare(self) -> None:
            self.register_buffer("mean", torch.zeros(HIDDEN), persistent=False)

        def mix(self, hidden: Tensor, present: Tensor) -> Tensor:
            mixed = hidden.sum(1)
            if self.training:
                self.mean = 0.5 * self.mean + 0.5 * mixed.detach().mean(0)
            return mixed - self.mean


class Branches(Good):
    """stacked: what is done depends on values."""

    class module(Module):
        def mix(self, hidden: Tensor, present: Tensor) -> Tensor:
            return hidden.sum(1) if present.all() else hidden.sum(1) * 0.9


class TiesWeights(Good):
    """stacked: one weight under two names."""

    class module(Module):
        def prepare(self) -> None:
            self.again = self.out

        def answer(self, logits: Tensor) -> FusionOutput:
            more = self.again(torch.zeros_like(logits[:, :1]).expand(-1, HIDDEN))
            return super().answer(logits + more[:, : self.classes])


LOOPS = (AttendsAcrossClips, Normalises, ForgetsProjection, ForgetsStatistics, NobodyIsNan)
"""Not declared stackable."""


def broken() -> dict[str, tuple[type[Good], str]]:
    """Every broken fusion by name, with the check that catches it."""
    found = [cls for cls in globals().values() if isinstance(cls, type) and issubclass(cls, Good) and cls is not Good]
    return {cls.__name__.lower(): (cls, (cls.__doc__ or "").partition(":")[0]) for cls in found}


def spec(cls: type[Good], **changes: Any) -> FusionSpec:
    name = cls.__name__.lower()
    stated: dict[str, Any] = {"target": f"shelf_fusions:{cls.__name__}", "stackable": cls not in LOOPS}
    return FusionSpec(**{"name": name, "levels": ("clip", "frame"), **stated, **changes})
