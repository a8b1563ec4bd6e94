"""From what a language model answers, or what a table holds, to a ranking of the classes. Light."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mer_plugins.text.ranking_prompt import SYNONYMS

SEPARATORS = re.compile(r"[>,、→;；，|/\n\r\t:：\[\]{}。=≥]|->|\d+[.．)）]")
WRAPPING = " \t\"'“”‘’「」『』`*#()（）.!！-_ "
NUMBER = "0123456789%"


class Ranking(NamedTuple):
    """Classes, the likeliest first, each once. ``repaired``: the answer had others, some twice, or not all."""

    labels: tuple[str, ...]
    repaired: bool


def parse(answer: str, classes: Sequence[str], fewest: int | None = None) -> Ranking | None:
    """The ranking in ``answer``; None if there is none.

    Understood are a JSON array, labels between separators, and numbered lists, in Chinese or English, other
    words for a label included. Of labels that come twice the first counts; labels that do not come follow in
    the order of ``classes``. An answer that is no JSON must name ``fewest`` of them, by default half: two or
    three are as likely in an excuse as in a ranking.
    """
    items = _array(answer)
    known = _spellings(classes)
    words = list(filter(None, map(_key, SEPARATORS.split(_folded(answer))))) if items is None else items
    named = [_meant(word, known) for word in words if _meant(word, known) or word.strip(NUMBER)]
    found = list(dict.fromkeys(name for name in named if name is not None))
    if fewest is None:
        fewest = 1 if items is not None else (len(classes) + 1) // 2
    if len(found) < max(1, fewest):
        return None
    whole = (*found, *(name for name in classes if name not in found))
    return Ranking(whole, repaired=len(named) != len(found) or len(found) != len(classes))


def _array(answer: str) -> list[str] | None:
    """The JSON array of texts in ``answer``, whatever stands around it."""
    for start in (place for place, letter in enumerate(answer) if letter == "["):
        try:
            found: Any = json.JSONDecoder().raw_decode(answer[start:])[0]
        except ValueError:
            continue
        if found and all(isinstance(item, str) for item in found):
            return list(found)
    return None


def _spellings(classes: Sequence[str]) -> dict[str, str]:
    """Every way to write a class; its own name goes before another's synonym."""
    own = {_key(name): name for name in classes}
    other: dict[str, str] = {}
    for name, words in SYNONYMS.items():
        spellings = [_key(word) for word in (name, *words)]
        for meant in [own[spelling] for spelling in spellings if spelling in own][:1]:
            other |= {spelling: meant for spelling in spellings if spelling not in own}
    return {**other, **own}


def _meant(word: str, known: Mapping[str, str]) -> str | None:
    """The class of a word, which may have its number or share before or behind it."""
    return known.get(_key(word)) or known.get(_key(word).strip(NUMBER + WRAPPING))


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _key(word: str) -> str:
    return _folded(word).strip(WRAPPING)
