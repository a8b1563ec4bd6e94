"""Texts of classes through CLIP's text tower: the tokens that all published weights share, and plain embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from mer_core.plugin import FloatArray
from mer_plugins.video.emovclip_words import TEMPLATE
from mer_plugins.video.prompts import zero_shot
from mer_plugins.video.prompts_words import Tokenize


def tokenizer(model: nn.Module) -> Tokenize:
    """OpenAI's tokens, which come with open_clip, as long as ``model`` takes them."""
    from open_clip.tokenizer import SimpleTokenizer

    made: Any = SimpleTokenizer(context_length=model.context_length)

    def tokenize(texts: list[str]) -> Tensor:
        found: Tensor = made(texts)
        return found

    return tokenize


def class_embeddings(model: nn.Module, words: Sequence[str], template: str = TEMPLATE) -> FloatArray:
    """float32 [C, D], not normalised: each of ``words`` in ``template`` through CLIP as it is.

    Raises:
        PluginError: the model has other tokens.
    """
    found: FloatArray = zero_shot(model, words, tokenizer(model), template).float().cpu().numpy()
    return np.ascontiguousarray(found)
