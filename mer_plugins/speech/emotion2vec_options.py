"""Options of the ``emotion2vec`` extractor. Light: nothing here imports numpy or torch."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from mer_core.plugin import Field, Weights
from mer_plugins import damage
from mer_plugins.hf import WeightsOptions
from mer_plugins.speech.emotion2vec_weights import EMOTION2VEC


class Emotion2vecOptions(WeightsOptions):
    """Options of the ``emotion2vec`` extractor."""

    known: ClassVar[tuple[Weights, ...]] = EMOTION2VEC
    model: str = EMOTION2VEC[0].name
    """Name of known weights, hub id (owner/name), or a local folder or file (.pt, .bin or .safetensors)."""
    output: Literal["frames", "utterance", "scores"] = "frames"
    """frames: a vector for every 20 ms of sound; utterance: their mean, one vector a clip; scores: the probabilities of
    the nine emotions, one vector a clip, where the weights were fine-tuned on them (plus-seed, -base, -large)."""
    normalise: bool = True
    """Bring the whole waveform to mean 0 and variance 1, as all published weights expect."""
    chunk: float = Field(default=20.0, ge=1.0, le=60.0)
    """Seconds of a long clip that one window answers for."""
    overlap: float = Field(default=4.0, ge=0.0, le=10.0)
    """Seconds of context on both sides of a window; their frames are dropped."""

    def check_weights(self, place: Path) -> None:
        """Refuse a file of weights that is not whole; what network it holds is told by reading it.

        Raises:
            PluginError: naming the file, or the folder that holds none.
        """
        from mer_plugins.speech.emotion2vec_checkpoint import find

        damage.refuse_damaged(find(place))
