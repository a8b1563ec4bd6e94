"""``gpt-ranking`` and a server on loopback that answers well, badly, late and not at all."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from ranking_server import GOOD, KEY, Reply, Server, serving
from text_models import said

from mer_core.plugin import Derived, Failure
from mer_plugins.text.ranking import GptRanking
from mer_plugins.text.ranking_client import PATIENCE, retry_after
from mer_plugins.text.ranking_options import RankingOptions
from mer_plugins.text.ranking_outlook import outlook

ENGLISH = Reply('["happy", "surprise", "neutral", "worried", "sad", "angry"]')
NONSENSE = [Reply("la la la"), Reply(""), Reply(None), Reply(None, refusal="I cannot help with that, happy, sad.")]
BUSY, BROKEN = Reply(status=429), Reply(status=500)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("MER_CACHE", str(tmp_path / "cache"))


def asked(url: str, **values: Any) -> RankingOptions:
    return RankingOptions(
        **{"allow_upload": True, "base_url": url, "backoff": 0.01, "tries": 3, "model": "toy", **values}
    )


def ranked(server: Server, *texts: str, **values: Any) -> list[Any]:
    ranker = GptRanking(asked(server.url, **values), "cpu")
    return ranker.derive([said(text, str(number)) for number, text in enumerate(texts)])


def labels(answers: Sequence[Any]) -> list[str]:
    return [answer.info["ranking"][0] if isinstance(answer, Derived) else answer.reason for answer in answers]


@pytest.mark.parametrize("reply", [GOOD, ENGLISH])
def test_5_2_what_is_asked(reply: Reply) -> None:
    with serving(reply) as server:
        (found,) = ranked(server, "今天真好")
    assert found.info == {"ranking": ["happy", "surprise", "neutral", "worried", "sad", "angry"], "repaired": False}
    (question,) = server.questions
    assert question["model"] == "toy"
    assert (question["temperature"], question["seed"]) == (0, 0)
    assert question["messages"][0]["content"].endswith("文本：“今天真好”")
    assert server.keys == [f"Bearer {KEY}"]


@pytest.mark.parametrize(
    "first",
    [
        BUSY,
        BROKEN,
        Reply(status=503, headers={"Retry-After": "0"}),
        GOOD._replace(cut=True),
        GOOD._replace(headers={"Content-Type": "text/html"}, content="x", cut=True),
        Reply(status=400, error={"message": "no", "param": "seed"}),
    ],
)
def test_5_2_tried_again(first: Reply) -> None:
    with serving(first, GOOD) as server:
        assert labels(ranked(server, "a")) == ["happy"]
    assert len(server.questions) == 2
    assert ("seed" in server.questions[1]) == (first.error == {})


def test_the_server_says_how_long_to_wait() -> None:
    with serving(Reply(status=429, headers={"Retry-After": "0.3"}), GOOD) as server:
        began = time.monotonic()
        assert labels(ranked(server, "a")) == ["happy"]
        assert time.monotonic() - began >= 0.3


def test_a_wait_that_is_too_long_ends_the_asking() -> None:
    with serving(Reply(status=429, headers={"Retry-After": "3600"})) as server:
        found = ranked(server, *"abcdef", concurrency=1)
    assert set(labels(found)) == {f"the server {server.url[7:-3]} answered 429 and asks to wait 3600 s"}
    assert len(server.questions) == 1


def test_waits_as_servers_write_them() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert retry_after({"retry-after": "7"}) == 7
    assert 25 < retry_after({"retry-after": later}) <= 30
    assert retry_after({"retry-after-ms": "250"}) == 0.25
    assert retry_after({}) == retry_after({"retry-after": "soon"}) == retry_after({"retry-after": "-5"}) == 0


@pytest.mark.parametrize(("reply", "said"), [(BUSY, "answered 429"), (BROKEN, "answered 500")])
def test_tries_are_bounded(reply: Reply, said: str) -> None:
    with serving(reply) as server:
        (found,) = ranked(server, "a")
    assert isinstance(found, Failure)
    assert found.stage == "ranking"
    assert said in found.reason
    assert len(server.questions) == 3


@pytest.mark.parametrize("reply", NONSENSE)
def test_5_2_nonsense_is_not_kept(reply: Reply) -> None:
    with serving(reply, GOOD) as server:
        assert ranked(server, "a") == [Failure("toy gave no ranking of the classes", "ranking")]
        assert labels(ranked(server, "a")) == ["happy"]


def test_a_slow_server() -> None:
    with serving(GOOD._replace(slow=0.4)) as server:
        assert labels(ranked(server, "a", timeout=0.1, tries=1)) == [
            f"the server {server.url[7:-3]} did not answer within 0.1 s"
        ]


def test_a_dead_server_is_given_up() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    ranker = GptRanking(asked(url, concurrency=1, backoff=0.02, tries=2), "cpu")
    began = time.monotonic()
    found = ranker.derive([said(str(number)) for number in range(400)])
    assert set(labels(found)) == {f"the server {url[7:-3]} cannot be reached"}
    assert time.monotonic() - began < 3


def test_a_server_that_is_down_for_all_is_asked_no_more() -> None:
    with serving(BROKEN) as server:
        ranked(server, *map(str, range(50)), concurrency=1, tries=1)
    assert len(server.questions) == PATIENCE


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (Reply(status=401, error={"message": f"Incorrect API key provided: {KEY}."}), "does not take the key"),
        (Reply(status=404), "answered 404"),
        (Reply(status=307, headers={"Location": "http://127.0.0.1:1/v1/chat/completions"}), "answered 307"),
        (Reply(status=429, error={"code": "insufficient_quota"}), "quota is used up"),
    ],
)
def test_what_another_try_cannot_mend(reply: Reply, why: str) -> None:
    with serving(reply) as server:
        found = labels(ranked(server, *"abc", concurrency=1))
    assert all(why in one and KEY not in one for one in found)
    assert len(server.questions) == 1


def test_one_question_that_is_refused_costs_one_clip() -> None:
    with serving(Reply(status=400, error={"code": "content_filter"}), GOOD) as server:
        found = labels(ranked(server, "a", "b", concurrency=1))
    assert "answered 400" in found[0]
    assert found[1] == "happy"


def test_questions_at_once_are_bounded() -> None:
    with serving(GOOD._replace(slow=0.05)) as server:
        ranked(server, *map(str, range(12)), concurrency=3)
        assert server.together == 3
        assert len(server.questions) == 12


def test_5_2_nothing_is_asked_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(GOOD) as server:
        first = ranked(server, "a", "b", " a ")
        upcoming = outlook(asked(server.url), ["a", "c", "c", " "])
        assert (upcoming.new, upcoming.cached) == (1, 1)
        assert len(server.questions) == 2
        ranked(server, "a", model="other")
        ranked(server, "a", language="en")
        assert len(server.questions) == 4
    monkeypatch.delenv("OPENAI_API_KEY")
    again = ranked(server, "a", "b", "a", allow_upload=False)  # no server, key or permission any more
    assert labels(again) == labels(first) == ["happy"] * 3
    assert labels(ranked(server, "a", "new", allow_upload=False)) == [
        "happy",
        f"transcripts may not be sent to {server.url[7:-3]}",
    ]


def test_5_2_what_lies_in_the_cache(tmp_path: Any) -> None:
    with serving(GOOD) as server:
        ranked(server, "a secret that was told")
        (path,) = (tmp_path / "cache" / "rankings").iterdir()
        content = path.read_text()
        assert KEY not in content
        assert "secret" not in content
        assert os.stat(path).st_mode & 0o077 == 0
        path.write_text(content + content[:20])  # a process died while it wrote
        assert labels(ranked(server, "a secret that was told", "b")) == ["happy"] * 2
        assert labels(ranked(server, "b")) == ["happy"]
    assert len(server.questions) == 2
    assert [line for line in path.read_text().splitlines() if not _is_json(line)] == [content[:20]]


def _is_json(line: str) -> bool:
    try:
        return bool(json.loads(line))
    except ValueError:
        return False


def test_a_server_of_ones_own_needs_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with serving(GOOD) as server:
        assert labels(ranked(server, "a")) == ["happy"]
    assert server.keys == ["Bearer none"]
