"""Tokens of a text without the special ones, and what a tokenizer puts around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mer_core.plugin import PluginError
from mer_core.weights import refetch
from mer_plugins.damage import short
from mer_plugins.hf import TOKENIZER_PACKAGES, unreadable

PROBE = "a b"
"""Any text with tokens shows where special tokens go."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Special tokens before and after a text, and the segment of each part.

    BERT: [CLS] text [SEP]; RoBERTa: <s> text </s>; XLNet: text <sep> <cls>, the last of segment 2 (which
    the tokenizer of transformers 5 tells only if asked, unlike that of version 4).
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    segments: tuple[int, ...] | None

    @property
    def size(self) -> int:
        """Number of special tokens."""
        return len(self.before) + len(self.after)

    def around(self, tokens: Sequence[int]) -> list[int]:
        """``tokens`` as the model wants to read them."""
        return [*self.before, *tokens, *self.after]

    def segments_around(self, count: int) -> list[int] | None:
        """The segment of each of :meth:`around`'s tokens; None where the tokenizer knows none."""
        if self.segments is None:
            return None
        head = len(self.before)
        return [*self.segments[:head], *[self.segments[head]] * count, *self.segments[head + 1 :]]


def _unreadable(folder: Path, error: Exception) -> PluginError:
    if any(name in short(error).replace(str(folder), "") for name in TOKENIZER_PACKAGES):
        return unreadable(folder, error)
    what = f"the tokenizer in {folder} cannot be read: {short(error)}."
    return PluginError(what, f"Copy its own files there (vocab.txt, tokenizer.json ...). {refetch(folder)}")


class Tokens:
    """The tokenizer in ``folder``: of transformers, without network, and without code from there unless permitted.

    Raises:
        PluginError: there is none that transformers can read.
    """

    def __init__(self, folder: Path, code: bool = False) -> None:
        from transformers import AutoTokenizer

        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=code)
        except Exception as error:  # whatever the parsers of vocabularies raise
            raise _unreadable(folder, error) from error
        try:
            self.frame = self._frame(folder)
        except PluginError:
            raise
        except Exception as error:  # a vocabulary may be found wanting only when it is used
            raise _unreadable(folder, error) from error

    @property
    def longest(self) -> int:
        """Tokens that the tokenizer's settings allow, special ones included; huge if they do not say."""
        return int(self._tokenizer.model_max_length)

    @property
    def padding(self) -> int:
        """What the tokenizer pads with; 0 if it never does."""
        return int(getattr(self._tokenizer, "pad_token_id", None) or 0)

    @property
    def count(self) -> int:
        """Size of the vocabulary."""
        return len(self._tokenizer)

    def __call__(self, text: str) -> list[int]:
        """The tokens of ``text``, no special ones among them. However long: nothing is cut off."""
        return list(self._tokenizer(text, add_special_tokens=False, truncation=False, verbose=False)["input_ids"])

    def _frame(self, folder: Path) -> Frame:
        """Find the text's own tokens among all: what is left of them and right of them is special."""
        plain = self(PROBE)
        if not plain:
            what = f"the tokenizer in {folder} makes no token of a text: its vocabulary is missing."
            raise PluginError(what, f"Copy its own files there (vocab.txt, tokenizer.json ...). {refetch(folder)}")
        whole = self._tokenizer(PROBE, return_token_type_ids=True)
        tokens = list(whole["input_ids"])
        for start in range(len(tokens) - len(plain) + 1):
            stop = start + len(plain)
            if plain and tokens[start:stop] == plain:
                kinds = whole.get("token_type_ids")
                segments = None if kinds is None else (*kinds[:start], kinds[start], *kinds[stop:])
                return Frame(tuple(tokens[:start]), tuple(tokens[stop:]), segments)
        raise PluginError(
            f"{folder}: its tokenizer changes a text's tokens where it adds special ones.", "Name other weights."
        )
