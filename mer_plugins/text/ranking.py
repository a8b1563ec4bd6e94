"""Rankings of emotion labels by a language model, from transcripts alone (arXiv 2409.07078, section 3.4).

Transcripts leave this machine only where that is permitted (``--allow-upload``). What was answered once is cached.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from mer_core.plugin import Derived, EnvironmentProblem, Failure, Missing, Sample
from mer_plugins.text.ranking_answers import Answers
from mer_plugins.text.ranking_options import KEY_VARIABLE, RankingOptions
from mer_plugins.text.ranking_parse import Ranking, parse
from mer_plugins.text.ranking_prompt import filled
from mer_plugins.text.ranking_table import RankingTable

STAGE = "ranking"
Answer = Derived | Missing | Failure


class Refusal(NamedTuple):
    """Why nothing can be asked, and what to do; no hint where that is as wanted."""

    reason: str
    hint: str


class GptRanking:
    """Derived ``ranking``: info holds the classes, likeliest first; the array ``order`` their places in ``classes``.

    Raises:
        EnvironmentProblem: nothing may be asked (no permission, no key), and no answer is cached either.
    """

    def __init__(self, options: RankingOptions, device: str) -> None:
        self.options = options
        asked, looked_up = self._asked, self._looked_up
        self._rank = {"openai": asked, "cached": asked, "file": looked_up, "none": self._none}[options.ranker]
        self._lock = threading.Lock()
        if options.ranker == "file" and options.table is not None:
            self._table = RankingTable(options.table, options.ranked)
        if options.ranker in ("openai", "cached"):
            self._answers = Answers(options.model, options.prompt_version)
            self._refusal = refusal(options)
            if self._refusal and self._refusal.hint and not len(self._answers):
                raise EnvironmentProblem(f"{self._refusal.reason}.", self._refusal.hint)
            if self._refusal is None:
                from mer_plugins.text.ranking_client import Asker

                self._asker = Asker(options, os.environ.get(KEY_VARIABLE, ""))

    def derive(self, batch: Sequence[Sample]) -> list[Answer]:
        """The ranking of each clip; missing where nothing is said."""
        texts = [sample.text().content.strip() for sample in batch]
        spoken = [number for number, text in enumerate(texts) if text]
        found = self._rank([(batch[number].id, texts[number]) for number in spoken])
        answers: list[Answer] = [Missing("nothing is said") for _ in batch]
        for number, answer in zip(spoken, found, strict=True):
            answers[number] = answer
        return answers

    def _none(self, clips: Sequence[tuple[str, str]]) -> list[Answer]:
        return [Missing("no ranking is wanted") for _ in clips]

    def _looked_up(self, clips: Sequence[tuple[str, str]]) -> list[Answer]:
        return [self._row(*clip) for clip in clips]

    def _row(self, clip: str, text: str) -> Answer:
        found = self._table(clip, text)
        if isinstance(found, str):
            return Failure(found, STAGE) if found else Missing(f"not in {self._table.path.name}")
        return self._derived(found)

    def _asked(self, clips: Sequence[tuple[str, str]]) -> list[Answer]:
        """From the cache, or from the server; equal texts are asked about once."""
        known = {text: self._answers.get(text) for _, text in clips}
        new = [text for text, said in known.items() if said is None]
        found: dict[str, Answer] = {text: self._read(said) for text, said in known.items() if said is not None}
        found |= zip(new, self._ask(new), strict=True)
        return [found[text] for _, text in clips]

    def _ask(self, texts: Sequence[str]) -> list[Answer]:
        if self._refusal:
            return [Failure(self._refusal.reason, STAGE) for _ in texts]
        if not texts:
            return []
        with self._lock:  # so that no more are asked at once than allowed
            pool = ThreadPoolExecutor(min(self.options.concurrency, len(texts)), "ranking")
            try:
                return list(pool.map(self._one, texts))
            except BaseException:
                self._asker.stop()
                raise
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _one(self, text: str) -> Answer:
        """Ask about one text. Only what is a ranking is kept: the rest is asked again in the next run."""
        from mer_plugins.text.ranking_client import Unanswered

        options = self.options
        try:
            said = self._asker.ask(filled(options.prompt, options.ranked, options.language, text))
        except Unanswered as error:
            return Failure(str(error), STAGE)
        answer = self._read(said)
        if isinstance(answer, Derived):
            self._answers.add(text, said)
        return answer

    def _read(self, said: str) -> Derived | Failure:
        found = parse(said, self.options.ranked)
        return self._derived(found) if found else Failure(f"{self.options.model} gave no ranking of the classes", STAGE)

    def _derived(self, found: Ranking) -> Derived:
        places = [self.options.ranked.index(name) for name in found.labels]
        return Derived(
            {"order": np.array(places, np.int64)}, {"ranking": list(found.labels), "repaired": found.repaired}
        )


def refusal(options: RankingOptions) -> Refusal | None:
    """Why the server must not, or cannot, be asked; None if it may."""
    if options.ranker == "cached":
        return Refusal("no ranking is cached", "")
    if not options.allow_upload:
        return Refusal(
            f"transcripts may not be sent to {options.host}",
            "Permit it with --allow-upload, read rankings from a table with "
            "-o gpt-ranking.ranker=file, or do without them: -o gpt-ranking.ranker=none.",
        )
    if options.lacks_key:
        return Refusal(f"{options.host} wants a key, and {KEY_VARIABLE} is not set", f"Set {KEY_VARIABLE}.")
    return None
