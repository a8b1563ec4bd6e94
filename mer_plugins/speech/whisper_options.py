"""Options of the ``whisper`` extractor. Light: nothing here imports numpy or torch."""

from __future__ import annotations

from typing import ClassVar, Literal

from mer_core.plugin import Field, Weights
from mer_plugins.hf import WeightsOptions
from mer_plugins.speech.encoder_weights import WHISPER


class WhisperOptions(WeightsOptions):
    """Options of the ``whisper`` extractor."""

    known: ClassVar[tuple[Weights, ...]] = WHISPER
    kind: ClassVar[str] = "whisper"
    model: str = WHISPER[0].name
    """Name of known weights, hub id (owner/name), or a local folder."""
    source: Literal["encoder", "decoder2"] = "encoder"
    """encoder: a vector for every 20 ms of sound; decoder2: as in the MER2024 baseline, what the decoder says to two
    start tokens, two vectors a clip, of its first 30 s."""
    overlap: float = Field(default=5.0, ge=0.0, le=10.0)
    """Seconds of context on both sides of a window, for clips longer than 30 s; their frames are dropped."""
