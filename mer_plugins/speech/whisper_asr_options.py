"""Options of the ``whisper-asr`` deriver. Light: nothing here imports numpy or torch."""

from __future__ import annotations

import re
from typing import ClassVar

from pydantic import field_validator

from mer_core.plugin import Field, OptionError, Weights
from mer_plugins.hf import WeightsOptions
from mer_plugins.speech.encoder_weights import WHISPER_ASR

AUTO = "auto"


class WhisperAsrOptions(WeightsOptions):
    """Options of the ``whisper-asr`` deriver."""

    known: ClassVar[tuple[Weights, ...]] = WHISPER_ASR
    kind: ClassVar[str] = "whisper"
    model: str = WHISPER_ASR[0].name
    """Name of known weights, hub id (owner/name), or a local folder."""
    language: str = AUTO
    """What is spoken, as a code such as zh or en; auto: what the first 30 s of each clip sound like."""
    no_speech: float = Field(default=0.6, ge=0.0, le=1.0)
    """A window of 30 s is left out where silence is likelier than this and its text less likely than below."""
    likelihood: float = Field(default=-1.0, le=0.0)
    """Mean log probability of a window's tokens, for the option above; 0 leaves it to no_speech alone."""
    repetition: float = Field(default=2.4, ge=1.0)
    """A window is left out if its text can be compressed more than so many times: it says the same again and again."""

    @field_validator("language")
    @classmethod
    def _code(cls, language: str) -> str:
        if not re.fullmatch(r"[a-z]{2,3}", language) and language != AUTO:
            raise OptionError(f"the option language is {language!r}, no code.", "Write auto, zh, en ...")
        return language
