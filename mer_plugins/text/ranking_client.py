"""Asks an OpenAI-compatible server: bounded tries, backoff, and no word of keys or transcripts in errors."""

from __future__ import annotations

import random
import threading
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import openai

from mer_plugins.text.ranking_options import RankingOptions

PATIENCE = 5
"""After so many questions in a row without any answer, the server counts as dead for this run."""

EXTRAS: dict[str, Any] = {"temperature": 0, "seed": 0, "max_tokens": 256}
"""Left out one by one where a model refuses them."""

NO_KEY = "none"


class Unanswered(Exception):
    """A question without an answer. The reason names neither the key nor what the server wrote."""


class Problem(NamedTuple):
    """What went wrong with one try. ``wait``: seconds that the server asks for; ``final``: for all questions."""

    reason: str
    again: bool = False
    final: bool = False
    wait: float = 0.0


class Asker:
    """Asks questions of one server, from several threads.

    Args:
        key: of the server; empty for one that wants none.
    """

    def __init__(self, options: RankingOptions, key: str) -> None:
        self._options = options
        self._client = openai.OpenAI(
            api_key=key or NO_KEY,
            base_url=options.base_url,
            timeout=options.timeout,
            max_retries=0,
            http_client=openai.DefaultHttpxClient(follow_redirects=False),  # nothing goes to another host
        )
        self._extras = dict(EXTRAS)
        self._lock, self._stopped = threading.Lock(), threading.Event()
        self._resume, self._silent, self._closed = 0.0, 0, ""

    def ask(self, question: str) -> str:
        """The answer; empty where the model says that it refuses.

        Raises:
            Unanswered: after all tries, or at once where another try cannot help.
        """
        problem = Problem("was not asked")
        for number in range(self._options.tries):
            self._pause()
            if self._closed:
                raise Unanswered(self._closed)
            try:
                answer = self._once(question)
            except Exception as error:  # what a server sends can break any part of the client
                problem = self._judge(error)
            else:
                self._silent = 0
                return answer
            if not problem.again:
                break
            if number + 1 < self._options.tries:
                self._delay(max(problem.wait, self._options.backoff * 2**number * random.uniform(0.5, 1.0)))
        raise self._give_up(problem)

    def stop(self) -> None:
        """Questions that wait are given up."""
        self._closed = self._closed or "the run was stopped"
        self._stopped.set()

    def _once(self, question: str) -> str:
        messages: Any = [{"role": "user", "content": question}]
        found: Any = self._client.chat.completions.create(
            model=self._options.model, messages=messages, **dict(self._extras)
        )
        message = found.choices[0].message
        return "" if getattr(message, "refusal", None) else str(message.content or "")

    def _judge(self, error: Exception) -> Problem:
        who = f"the server {self._options.host}"
        if isinstance(error, openai.APITimeoutError):
            return Problem(f"{who} did not answer within {self._options.timeout:g} s", again=True)
        if isinstance(error, openai.APIStatusError):
            return self._status(error, who)
        if isinstance(error, openai.APIConnectionError):
            return Problem(f"{who} cannot be reached", again=True)
        return Problem(f"{who} gave an answer that cannot be read ({type(error).__name__})", again=True)

    def _status(self, error: openai.APIStatusError, who: str) -> Problem:
        status = error.status_code
        said = f"{who} answered {status}"
        if status == 400 and self._left_out(error.param):
            return Problem(said, again=True)
        if status == 401:
            return Problem(f"{said}: it does not take the key in OPENAI_API_KEY", final=True)
        if error.code == "insufficient_quota":
            return Problem(f"{said}: the account's quota is used up", final=True)
        wait = retry_after(error.response.headers)
        if wait > self._options.longest_wait:
            return Problem(f"{said} and asks to wait {wait:.0f} s", final=True)
        if status in (408, 409, 429) or status >= 500:
            return Problem(said, again=True, wait=wait)
        return Problem(said, final=status in (403, 404) or status < 400)

    def _left_out(self, name: str | None) -> bool:
        """Whether ``name`` is an extra that questions had until now."""
        with self._lock:
            return self._extras.pop(name or "", None) is not None

    def _give_up(self, problem: Problem) -> Unanswered:
        with self._lock:
            self._silent += problem.again
            if problem.final or self._silent >= PATIENCE:
                self._closed = self._closed or problem.reason
        return Unanswered(problem.reason)

    def _delay(self, seconds: float) -> None:
        """All threads wait: what one was told holds for all."""
        with self._lock:
            self._resume = max(self._resume, time.monotonic() + seconds)

    def _pause(self) -> None:
        while (left := self._resume - time.monotonic()) > 0 and not self._stopped.is_set() and not self._closed:
            self._stopped.wait(min(left, 1.0))


def retry_after(headers: Any) -> float:
    """Seconds that a server asks to wait: a number, or a date; 0 if it says nothing that can be read."""
    value = headers.get("retry-after") or ""
    try:
        return max(0.0, float(headers["retry-after-ms"]) / 1000 if "retry-after-ms" in headers else float(value))
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())
