"""Whether two modules compute the same but for their weights and the rates of their dropouts."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mer_core.plugin import Options
from mer_plugins.trainers.dropout import MaskedDropout

_OWN = set(vars(nn.Module()))
"""What every module has, which is looked at in another way, or not at all."""
_PLAIN = (str, bytes, bool, int, float, complex, type(None), torch.dtype, torch.device)


class Itself:
    """Equal to another where both hold the very same object, which lives as long as this."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Itself) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


def signature(module: nn.Module) -> Hashable:
    """Equal for modules that can train as one stack; dropouts were replaced by :class:`MaskedDropout` before.

    Equal are the classes of all parts, their places, the shapes of weights and buffers, and every attribute. An
    attribute of a kind that cannot be compared by value makes the module equal to itself alone.
    """
    return tuple((name, type(part), _state(part), _attributes(part)) for name, part in module.named_modules())


def _state(part: nn.Module) -> Hashable:
    weights = [(n, tuple(p.shape), p.dtype, p.requires_grad) for n, p in part.named_parameters(recurse=False)]
    buffers = [(n, tuple(b.shape), b.dtype) for n, b in part.named_buffers(recurse=False)]
    return tuple(weights), tuple(buffers)


def _attributes(part: nn.Module) -> Hashable:
    if isinstance(part, MaskedDropout):
        return part.threshold > 0
    return tuple((name, _value(value)) for name, value in sorted(vars(part).items()) if name not in _OWN)


def _value(value: Any) -> Hashable:
    if isinstance(value, _PLAIN):
        return type(value), value
    if isinstance(value, Options):
        return type(value), value.model_dump_json()
    if isinstance(value, Mapping):
        return type(value), tuple((_value(key), _value(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return type(value), tuple(map(_value, value))
    if isinstance(value, Tensor | np.ndarray):
        found = value.detach().cpu().numpy() if isinstance(value, Tensor) else value
        return type(value), found.shape, str(found.dtype), hashlib.sha256(found.tobytes()).digest()
    return Itself(value)
