"""Options of the shipped trainers. Light: no torch."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import field_validator, model_validator

from mer_core.plugin import Field, Options
from mer_plugins.trainers.checks import refuse_combination
from mer_plugins.trainers.rates import read_rates, read_weights


class CvOptions(Options):
    """Options of the trainer ``cv``."""

    epochs: int | None = Field(default=None, ge=1)
    """Passes over the training part; by default as many as min_steps and min_epochs need."""
    min_steps: int = Field(default=1000, ge=1)
    """Optimiser steps at least, unless epochs is given."""
    min_epochs: int = Field(default=20, ge=1)
    """Passes over the training part at least, unless epochs is given."""
    batch_size: int = Field(default=64, ge=1)
    """Clips per step and fold, at most."""
    lr: float = Field(default=3e-4, gt=0)
    """Learning rate at the start."""
    schedule: Literal["constant", "cosine", "linear", "step"] = "cosine"
    """How the learning rate goes on: as it is, to zero along half a cosine or a line, or a tenth at 1/2 and at 3/4."""
    warmup: float = Field(default=0.0, ge=0, lt=1)
    """Share of the steps, from the first, in which the learning rate rises from zero."""
    weight_decay: float = Field(default=3e-4, ge=0)
    """L2 penalty, added to the gradient as Adam's own weight decay."""
    clip_norm: float | None = Field(default=None, gt=0)
    """Scale a fold's gradient down to this 2-norm over all weights where it is longer (MulT's authors: 0.8)."""
    standardise: bool = True
    """Standardise each column on the fold's own present, labelled training rows."""
    limit: float | None = Field(default=10.0, gt=0)
    """Standardised values beyond this many deviations are set to it; null leaves them."""
    select: Literal["last", "inner", "val"] = "last"
    """Which epoch is kept: the last, the best on a part of the training clips, or the best on the scored part."""
    inner_fraction: float = Field(default=0.15, gt=0, lt=0.5)
    """Share of the training clips (of the speakers, where known) that inner selection holds out."""
    patience: int | None = Field(default=None, ge=1)
    """Stop a fold after so many looks without a better score on the inner part (select=inner)."""
    class_weights: Literal["off", "balanced"] | dict[str, float] = "off"
    """Weights of the classes in the loss: balanced on the fold's own training clips, or given: sad=2,happy=0.5."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of each clip's label that is spread evenly over all classes."""
    focal_gamma: float = Field(default=0.0, ge=0)
    """How much less clips count that are already recognised (Lin 2017); 0 is cross entropy."""
    value_loss: Literal["mse", "mae", "huber", "ccc"] = "mse"
    """Loss of continuous targets, in deviations of the fold's training clips; ccc is 1 - concordance over a batch."""
    value_weight: float = Field(default=1.0, gt=0)
    """How much the loss of continuous targets counts beside that of the classes."""
    modality_dropout: float | dict[str, float] = 0.3
    """Chance that a clip loses a modality in a training step, or each one's: speech=0.2,text=0.5 (others stay)."""
    modality_dropout_policy: Literal["keep_one", "allow", "drop_one"] = "keep_one"
    """keep_one: a clip never loses its last modality; allow: the paper's Eq. 2; drop_one: AV-HuBERT's, one goes."""
    modality_dropout_per: Literal["sample", "batch"] = "sample"
    """Decide for each clip, or once for the whole batch."""
    modality_dropout_by: Literal["modality", "stream"] = "modality"
    """What goes: all streams of a modality together, or each stream on its own."""
    modality_dropout_scale: Literal["none", "inverse"] = "none"
    """inverse: what is kept is divided by the chance of being kept, as ordinary dropout does."""
    gradient_modulation: Literal["off", "ogm", "ogm-ge"] = "off"
    """Slow down the encoders of a modality that is ahead of the others (Peng 2022); ogm-ge adds noise to gradients."""
    gradient_modulation_alpha: float = Field(default=0.5, gt=0)
    """How strongly; the method's authors use 0.1 to 0.8."""
    gradient_modulation_until: float = Field(default=0.5, gt=0, le=1)
    """Share of the epochs, from the first, in which gradients are modulated."""
    calibrate: bool = False
    """Divide each member's logits by a temperature, fitted on clips held out of its training part; without
    select=inner this takes a second training."""
    stacked: bool | None = None
    """Train all folds as one stacked model; by default where the fusion allows it."""
    precision: Literal["float32", "float64", "bfloat16"] = "float32"
    """Floating-point type of training; bfloat16 keeps weights in float32 and only multiplies matrices in bfloat16."""
    self_training: Literal["off", "class-balanced", "per-class-threshold", "flexmatch", "dash"] = "off"
    """Learn from unlabelled clips, too: in rounds, from the surest few of each class or all above a threshold; or in
    every step, from those that count under FlexMatch or Dash."""
    pseudo_per_class: int = Field(default=10, ge=1)
    """Clips that class-balanced self-training adds per class and round, at most."""
    pseudo_rounds: int = Field(default=10, ge=1)
    """Rounds of self-training, at most."""
    pseudo_agreement: Literal["majority", "all", "any", "off"] = "majority"
    """How many of the clip's modalities, each by a model of its own, must say the same as all together."""
    pseudo_confidence: float = Field(default=0.0, ge=0, le=1)
    """Probability from which on a class-balanced prediction may become a label."""
    pseudo_thresholds: dict[str, float] = Field(default_factory=lambda: {"*": 0.95})
    """Probability from which on a prediction becomes a label under per-class-threshold, by class; * for the others."""
    pseudo_from: Literal["fold", "ensemble"] = "fold"
    """Whose predictions become labels: each fold's own, or all folds' together, which contaminates the score."""
    pseudo_relabel: bool = False
    """Predict the labels of earlier rounds anew in each round."""
    pseudo_warm_start: bool = False
    """Begin each round with the weights of the one before, not with new ones."""
    pseudo_patience: int | None = Field(default=None, ge=1)
    """Stop after so many rounds without a better score on the inner part (select=inner)."""
    consistency_weight: float = Field(default=1.0, ge=0)
    """What the loss of unlabelled clips is multiplied by under flexmatch and dash."""
    consistency_ratio: int = Field(default=1, ge=1)
    """Unlabelled clips in a step for each labelled one (flexmatch, dash)."""
    consistency_noise: float = Field(default=0.1, ge=0)
    """Deviation of the noise in the strong view of an unlabelled clip, on standardised columns (flexmatch, dash)."""
    consistency_threshold: float = Field(default=0.95, gt=0, le=1)
    """Probability from which on FlexMatch takes a class of a clip for learnt."""
    consistency_temperature: float = Field(default=0.5, gt=0)
    """Dash divides the logits by it before a prediction becomes what another should be."""
    pseudo_final: Literal["last", "best"] = "last"
    """Which round is kept: the last, or the best on the inner part (select=inner)."""

    @field_validator("modality_dropout", mode="before")
    @classmethod
    def _rates(cls, value: Any) -> float | dict[str, float]:
        return read_rates(value)

    @field_validator("class_weights", mode="before")
    @classmethod
    def _weights(cls, value: Any) -> Any:
        return read_weights(value)

    @model_validator(mode="after")
    def _together(self) -> CvOptions:
        refuse_combination(self)
        return self
