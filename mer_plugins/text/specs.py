"""Specs of the text plugins. Light: nothing here imports numpy or torch."""

from __future__ import annotations

from mer_core.plugin import DerivedInput, DeriverSpec, ExtractorSpec, TextInput
from mer_plugins.text.weights import APACHE, BAICHUAN_LICENCE, DECODERS, ENCODERS

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
    ExtractorSpec(
        name="hf-text",
        target="mer_plugins.text.transformer:HfText",
        options="mer_plugins.text.transformer_options:HfTextOptions",
        summary="BERT, RoBERTa, MacBERT, ELECTRA, XLNet and kin: last four layers of each token",
        modality="text",
        inputs={"text": TextInput()},
        requires=("torch", "transformers"),
        weights=ENCODERS,
        weights_licence=f"{APACHE} (the default's)",
    ),
    ExtractorSpec(
        name="baichuan",
        target="mer_plugins.text.baichuan:Baichuan",
        options="mer_plugins.text.baichuan_options:BaichuanOptions",
        summary="Baichuan-13B and Baichuan2, layer by layer in 8 GB: last four layers of each token",
        modality="text",
        inputs={"text": TextInput()},
        requires=("torch", "sentencepiece"),
        install="pip install 'mer-toolkit[baichuan]'",
        weights=DECODERS,
        weights_licence=BAICHUAN_LICENCE,
    ),
    ExtractorSpec(
        name="gpt4-baichuan",
        target="mer_plugins.text.gpt4_baichuan:Gpt4Baichuan",
        options="mer_plugins.text.gpt4_baichuan_options:Gpt4BaichuanOptions",
        summary="Baichuan reads the transcript and a language model's ranking of the emotions (MER2024 winner)",
        modality="text",
        inputs={"text": TextInput(), "ranking": DerivedInput("ranking", optional=True)},
        requires=("torch", "sentencepiece"),
        install="pip install 'mer-toolkit[baichuan]'",
        weights=DECODERS,
        weights_licence=BAICHUAN_LICENCE,
    ),
]

RANKERS = [
    DeriverSpec(
        name="gpt-ranking",
        target="mer_plugins.text.ranking:GptRanking",
        options="mer_plugins.text.ranking_options:RankingOptions",
        summary="emotions ranked by GPT-4 or another language model; sends transcripts only with --allow-upload",
        produces="ranking",
        inputs={"text": TextInput()},
        requires=("openai",),
        needs=("server or table",),
    ),
]
