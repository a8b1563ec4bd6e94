"""Specs of every shipped plugin. Light: nothing here imports numpy or torch."""

from __future__ import annotations

from collections.abc import Iterable

from mer_core.plugin import (
    DatasetSpec,
    PluginSpec,
    PresetSpec,
    ProtocolSpec,
    TrainerSpec,
    hookimpl,
)
from mer_plugins.faces.specs import DERIVERS
from mer_plugins.fusion.specs import FUSIONS
from mer_plugins.image.specs import IMAGE
from mer_plugins.speech.specs import HEARING, SPEECH
from mer_plugins.text.specs import RANKERS, TEXT
from mer_plugins.video.specs import VIDEO

TRAINERS = [
    TrainerSpec(
        name="cv",
        target="mer_plugins.trainers.cv:CrossValidation",
        options="mer_plugins.trainers.options:CvOptions",
        summary="k folds as one stacked model, modality dropout, honest selection",
        search={"lr": (1e-3, 1e-4)},
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
    PresetSpec(
        name="standard-zh",
        summary="Chinese: HuBERT, CLIP on faces and on whole frames, RoBERTa; weights by 'mer weights fetch'",
        extractors={"speech": ("hubert",), "image": ("clip",), "video": ("clip-video",), "text": ("hf-text",)},
        extractor_options={
            "hubert": {"model": "chinese-hubert-large"},
            "hf-text": {"model": "chinese-roberta-wwm-ext-large"},
        },
        derivers={"faces": "haar"},
    ),
    PresetSpec(
        name="standard-en",
        summary="English: WavLM, CLIP on faces and on whole frames, RoBERTa; weights by 'mer weights fetch'",
        extractors={"speech": ("wavlm",), "image": ("clip",), "video": ("clip-video",), "text": ("hf-text",)},
        extractor_options={"wavlm": {"model": "wavlm-large"}, "hf-text": {"model": "roberta-large"}},
        derivers={"faces": "haar"},
    ),
    PresetSpec(
        name="mer2024",
        summary="the MER2024-SEMI winner: HuBERT, CLIP on faces, EmoVCLIP, GPT4-Baichuan; mean and variance",
        extractors={
            "speech": ("hubert",),
            "image": ("clip",),
            "video": ("emovclip",),
            "text": ("gpt4-baichuan",),
        },
        extractor_options={
            "hubert": {"model": "chinese-hubert-large"},
            "clip": {"model": "clip-vit-large-patch14", "fps": None},
            "emovclip": {"model": "clip-vit-large-patch14"},
            "gpt4-baichuan": {"model": "baichuan-13b-base"},
        },
        derivers={"faces": "haar", "ranking": "gpt-ranking"},
        pooling="mean_var",
        trainer_options={"modality_dropout": 0.3, "self_training": "class-balanced"},
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
            "pseudo_from": "ensemble",
        },
        fusion_options={"hidden": 256, "dropout": 0.3, "absent": "zero"},
    ),
]


@hookimpl
def mer_specs() -> Iterable[PluginSpec]:
    """Everything mer ships."""
    return [
        *SPEECH,
        *IMAGE,
        *VIDEO,
        *TEXT,
        *DERIVERS,
        *RANKERS,
        *HEARING,
        *FUSIONS,
        *TRAINERS,
        *DATASETS,
        *PRESETS,
        *PROTOCOLS,
    ]
