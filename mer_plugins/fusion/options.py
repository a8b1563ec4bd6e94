"""Options of the shipped fusions. Light: no torch."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import field_validator, model_validator

from mer_core.plugin import Field, OptionError, Options


class FusionOptions(Options):
    """What all shipped fusions have in common."""

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


class LfDnnOptions(FusionOptions):
    """Options of the fusion lf-dnn."""


class LateOptions(FusionOptions):
    """Options of the late fusion."""

    by: Literal["modality", "stream"] = "modality"
    """Who predicts: each modality (its streams side by side), or each stream."""
    weights: Literal["learned", "equal"] | dict[str, float] = "learned"
    """Of each prediction: learned on the training part, equal, or given: {"speech": 2, "text": 1}."""

    @field_validator("weights")
    @classmethod
    def _not_negative(cls, weights: str | dict[str, float]) -> str | dict[str, float]:
        if isinstance(weights, dict) and not all(0 <= weight < math.inf for weight in weights.values()):
            raise OptionError("late: a weight is negative or no number.", "Give each at least 0.")
        return weights


class TfnOptions(FusionOptions):
    """Options of the tensor fusion network."""

    width: int | None = Field(default=None, ge=1)
    """Width w of each stream's code, of which M give (w + 1)^M products; by default what a million weights allow."""


class LmfOptions(FusionOptions):
    """Options of low-rank multimodal fusion."""

    rank: int = Field(default=4, ge=1)
    """How many products of factors approximate the tensor."""


class MisaOptions(FusionOptions):
    """Options of MISA."""

    similarity: float = Field(default=1.0, ge=0)
    """Weight of the loss by which the shared codes of all streams become alike."""
    difference: float = Field(default=0.3, ge=0)
    """Weight of the loss by which shared and private codes become unlike."""
    reconstruction: float = Field(default=1.0, ge=0)
    """Weight of the loss by which both codes together keep what a stream says."""
    feedforward: int = Field(default=2048, ge=1)
    """Width inside the transformer layer over the codes."""

    @model_validator(mode="after")
    def _divisible(self) -> MisaOptions:
        _check_heads("misa", self.hidden, 2)
        return self


class MmimOptions(FusionOptions):
    """Options of MMIM."""

    nce: float = Field(default=0.1, ge=0)
    """Weight of the contrastive loss between the fused vector and each stream (alpha)."""
    likelihood: float = Field(default=0.1, ge=0)
    """Weight of the likelihood of each other stream given the anchor (beta)."""
    cpc_layers: int = Field(default=1, ge=1)
    """Layers that predict a stream from the fused vector."""
    normaliser: bool = False
    """Count the variance's own term in the likelihood (the published code does not); y then has no gradient."""


class TransformerOptions(FusionOptions):
    """Options of the transformer fusion."""

    layers: int = Field(default=2, ge=1)
    """Transformer layers."""
    heads: int = Field(default=4, ge=1)
    """Attention heads of each; they divide the hidden width."""
    feedforward: int = Field(default=256, ge=1)
    """Width inside each layer."""
    unimodal: float = Field(default=0.3, ge=0)
    """Weight of each stream's own classification loss beside that of the fused prediction."""

    @model_validator(mode="after")
    def _divisible(self) -> TransformerOptions:
        _check_heads("transformer", self.hidden, self.heads)
        return self


class EfLstmOptions(FusionOptions):
    """Options of the fusion ef-lstm."""

    steps: int = Field(default=16, ge=1)
    """Equal parts of a clip over which each stream's frames are averaged: the time steps of the LSTM."""
    layers: int = Field(default=2, ge=1)
    """LSTM layers."""


class MultOptions(FusionOptions):
    """Options of MulT, the crossmodal transformer."""

    hidden: int = Field(default=40, ge=1)
    """Columns of each stream's projection; encoders over what M streams said have M - 1 times as many."""
    dropout: float = Field(default=0.25, ge=0, lt=1)
    """Share of the inputs of each projection and of each encoder that is zeroed in training."""
    heads: int = Field(default=8, ge=1)
    """Attention heads of each layer; they divide the hidden width."""
    layers: int = Field(default=4, ge=1)
    """Layers of each encoder; those over a stream's own frames have at least three."""
    kernel: int = Field(default=1, ge=1)
    """Frames that the projection of each stream sees at once."""
    causal: bool = True
    """Frame i of a stream sees another's frames up to i and by how many one is longer, as published; or all of them."""
    positions: Literal["sinusoidal", "none"] = "sinusoidal"
    """Where a frame stands: sines and cosines, as published; none, as in the MER2024 baseline."""
    attention_dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of attention weights that is zeroed in training."""
    relu_dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of the numbers between the two linear layers of each layer that is zeroed in training."""
    residual_dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of what is added to a layer's input that is zeroed in training."""
    out_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the numbers inside the last residual block that is zeroed in training."""

    @model_validator(mode="after")
    def _divisible(self) -> MultOptions:
        _check_heads("mult", self.hidden, self.heads)
        return self


def _check_heads(owner: str, hidden: int, heads: int) -> None:
    if hidden % heads:
        raise OptionError(
            f"{owner}: {heads} attention heads do not divide a hidden width of {hidden}.",
            f"Choose a multiple of {heads}: -o {owner}.hidden={heads * (hidden // heads + 1)}.",
        )
