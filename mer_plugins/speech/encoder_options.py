"""Options of the speech encoders over transformers. Light: nothing here imports numpy or torch."""

from __future__ import annotations

from typing import ClassVar, Literal

from mer_core.plugin import AudioInput, Field, Input, Weights
from mer_plugins.hf import LayerOptions
from mer_plugins.speech.encoder_weights import DATA2VEC, HUBERT, WAV2VEC2, WAVLM


class EncoderOptions(LayerOptions):
    """Options of ``hubert``, ``wav2vec2``, ``wavlm`` and ``data2vec-audio``."""

    last_layer: Literal["normed", "raw"] = "normed"
    """What counts as the last hidden layer: after the model's final layer norm (MER2024), or before it."""
    normalise: bool | None = None
    """Bring the whole waveform to mean 0 and variance 1; null: as the checkpoint's preprocessor_config.json says."""
    chunking: Literal["overlap", "mertools"] = "overlap"
    """overlap: windows with context on both sides, no padding counted; mertools: the MER2024 baseline's 10 s pieces,
    the last one padded with zeros whose frames count."""
    chunk: float = Field(default=10.0, ge=1.0, le=60.0)
    """Seconds of a long clip that one window answers for."""
    overlap: float = Field(default=2.0, ge=0.0, le=10.0)
    """Seconds of context on both sides of a window; their frames are dropped."""
    sample_rate: int = Field(default=16000, ge=8000, le=48000)
    """Rate at which the sound is read, in Hz."""
    read_as: Literal["resampled", "16k"] = "resampled"
    """Sound of another rate than 16 kHz: resample it, or give it to the model as if it were (24000: 75 frames/s)."""

    def inputs(self) -> dict[str, Input]:
        """Sound at the chosen rate."""
        return {"audio": AudioInput(rate=self.sample_rate)}


class HubertOptions(EncoderOptions):
    """Options of the ``hubert`` extractor."""

    known: ClassVar[tuple[Weights, ...]] = HUBERT
    kind: ClassVar[str] = "hubert"
    model: str = HUBERT[0].name
    """Name of known weights, hub id (owner/name), or a local folder."""


class Wav2Vec2Options(EncoderOptions):
    """Options of the ``wav2vec2`` extractor."""

    known: ClassVar[tuple[Weights, ...]] = WAV2VEC2
    kind: ClassVar[str] = "wav2vec2"
    model: str = WAV2VEC2[0].name
    """Name of known weights, hub id (owner/name), or a local folder."""


class WavLMOptions(EncoderOptions):
    """Options of the ``wavlm`` extractor."""

    known: ClassVar[tuple[Weights, ...]] = WAVLM
    kind: ClassVar[str] = "wavlm"
    model: str = WAVLM[0].name
    """Name of known weights, hub id (owner/name), or a local folder."""


class Data2VecAudioOptions(EncoderOptions):
    """Options of the ``data2vec-audio`` extractor."""

    known: ClassVar[tuple[Weights, ...]] = DATA2VEC
    kind: ClassVar[str] = "data2vec-audio"
    model: str = DATA2VEC[0].name
    """Name of known weights, hub id (owner/name), or a local folder."""
