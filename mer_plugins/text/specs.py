"""Specs of the text plugins. Light: nothing here imports numpy or torch."""

from __future__ import annotations

from mer_core.plugin import ExtractorSpec, TextInput

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
