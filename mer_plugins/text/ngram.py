"""Text features without weights: hashed n-grams of characters and words, Chinese and English alike.

Method: K. Weinberger et al., "Feature hashing for large scale multitask learning", ICML 2009.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import blake2b

import numpy as np

from mer_core.plugin import Failure, Features, Field, FloatArray, Missing, Options, Sample

CHINESE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
"""Characters of scripts written without spaces: Han and kana."""
LETTER = rf"[^\W{CHINESE}]"
TOKENS = re.compile(rf"(?P<characters>[{CHINESE}]+)|(?P<word>{LETTER}+(?:'{LETTER}+)*)|(?P<mark>[!?]+|\.\.+)")


class NgramOptions(Options):
    """Options of the ``ngram`` extractor."""

    dim: int = Field(512, ge=16, le=65536)
    """Number of feature columns that n-grams are hashed into."""
    characters: int = Field(3, ge=1, le=5)
    """Longest n-gram of Chinese characters."""
    words: int = Field(2, ge=1, le=5)
    """Longest n-gram of words."""


class Ngram:
    """Features [D] of a transcript: signed hashed counts, logarithmic, of length 1."""

    def __init__(self, options: NgramOptions, device: str) -> None:
        self.options = options

    @property
    def dim(self) -> int:
        """The option of that name."""
        return self.options.dim

    def extract(self, batch: Sequence[Sample]) -> list[Features | Missing | Failure]:
        """Features of each clip; missing where the transcript has no words."""
        return [self._one(sample.text().content) for sample in batch]

    def _one(self, text: str) -> Features | Missing:
        if not any(character.isalnum() for character in text):
            return Missing("no words")
        counts = Counter(grams(text, self.options.characters, self.options.words))
        return Features(hashed(counts, self.options.dim))


def grams(text: str, characters: int, words: int) -> Iterator[str]:
    """All n-grams of ``text``: of 1 to ``characters`` Chinese characters, of 1 to ``words`` words.

    Case and width of letters do not count. Exclamation and question marks and dots of omission
    stand as words, however often each is repeated.
    """
    run: list[str] = []
    plain = unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")
    for token in TOKENS.finditer(plain):
        if token.lastgroup == "characters":
            yield from ngrams(token.group(), characters, "c", "")
        elif token.lastgroup == "word":
            run.append(token.group())
        else:
            run.append("".join(dict.fromkeys(token.group())))
    yield from ngrams(run, words, "w", " ")


def ngrams(items: Sequence[str], longest: int, kind: str, glue: str) -> Iterator[str]:
    """Neighbouring items, 1 to ``longest`` of them, joined and marked with their ``kind``."""
    for length in range(1, longest + 1):
        for start in range(len(items) - length + 1):
            yield f"{kind}{length}:{glue.join(items[start : start + length])}"


def hashed(counts: Counter[str], dim: int) -> FloatArray:
    """Vector [dim] of length 1: each n-gram adds plus or minus ``1 + log(count)`` to one column.

    The hash is the same in every process and on every machine, unlike Python's own.
    """
    vector = np.zeros(dim, np.float32)
    for gram in sorted(counts):
        number = int.from_bytes(blake2b(gram.encode(), digest_size=8).digest(), "little")
        vector[(number >> 1) % dim] += (1 + np.log(counts[gram])) * (1 if number & 1 else -1)
    length = np.linalg.norm(vector)
    return vector / length if length else vector
