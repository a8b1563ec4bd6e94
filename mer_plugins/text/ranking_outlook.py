"""What asking a language model would send and cost, without asking it. Light."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from mer_core.plugin import Outlook
from mer_plugins.text.ranking_answers import Answers
from mer_plugins.text.ranking_options import KEY_VARIABLE, RankingOptions
from mer_plugins.text.ranking_prices import PRICES, Price
from mer_plugins.text.ranking_prompt import filled, names

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
    answered = tokens(json.dumps(names(options.ranked, options.language), ensure_ascii=False)) * len(new)
    price = _listed(options)
    return Outlook(
        host=options.host,
        new=len(new),
        cached=len(distinct) - len(new),
        characters=sum(map(len, prompts)),
        tokens=asked + answered,
        cost=_cost(options, price, asked, answered),
        currency="$" if price else "",
        basis=f"at OpenAI's list price of {price.month}" if price else "",
        prices=("price_in", "price_out"),
        unset=KEY_VARIABLE if options.lacks_key else "",
        instead=_instead(len(known) > 0),
    )


def _instead(cached: bool) -> str:
    """How to do without asking."""
    some = " To do with those that are cached: -o gpt-ranking.ranker=cached." if cached else ""
    return (
        "To read rankings from a table: -o gpt-ranking.ranker=file -o gpt-ranking.table=FILE.csv."
        f"{some} To do without any: -o gpt-ranking.ranker=none."
    )


def _listed(options: RankingOptions) -> Price | None:
    """The list price, where OpenAI is asked and the user gave no price."""
    given = options.price_in is not None or options.price_out is not None
    return None if given or not options.at_openai else PRICES.get(options.model)


def _cost(options: RankingOptions, listed: Price | None, asked: int, answered: int) -> float | None:
    """What that many tokens cost; None where a price is not known."""
    price_in, price_out = (listed.asked, listed.answered) if listed else (options.price_in, options.price_out)
    return None if price_in is None or price_out is None else (asked * price_in + answered * price_out) / 1e6
