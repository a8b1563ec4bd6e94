"""Options of the shipped fusions. Light: no torch."""

from __future__ import annotations

from typing import Literal

from mer_core.plugin import Field, Options


class FusionOptions(Options):
    """What both shipped fusions have in common."""

    hidden: int = Field(default=128, ge=1)
    """Width of every hidden layer."""
    dropout: float = Field(default=0.5, ge=0, lt=1)
    """Share of the inputs of each encoder that is zeroed in training."""
    absent: Literal["mask", "zero"] = "mask"
    """A missing stream: its hidden state and weight are zero (mask), or a zero vector is encoded (zero, the paper)."""


class AttentionOptions(FusionOptions):
    """Options of the attention fusion."""

    softmax: bool = False
    """Attention weights sum to 1 over the present streams; the published fusion uses them unbounded."""


class ConcatOptions(FusionOptions):
    """Options of the concat fusion."""
