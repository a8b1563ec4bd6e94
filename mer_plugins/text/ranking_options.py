"""Options of ``gpt-ranking``, validated before anything heavy is imported."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import FilePath, field_validator, model_validator

from mer_core.plugin import Clip, Field, OptionError, Options, Outlook, content_digest
from mer_plugins.text.ranking_prompt import MER2024, PROMPTS, names, version

OPENAI = "https://api.openai.com/v1"
KEY_VARIABLE = "OPENAI_API_KEY"


class RankingOptions(Options):
    """Options of the ``gpt-ranking`` deriver. The key is read from OPENAI_API_KEY and is no option."""

    ranker: Literal["openai", "cached", "file", "none"] = "openai"
    """Ask a language model, use only its answers that are cached, read a table, or rank nothing (plain text)."""
    table: FilePath | None = None
    """For ranker=file: CSV (or .tsv) with the columns ranking, and text or id. Equal texts share one ranking."""
    allow_upload: bool = False
    """Permit that transcripts are sent to the server, as --allow-upload does. It is never saved."""
    model: str = Field(default="gpt-4", min_length=1)
    """The language model, as the server calls it."""
    base_url: str = OPENAI
    """Address of an OpenAI-compatible server. Answers are cached by model and prompt, whichever server gave them."""
    classes: tuple[str, ...] | None = Field(default=None, min_length=2)
    """The labels that are ranked; null: the run's classes."""
    language: Literal["zh", "en"] = "zh"
    """Language of the prompt and of the labels in it."""
    prompt: str = PROMPTS["zh"]
    """What is asked: {text} is the transcript, {labels} and {count} the classes. By default in the language above."""
    price_in: float | None = Field(default=None, ge=0)
    """Price of a million tokens that are sent, in any currency; without prices, OpenAI's list price of some month."""
    price_out: float | None = Field(default=None, ge=0)
    """Price of a million tokens that are answered. With both prices, the cost can be told beforehand."""
    concurrency: int = Field(default=8, ge=1, le=64)
    """Questions that are asked at once."""
    tries: int = Field(default=5, ge=1, le=20)
    """How often a question is asked before its clip goes on without a ranking, until the next run."""
    backoff: float = Field(default=1.0, ge=0)
    """Seconds before the second try, twice as many before each further one; longer where the server says so."""
    longest_wait: float = Field(default=60.0, ge=0)
    """Seconds. A server that asks for a longer wait is asked no more in this run."""
    timeout: float = Field(default=60.0, gt=0)
    """Seconds that an answer may take."""

    @model_validator(mode="before")
    @classmethod
    def _in_language(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("language") in PROMPTS and not values.get("prompt"):
            return {**values, "prompt": PROMPTS[values["language"]]}
        return values

    @field_validator("prompt")
    @classmethod
    def _asks(cls, prompt: str) -> str:
        if "{text}" not in prompt:
            raise OptionError("the option prompt has no {text}.", "Put {text} where the transcript belongs.")
        return prompt

    @field_validator("base_url")
    @classmethod
    def _address(cls, url: str) -> str:
        """Without secrets: it is saved with the run, and errors name its host."""
        try:
            parts = urlsplit(url)
            plain = parts.scheme in ("http", "https") and bool(parts.hostname)
            secret = bool(parts.username or parts.password or parts.query or parts.fragment)
        except ValueError:
            plain = secret = False
        if secret:
            raise OptionError(
                "the option base_url holds a name, a password or a query.", "Put the key into OPENAI_API_KEY."
            )
        if not plain:
            raise OptionError("the option base_url is no http(s) address.", f"Write it like {OPENAI}.")
        return url

    @model_validator(mode="after")
    def _whole(self) -> RankingOptions:
        if self.ranker == "file" and self.table is None:
            raise OptionError("gpt-ranking: ranker=file needs a table.", "Name it: -o gpt-ranking.table=FILE.csv.")
        shown = [name.casefold() for name in names(self.ranked, self.language)]
        if len(set(shown)) < len(shown):
            raise OptionError(
                "gpt-ranking: two of the classes are the same.", "Name them with -o gpt-ranking.classes='[...]'."
            )
        return self

    @property
    def ranked(self) -> tuple[str, ...]:
        """The labels in force; without a run those of MER2024."""
        return self.classes or MER2024

    @property
    def host(self) -> str:
        """Where transcripts go."""
        return urlsplit(self.base_url).netloc

    @property
    def at_openai(self) -> bool:
        """Whether OpenAI itself is asked."""
        return self.base_url.rstrip("/") == OPENAI

    @property
    def lacks_key(self) -> bool:
        """Whether the server wants a key and there is none; another one than OpenAI's may want none."""
        return self.at_openai and not os.environ.get(KEY_VARIABLE)

    @property
    def prompt_version(self) -> str:
        """Stands for all of the prompt but the transcript."""
        return version(self.prompt, self.ranked, self.language)

    def fingerprint(self) -> Mapping[str, Any]:
        """What is asked and of which model counts; how, where and with whose permission does not."""
        how = ("allow_upload", "base_url", "concurrency", "tries", "backoff", "longest_wait", "timeout")
        paid = ("price_in", "price_out")
        asked = "openai" if self.ranker == "cached" else self.ranker
        table: Path | None = self.table if self.ranker == "file" else None
        return {
            **dict.fromkeys((*how, *paid)),
            "ranker": asked,
            "classes": self.ranked,
            "table": content_digest(table) if table else None,
        }

    def outlook(self, clips: Sequence[Clip]) -> Outlook | None:
        """What ranking the clips' transcripts would send; None where nothing is asked."""
        from mer_plugins.text.ranking_outlook import outlook

        return outlook(self, [clip.text or "" for clip in clips]) if self.ranker == "openai" else None

    def remarks(self, clips: Sequence[Clip]) -> tuple[str, ...]:
        """How many clips the table lacks.

        Raises:
            OptionError: it lacks all of them, or cannot be read.
        """
        if self.ranker != "file" or self.table is None:
            return ()
        from mer_plugins.text.ranking_gaps import gaps
        from mer_plugins.text.ranking_table import RankingTable

        return gaps(RankingTable(self.table, self.ranked), clips)
