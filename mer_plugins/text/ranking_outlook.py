"""What asking a language model would send and cost, without asking it. Light."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mer_core.plugin import Outlook
from mer_plugins.text.ranking_answers import Answers
from mer_plugins.text.ranking_prompt import filled, names

if TYPE_CHECKING:
    from mer_plugins.text.ranking_options import RankingOptions

PER_WIDE, PER_ASCII = 1.3, 0.25
"""Tokens per letter: of Chinese and the like, and of English. Rather too many than too few."""
PER_MESSAGE = 8
"""Tokens that a question has beside its text."""


def tokens(text: str) -> int:
    """About how many tokens ``text`` has."""
    plain = sum(letter.isascii() for letter in text)
    return math.ceil(PER_ASCII * plain + PER_WIDE * (len(text) - plain))


def outlook(options: RankingOptions, texts: Sequence[str]) -> Outlook:
    """What ranking ``texts`` would send; each is sent once, and none that is cached."""
    known = Answers(options.model, options.prompt_version)
    distinct = list(dict.fromkeys(text.strip() for text in texts if text.strip()))
    new = [text for text in distinct if known.get(text) is None]
    prompts = [filled(options.prompt, options.ranked, options.language, text) for text in new]
    asked = sum(tokens(prompt) + PER_MESSAGE for prompt in prompts)
    answer = tokens(json.dumps(names(options.ranked, options.language), ensure_ascii=False))
    return Outlook(
        host=options.host,
        new=len(new),
        cached=len(distinct) - len(new),
        characters=sum(map(len, prompts)),
        tokens=asked + answer * len(new),
        cost=_cost(options, asked, answer * len(new)),
        prices=("price_in", "price_out"),
        instead="To do with the rankings that are cached: -o gpt-ranking.ranker=cached; without any: ranker=none.",
    )


def _cost(options: RankingOptions, asked: int, answered: int) -> float | None:
    if options.price_in is None or options.price_out is None:
        return None
    return (asked * options.price_in + answered * options.price_out) / 1e6
