"""Nothing leaves the machine without permission: what would be sent is told first, in runs, plans and predictions."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_toys import sound
from ranking_server import GOOD, KEY, Server, serving

from mer_core.cli.app import run_app
from mer_core.errors import UsageError
from mer_core.plugin import (
    AudioInput,
    Clip,
    Derived,
    DerivedInput,
    DeriverSpec,
    ExtractorSpec,
    Features,
    Field,
    Options,
    Outlook,
    PluginSpec,
    Sample,
    TextInput,
    hookimpl,
)
from mer_core.registry import Catalogue, discover
from mer_core.uploads import Upload, refuse_uploads, unpermitted
from mer_core.workflows.extract import extract
from mer_core.workflows.workspace import Workspace, open_workspace
from mer_plugins.text.ranking_options import RankingOptions
from mer_plugins.text.ranking_outlook import tokens

CLASSES = ("happy", "angry", "calm")
TEXTS = {"happy": "今天真好", "angry": "你怎么敢", "calm": "我不知道"}
N = 12


class Reader:
    """Features [6]: where each class stands in the ranking, -1 where there is none."""

    dim = 6

    def __init__(self, options: Options, device: str) -> None:
        pass

    def extract(self, batch: Sequence[Sample]) -> list[Features]:
        return [self._one(sample) for sample in batch]

    def _one(self, sample: Sample) -> Features:
        found, values = sample.inputs["ranking"], np.full(6, -1.0, np.float32)
        if isinstance(found, Derived):
            values[: len(found.arrays["order"])] = found.arrays["order"]
        return Features(values)


class Ear:
    """Hears the same words in every clip, and its number."""

    def __init__(self, options: Options, device: str) -> None:
        pass

    def derive(self, batch: Sequence[Sample]) -> list[Derived]:
        return [Derived({}, {"text": f"我听见{sample.id}", "language": "zh"}) for sample in batch]


class TellerOptions(Options):
    """Options of an extractor that asks a server of its own."""

    allow_upload: bool = False
    """Permission."""
    size: int = Field(default=3, ge=1)
    """Anything."""

    def outlook(self, clips: Sequence[Clip]) -> Outlook:
        """All of them, every time."""
        return Outlook(host="far.example", new=len(clips), what="voice", instead="Or be quiet.")


class Teller(Reader):
    """An extractor that sends something."""

    def _one(self, sample: Sample) -> Features:
        return Features(np.ones(6, np.float32))


class Plugin:
    @hookimpl
    def mer_specs(self) -> list[PluginSpec]:
        inputs: Any = {"text": TextInput(), "ranking": DerivedInput("ranking", optional=True)}
        shared: Any = {"modality": "text", "level": "clip", "per_thread": True}
        options = "test_upload:TellerOptions"
        return [
            ExtractorSpec(name="rank-reader", target="test_upload:Reader", inputs=inputs, **shared),
            DeriverSpec(
                name="ear", target="test_upload:Ear", produces="transcript", inputs={"audio": AudioInput(rate=8000)}
            ),
            ExtractorSpec(
                name="teller", target="test_upload:Teller", options=options, inputs={"text": TextInput()}, **shared
            ),
        ]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def with_plugin(plugins: Any = ()) -> Catalogue:
        return discover([Plugin(), *plugins])

    monkeypatch.setattr("mer_core.workflows.workspace.discover", with_plugin)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(GOOD) as found:
        yield found


def manifest(path: Path, count: int = N, more: str = "") -> str:
    """Clips of three classes; every fourth says nothing."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "text", "label"])
        for number in range(count):
            label = CLASSES[number % 3]
            rows.writerow([f"c{number}", "" if number % 4 == 3 else f"{TEXTS[label]}{number}{more}", label])
    return str(path)


def arguments(server: Server, data: str, *more: str) -> list[str]:
    url = f"gpt-ranking.base_url={server.url}"
    return ["--data", data, "-e", "text=rank-reader,ngram", "-m", "text", "-o", url, *more]


QUICK = ["--epochs", "2", "--folds", "2", "--device", "cpu"]


def mer(capsys: pytest.CaptureFixture[str], *command: str) -> tuple[int, str, str]:
    code = run_app(list(command))
    out, err = capsys.readouterr()
    assert KEY not in out + err
    return code, out, " ".join(err.split())


def test_a_plan_shows_what_would_be_sent(capsys: pytest.CaptureFixture[str], server: Server, tmp_path: Path) -> None:
    asked = arguments(server, manifest(tmp_path / "a.csv"), "--plan")
    code, out, _ = mer(capsys, "run", *asked)
    assert code == 0
    host = server.url[7:-3]
    assert f"Upload    gpt-ranking would send 9 transcripts to {host} (" in out
    assert "cost unknown: set gpt-ranking.price_in and gpt-ranking.price_out" in out
    assert "It needs --allow-upload." in out
    assert "It needs --allow-upload." not in mer(capsys, "run", *asked, "--allow-upload")[1]
    prices = ["-o", "gpt-ranking.price_in=30", "-o", "gpt-ranking.price_out=60"]
    (upload,) = json.loads(mer(capsys, "run", *asked, *prices, "--json")[1])["uploads"]
    assert {key: upload[key] for key in ("plugin", "host", "what", "new", "cached", "permitted")} == {
        "plugin": "gpt-ranking",
        "host": host,
        "what": "transcript",
        "new": 9,
        "cached": 0,
        "permitted": False,
    }
    assert upload["characters"] > 9 * 60
    assert 30 * upload["tokens"] / 1e6 < upload["cost"] < 60 * upload["tokens"] / 1e6
    for ranker in ("none", "cached"):
        document = json.loads(mer(capsys, "run", *asked, "-o", f"gpt-ranking.ranker={ranker}", "--json")[1])
        assert document["uploads"] == []
    assert server.questions == []


def test_a_run_stops_before_it_sends(capsys: pytest.CaptureFixture[str], server: Server, tmp_path: Path) -> None:
    asked = arguments(server, manifest(tmp_path / "a.csv"))
    for command in (["run", *asked], ["extract", *asked]):
        code, _, err = mer(capsys, *command)
        assert code == 2
        assert f"gpt-ranking would send 9 transcripts to {server.url[7:-3]} (" in err
        assert "Permit it with --allow-upload (in Python: allow_upload=True)." in err
        assert "To do without any: -o gpt-ranking.ranker=none." in err
        assert "ranker=cached" not in err  # where nothing is
    assert server.questions == []


def test_from_the_first_run_to_predictions(
    capsys: pytest.CaptureFixture[str], server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [*arguments(server, manifest(tmp_path / "a.csv")), *QUICK]
    code, _, err = mer(capsys, "run", *asked, "--allow-upload", "--out", "one")
    assert code == 0, err
    assert f"gpt-ranking sends 9 transcripts to {server.url[7:-3]} (" in err
    prompts = [question["messages"][0]["content"] for question in server.questions]
    assert len(prompts) == 9
    assert all("三个情感标签（高兴、愤怒、平静）" in one or "三个情感标签（" in one for one in prompts)
    assert not any("担心" in one for one in prompts)  # no class of this run
    assert "allow_upload = false" in (tmp_path / "one" / "config.toml").read_text()
    assert '"allow_upload": true' not in (tmp_path / "one" / "model" / "pipeline.json").read_text()
    log = (tmp_path / "one" / "log.jsonl").read_text()
    (event,) = [one for one in map(json.loads, log.splitlines()) if one["event"] == "upload"]
    assert (event["new"], event["permitted"]) == (9, True)
    assert TEXTS["happy"] not in log

    # a finished run needs neither key nor permission; its file permits nothing to other clips
    monkeypatch.delenv("OPENAI_API_KEY")
    assert mer(capsys, "run", *asked, "--out", "two")[0] == 0
    other = manifest(tmp_path / "b.csv", 6, "!")
    code, _, err = mer(capsys, "run", "--config", "one/config.toml", "--data", other)
    assert (code, "would send 5 transcripts" in err) == (2, True)
    assert len(server.questions) == 9

    # predictions ask for the classes of training, of clips without labels too
    new = tmp_path / "new.csv"
    new.write_text("id,text\nx,今天真好吗\n", encoding="utf-8")
    code, _, err = mer(capsys, "predict", str(new), "--model", "one/model")
    assert (code, "would send 1 transcript to" in err) == (2, True)
    code, out, err = mer(capsys, "predict", str(new), "--model", "one/model", "--allow-upload", "--json")
    assert code == 0, err
    assert json.loads(out)["failures"] == []
    assert "三个情感标签（" in server.questions[9]["messages"][0]["content"]


def test_the_option_is_a_permission_too(capsys: pytest.CaptureFixture[str], server: Server, tmp_path: Path) -> None:
    asked = arguments(server, manifest(tmp_path / "a.csv"), "-o", "gpt-ranking.allow_upload=true")
    code, _, err = mer(capsys, "extract", *asked)
    assert (code, "sends 9 transcripts" in err) == (0, True)
    assert len(server.questions) == 9


def test_without_what_is_not_cached(capsys: pytest.CaptureFixture[str], server: Server, tmp_path: Path) -> None:
    """A run with some rankings goes on with these; the others are failures, and are asked about when they may."""
    data = manifest(tmp_path / "a.csv", 4)
    assert mer(capsys, "extract", *arguments(server, data, "--allow-upload"))[0] == 0
    more = arguments(server, manifest(tmp_path / "b.csv", 8))
    code, out, _ = mer(capsys, "extract", *more, "-o", "gpt-ranking.ranker=cached", "--json")
    assert code == 0
    assert {one["reason"] for one in json.loads(out)["failures"]} == {"no ranking is cached"}
    (upload,) = json.loads(mer(capsys, "run", *more, "--plan", "--json")[1])["uploads"]
    assert (upload["new"], upload["cached"]) == (3, 3)  # what is stored counts as cached
    assert len(server.questions) == 3


def space(told: list[str]) -> Workspace:
    return open_workspace(workers=1, notice=told.append)


def test_any_plugin_may_say_what_it_sends(tmp_path: Path) -> None:
    told: list[str] = []
    data = manifest(tmp_path / "a.csv", 4)
    settings: Any = {"modalities": ["text"], "extractors": {"text": "teller"}, "space": space(told)}
    with pytest.raises(UsageError, match=r"teller would send 4 voices to far\.example .*Or be quiet\."):
        extract(data, **settings)
    first = extract(data, **settings, allow_upload=True)
    assert told == [f"{first.uploads[0].told('sends')}."]
    assert told[0].startswith("teller sends 4 voices to far.example")
    again = extract(data, **settings)  # with nothing left to send
    assert again.fingerprints == first.fingerprints
    assert len(told) == 1


def test_texts_that_are_to_be_recognised_first_count(server: Server, tmp_path: Path) -> None:
    """Nobody knows yet what they are; they are not sent unless that is permitted."""
    for number in range(3):
        sound(tmp_path / f"{number}.wav", 0.5, 0.2 + 0.1 * number)
    data = tmp_path / "a.csv"
    data.write_text("id,audio,text,label\na,0.wav,今天真好,happy\nb,1.wav,,angry\nc,2.wav,,happy\n", encoding="utf-8")
    told: list[str] = []
    settings: Any = {
        "modalities": ["text"],
        "extractors": {"text": "rank-reader"},
        "derivers": {"transcript": "ear"},
        "transcribe": True,
        "options": {"gpt-ranking": {"base_url": server.url}},
    }
    words = "1 transcript, and what is recognised in 2 clips without text, to 127"
    with pytest.raises(UsageError, match=f"would send {words}"):
        extract(data, space=space(told), **settings)
    assert server.questions == []
    found = extract(data, space=space(told), allow_upload=True, **settings)
    assert [f"sends {words}" in one for one in told] == [True]
    asked = sorted(question["messages"][0]["content"].partition("文本：")[2] for question in server.questions)
    assert asked == ["“今天真好”", "“我听见b”", "“我听见c”"]
    assert found.report.failures == ()
    again = extract(data, space=space(told), **settings)
    assert (len(told), len(server.questions), again.report.extracted) == (1, 3, {"text:rank-reader": 0})


def test_permission_in_words_and_files() -> None:
    outlook = Outlook(host="x", new=1, cached=2, cost=0.123)
    with pytest.raises(UsageError, match=r"p would send 1 transcript to x .* cost about 0\.12\); 2 are cached\."):
        refuse_uploads([Upload(plugin="p", outlook=outlook, permitted=False)])
    assert (
        str(Upload(plugin="p", outlook=outlook, permitted=True, unheard=2))
        == "p would send 1 transcript, and what is recognised in 2 clips without text, to x "
        "(0 characters in all, about 0 tokens, cost about 0.12); 2 are cached"
    )
    refuse_uploads([Upload(plugin="p", outlook=outlook, permitted=True)])
    refuse_uploads([Upload(plugin="p", outlook=Outlook(host="x", new=0, cached=3), permitted=False)])
    values: Mapping[str, Any] = {"derivers": {"a": {"options": {"allow_upload": True, "model": "m"}}}, "n": [1]}
    assert unpermitted(values) == {"derivers": {"a": {"options": {"allow_upload": False, "model": "m"}}}, "n": [1]}


def test_estimates() -> None:
    assert tokens("a" * 400) == 100
    assert tokens("今" * 100) == 130
    clips = [Clip(id=str(number), text=text) for number, text in enumerate(["走", "走 ", "来", "", None])]
    free = RankingOptions(price_in=0.0, price_out=0.0).outlook(clips)
    assert free is not None
    assert (free.new, free.cost) == (2, 0.0)
    half = RankingOptions(price_in=10.0).outlook(clips)
    assert half is not None
    assert half.cost is None
