"""Specs of the speech plugins. Light: nothing here imports numpy or torch."""

from __future__ import annotations

from mer_core.plugin import AudioInput, ExtractorSpec

SPEECH = [
    ExtractorSpec(
        name="acoustic",
        target="mer_plugins.speech.acoustic:Acoustic",
        options="mer_plugins.speech.acoustic:AcousticOptions",
        summary="log-mel, MFCC with slopes, spectral shape, F0 and energy",
        modality="speech",
        inputs={"audio": AudioInput(rate=16000)},
        per_thread=True,
    ),
]
