"""Specs of every shipped plugin. Light: nothing here imports numpy or torch."""

from __future__ import annotations

from collections.abc import Iterable

from mer_core.plugin import (
    AudioInput,
    DatasetSpec,
    DeriverSpec,
    ExtractorSpec,
    FramesInput,
    FusionSpec,
    PluginSpec,
    PresetSpec,
    ProtocolSpec,
    TextInput,
    TrainerSpec,
    hookimpl,
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
]
IMAGE = [
    ExtractorSpec(
        name="hog",
        target="mer_plugins.image.hog:Hog",
        options="mer_plugins.image.hog:HogOptions",
        summary="histograms of oriented gradients of aligned faces",
        modality="image",
        inputs={"frames": FramesInput(fps=5, faces=True, size=128)},
        per_thread=True,
    ),
]
VIDEO = [
    ExtractorSpec(
        name="motion",
        target="mer_plugins.video.motion:Motion",
        options="mer_plugins.video.motion:MotionOptions",
        summary="dense optical flow and appearance change of whole frames",
        modality="video",
        inputs={"frames": FramesInput(fps=5, max_side=320)},
        per_thread=True,
    ),
]
TEXT = [
    ExtractorSpec(
        name="ngram",
        target="mer_plugins.text.ngram:Ngram",
        options="mer_plugins.text.ngram:NgramOptions",
        summary="hashed character and word n-grams, Chinese and English",
        modality="text",
        inputs={"text": TextInput()},
        level="clip",
        per_thread=True,
    ),
]
DERIVERS = [
    DeriverSpec(
        name="haar",
        target="mer_plugins.faces.haar:Haar",
        options="mer_plugins.faces.haar:HaarOptions",
        summary="main face of a clip with OpenCV's bundled cascades",
        produces="faces",
        inputs={"frames": FramesInput(fps=5, stream=True)},
        per_thread=True,
    ),
]
FUSIONS = [
    FusionSpec(
        name="attention",
        target="mer_plugins.fusion.attention:Attention",
        options="mer_plugins.fusion.options:AttentionOptions",
        summary="the MER2024 attention fusion, any number of streams",
        stackable=True,
    ),
    FusionSpec(
        name="concat",
        target="mer_plugins.fusion.concat:Concat",
        options="mer_plugins.fusion.options:ConcatOptions",
        summary="encoded streams concatenated into one classifier",
        stackable=True,
    ),
]
TRAINERS = [
    TrainerSpec(
        name="cv",
        target="mer_plugins.trainers.cv:CrossValidation",
        options="mer_plugins.trainers.options:CvOptions",
        summary="k folds as one stacked model, modality dropout, honest selection",
    ),
]
DATASETS = [
    DatasetSpec(
        name="sample",
        target="mer_plugins.datasets.sample:SampleDataset",
        options="mer_plugins.datasets.sample:SampleOptions",
        summary="synthetic talking faces, made on this machine (no download)",
    ),
]
PRESETS = [
    PresetSpec(
        name="lite",
        summary="no weights, permissive licences, runs on any CPU",
        extractors={"speech": ("acoustic",), "image": ("hog",), "video": ("motion",), "text": ("ngram",)},
        derivers={"faces": "haar"},
    ),
]

PROTOCOLS = [
    ProtocolSpec(
        name="mer2024",
        summary="the winner's own settings (arXiv 2409.07078, section 4.2); its CV score is optimistic",
        folds="shuffle",
        trainer_options={
            "epochs": 30,
            "batch_size": 64,
            "lr": 3e-4,
            "schedule": "constant",
            "weight_decay": 1e-5,
            "standardise": False,
            "select": "val",
            "modality_dropout": 0.3,
        },
        fusion_options={"hidden": 256, "dropout": 0.3, "absent": "zero"},
    ),
]


@hookimpl
def mer_specs() -> Iterable[PluginSpec]:
    """Everything mer ships."""
    return [*SPEECH, *IMAGE, *VIDEO, *TEXT, *DERIVERS, *FUSIONS, *TRAINERS, *DATASETS, *PRESETS, *PROTOCOLS]
