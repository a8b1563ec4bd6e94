"""Several members (one per fold) of one fusion as if they were one model.

:class:`Stacked` holds all parameters in tensors with a leading fold axis and runs one batched pass
(``torch.func``). :class:`Looped` runs member after member, for fusions that cannot be stacked. Both
give the trainer the same two things: parameters to optimise and outputs with a leading fold axis.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from textwrap import shorten
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

from mer_core.plugin import FusionError, FusionOutput, Head
from mer_plugins.trainers.clipping import clip
from mer_plugins.trainers.dropout import Factors, Site, dropouts, find_sites, supplied


class Outputs(NamedTuple):
    """What F members say: ``logits`` [F, B, C], ``values`` [F, B, V], ``heads`` alike, with weights [F, B].

    ``extra`` [F] are the sums of the fusion's auxiliary losses.
    """

    logits: Tensor
    values: Tensor
    heads: dict[str, Head]
    extra: Tensor


class Members(Protocol):
    """F members trained together."""

    def parameters(self) -> list[Tensor]:
        """What the optimiser changes."""
        ...

    def train(self, mode: bool) -> None:
        """Training or evaluation mode, for all members."""
        ...

    def forward(self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor], factors: Factors) -> Outputs:
        """``x`` [F, B, D], ``mask`` bool [F, B], ``factors`` [F, ...]; each member sees its own slice."""
        ...

    def sites(self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> list[Site]:
        """The dropout calls of one member in a training pass over such a batch."""
        ...

    def state(self, member: int) -> dict[str, Tensor]:
        """A copy of one member's parameters and buffers."""
        ...

    def gradient(self, name: str, member: int) -> Tensor | None:
        """One member's gradient of one parameter, as a view of the parameter's own shape."""
        ...

    def clip(self, limit: float) -> None:
        """Scale each member's gradient so that its 2-norm over all its parameters is ``limit`` at most."""
        ...


def refuse_misshapen(out: Outputs, clips: int, classes: int, values: int) -> None:
    """Refuse answers for a batch of ``clips`` that have not a column for each class and value.

    Raises:
        FusionError: naming the field of :class:`FusionOutput`, its shape and what it should be.
    """
    wanted = {"values": (out.values, values), **({"logits": (out.logits, classes)} if classes else {})}
    for name, (found, columns) in wanted.items():
        shape = list(found.shape[1:])
        if shape != [clips, columns]:
            hint = f"Give FusionOutput.{name} a row for each clip and a column for each of targets."
            raise FusionError(
                f"answers {name} of shape {shape}, not {[clips, columns]}.",
                f"{hint}{'classes' if name == 'logits' else 'values'}, or choose another fusion.",
            )


def why_looped(modules: Sequence[nn.Module], x: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> str:
    """Why a batched pass over ``x`` and ``mask`` does not work, gradients included; "" where it does."""
    if len({type(module) for module in modules}) > 1:
        return "build returns another class of module for each fold"
    if len(list(modules[0].named_parameters(remove_duplicate=False))) != len(list(modules[0].parameters())):
        return "a weight of the fusion has two names"
    shortcut = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # evaluation only, and without a derivative under vmap
    try:
        for mode in (False, True):
            _try(Stacked(modules), mode, x, mask)
    except Exception as error:
        return f"torch.vmap cannot run the fusion: {_first_sentence(error)}"
    finally:
        torch.backends.mha.set_fastpath_enabled(shortcut)
    return ""


def _try(stacked: Stacked, mode: bool, x: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> None:
    """One pass there and back, without dropout and without a trace in the global random numbers."""
    stacked.train(mode)
    folds = len(next(iter(mask.values())))
    factors: Factors = {}
    with torch.random.fork_rng():
        for site in stacked.sites(x, mask) if mode else ():
            factors.setdefault(site.name, []).append(next(iter(x.values())).new_ones(folds, *site.shape))
        out = stacked.forward(x, mask, factors)
    parts = [out.logits, out.values, out.extra, *(part for head in out.heads.values() for part in head)]
    torch.stack([part.sum().to(out.logits) for part in parts]).sum().backward()


def _first_sentence(error: Exception) -> str:
    """What the error says first, without a full stop; the error's class where it says nothing."""
    said = " ".join(str(error).removeprefix("vmap: ").split()) or type(error).__name__
    return shorten(said.partition(". ")[0].rstrip("."), 160, placeholder=" …")


class Stacked:
    """See the module's text."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        params, self.buffers = stack_module_state(list(modules))
        self.flipped = {name for name, value in params.items() if value.dim() == 3}
        self.params = {name: self._flip(name, value).detach().contiguous() for name, value in params.items()}
        for name, value in params.items():
            self.params[name].requires_grad_(value.requires_grad)
        self.base = copy.deepcopy(modules[0])
        self.drops = dropouts(self.base)
        self.batched = torch.vmap(self._one, randomness="different")

    def parameters(self) -> list[Tensor]:
        """Tensors [F, ...]."""
        return [p for p in self.params.values() if p.requires_grad]

    def train(self, mode: bool) -> None:
        """Mode of all members."""
        self.base.train(mode)

    def forward(self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor], factors: Factors) -> Outputs:
        """One batched pass."""
        params = {name: self._flip(name, value) for name, value in self.params.items()}
        found: Outputs = self.batched(params, self.buffers, dict(x), dict(mask), factors)
        return found

    def sites(self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> list[Site]:
        """Seen by the template module, whose weights are the first member's initial ones."""
        return find_sites(self.base, _first(x), _first(mask))

    def state(self, member: int) -> dict[str, Tensor]:
        """Slices along the fold axis."""
        stacked = {**{name: self._flip(name, value) for name, value in self.params.items()}, **self.buffers}
        return {
            key: value[member].detach().clone(memory_format=torch.contiguous_format) for key, value in stacked.items()
        }

    def gradient(self, name: str, member: int) -> Tensor | None:
        """A slice along the fold axis."""
        found = self.params[name].grad
        return None if found is None else self._flip(name, found)[member]

    def clip(self, limit: float) -> None:
        """All members at once, along the fold axis."""
        clip([p.grad for p in self.parameters() if p.grad is not None], limit)

    def _flip(self, name: str, value: Tensor) -> Tensor:
        """Matrices [F, out, in] are kept as [F, in, out].

        A batched product makes the gradient of a linear layer's weight in that order: kept in the other,
        it would be transposed in every step.
        """
        return value.transpose(1, 2) if name in self.flipped else value

    def _one(self, params: Any, buffers: Any, x: Any, mask: Any, factors: Any) -> Outputs:
        with supplied(self.drops, factors):
            output = functional_call(self.base, (params, buffers), (x, mask), tie_weights=False)
        return _outputs(output)


class Looped:
    """See the module's text."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self.modules = list(modules)
        self.drops = [dropouts(module) for module in modules]

    def parameters(self) -> list[Tensor]:
        """All members' parameters, member after member."""
        return [p for module in self.modules for p in module.parameters() if p.requires_grad]

    def train(self, mode: bool) -> None:
        """Mode of all members."""
        for module in self.modules:
            module.train(mode)

    def forward(self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor], factors: Factors) -> Outputs:
        """One pass per member."""
        passes = [self._one(number, x, mask, factors) for number in range(len(self.modules))]
        return _joined(passes)

    def sites(self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> list[Site]:
        """Seen by the first module."""
        return find_sites(self.modules[0], _first(x), _first(mask))

    def state(self, member: int) -> dict[str, Tensor]:
        """A copy of one module's state."""
        return {key: value.detach().clone() for key, value in self.modules[member].state_dict().items()}

    def gradient(self, name: str, member: int) -> Tensor | None:
        """Of one module."""
        return self.modules[member].get_parameter(name).grad

    def clip(self, limit: float) -> None:
        """Module after module."""
        for module in self.modules:
            clip([p.grad.unsqueeze(0) for p in module.parameters() if p.grad is not None], limit)

    def _one(self, number: int, x: Mapping[str, Tensor], mask: Mapping[str, Tensor], factors: Factors) -> Outputs:
        own = {name: [factor[number] for factor in found] for name, found in factors.items()}
        module = self.modules[number]
        with supplied(self.drops[number], own):
            output = module({k: v[number] for k, v in x.items()}, {k: v[number] for k, v in mask.items()})
        return _outputs(output)


def _first(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: part[0] for name, part in batch.items()}


def _outputs(output: FusionOutput) -> Outputs:
    """Of one member."""
    extra = sum(output.losses.values(), start=output.logits.new_zeros(()))
    return Outputs(output.logits, output.values, dict(output.heads), extra)


def _joined(passes: Sequence[Outputs]) -> Outputs:
    """Of all members, with a leading axis."""
    heads = {
        name: Head(*(torch.stack(parts) for parts in zip(*(one.heads[name] for one in passes), strict=True)))
        for name in passes[0].heads
    }
    logits, values, extra = (
        torch.stack([getattr(one, key) for one in passes]) for key in ("logits", "values", "extra")
    )
    return Outputs(logits, values, heads, extra)
