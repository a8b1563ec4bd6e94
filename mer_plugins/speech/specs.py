"""Specs of the speech plugins. Light: nothing here imports numpy or torch."""

from __future__ import annotations

from mer_core.plugin import AudioInput, DeriverSpec, ExtractorSpec, Weights
from mer_plugins.speech.emotion2vec_weights import EMOTION2VEC
from mer_plugins.speech.encoder_weights import DATA2VEC, HUBERT, WAV2VEC2, WAVLM, WHISPER, WHISPER_ASR


def _encoder(name: str, options: str, summary: str, weights: tuple[Weights, ...]) -> ExtractorSpec:
    """One of the encoders that share a class."""
    return ExtractorSpec(
        name=name,
        target="mer_plugins.speech.encoder:SpeechEncoder",
        options=f"mer_plugins.speech.encoder_options:{options}",
        summary=summary,
        modality="speech",
        inputs={"audio": AudioInput(rate=16000)},
        requires=("torch", "transformers"),
        weights_licence=weights[0].licence,
        weights=weights,
    )


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
    ExtractorSpec(
        name="egemaps",
        target="mer_plugins.speech.egemaps:Egemaps",
        options="mer_plugins.speech.egemaps_options:EgemapsOptions",
        summary="eGeMAPS functionals or frames, measured by openSMILE; research and non-commercial use only",
        modality="speech",
        inputs={"audio": AudioInput(rate=16000)},
        level="clip",
        per_thread=True,
        requires=("opensmile",),
        install="pip install 'mer-toolkit[egemaps]'",
        licence="openSMILE, which it needs: audEERING's licence, research and other non-commercial use only",
    ),
    _encoder("hubert", "HubertOptions", "HuBERT: last four layers of chinese-hubert-large and its kin", HUBERT),
    _encoder("wav2vec2", "Wav2Vec2Options", "wav2vec 2.0: last four layers", WAV2VEC2),
    _encoder("wavlm", "WavLMOptions", "WavLM: last four layers", WAVLM),
    _encoder("data2vec-audio", "Data2VecAudioOptions", "data2vec for speech: last four layers", DATA2VEC),
    ExtractorSpec(
        name="whisper",
        target="mer_plugins.speech.whisper:Whisper",
        options="mer_plugins.speech.whisper_options:WhisperOptions",
        summary="Whisper's encoder, or its decoder as the MER2024 baseline reads it",
        modality="speech",
        inputs={"audio": AudioInput(rate=16000)},
        requires=("torch", "transformers"),
        weights_licence=WHISPER[0].licence,
        weights=WHISPER,
    ),
    ExtractorSpec(
        name="emotion2vec",
        target="mer_plugins.speech.emotion2vec:Emotion2vecExtractor",
        options="mer_plugins.speech.emotion2vec_options:Emotion2vecOptions",
        summary="emotion2vec and emotion2vec+: frames, utterances, or scores of nine emotions",
        modality="speech",
        inputs={"audio": AudioInput(rate=16000)},
        requires=("torch", "safetensors"),
        weights_licence=EMOTION2VEC[0].licence,
        weights=EMOTION2VEC,
    ),
]

HEARING = [
    DeriverSpec(
        name="whisper-asr",
        target="mer_plugins.speech.whisper_asr:WhisperAsr",
        options="mer_plugins.speech.whisper_asr_options:WhisperAsrOptions",
        summary="what is said in a clip without text, by Whisper (--transcribe)",
        produces="transcript",
        inputs={"audio": AudioInput(rate=16000)},
        requires=("torch", "transformers"),
        weights_licence=WHISPER_ASR[0].licence,
        weights=WHISPER_ASR,
    ),
]
