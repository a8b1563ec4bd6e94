"""Texts as CLIP's tokens: checked against the model, and cut behind the last end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from mer_core.plugin import PluginError, UsageError
from mer_plugins.video.prompts_plan import FEW, PromptPlan

Tokenize = Callable[[list[str]], Tensor]
"""Texts to tokens [texts, length], from the start token to the end token, then padding."""


def tokenised(model: Any, texts: Sequence[str], tokenize: Tokenize) -> Tensor:
    """Tokens [C, L] of ``texts``, no longer than the longest needs, where the model's mask allows that.

    Raises:
        PluginError: the tokenizer is not this model's.
        UsageError: two different texts are the same to the model.
    """
    tokens = torch.as_tensor(tokenize(list(texts))).long()
    if int(tokens.max()) >= model.vocab_size:
        raise PluginError(
            f"the tokenizer knows more words than the model, which has {model.vocab_size}.",
            "Use the tokenizer that the weights came with.",
        )
    longest = int(ends(model, tokens).max()) + 1
    if longest > model.context_length:
        raise PluginError(
            f"a text has {longest} tokens, and the model takes {model.context_length}.", "Use shorter class names."
        )
    rows = [tuple(row) for row in tokens.tolist()]
    if len(set(rows)) < len(set(texts)):
        raise UsageError(f"The model cannot tell apart {', '.join(map(repr, texts))}.", "Use shorter or other names.")
    causal = model.attn_mask is not None and model.text_pool_type in ("argmax", "eos")
    return tokens[:, : longest if causal else model.context_length]


def ends(model: Any, tokens: Tensor) -> Tensor:
    """Place of each text's end token [C]: its number is the largest, or the one that the model names."""
    marks = (tokens == model.text_eos_id).int() if model.text_pool_type == "eos" else tokens
    return marks.argmax(dim=-1)


def context_tokens(model: Any, plan: PromptPlan, tokenize: Tokenize) -> Tensor | None:
    """Tokens [n] of the words at whose vectors learning begins; None where it begins at random.

    Raises:
        UsageError: the words are fewer than the prompts, which would then stand in the place of the class.
    """
    tokens = torch.as_tensor(tokenize([plan.prefix])).long()
    plan.require(int(ends(model, tokens)[0]) - 1)
    if plan.context.strip() and plan.tokens <= FEW:
        return tokens[0, 1 : 1 + plan.tokens]
    return None
