"""What is told of rankings: clips that a table lacks, costs, a key that is not set, and what a report says."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ranking_server import KEY, serving
from test_upload import QUICK, TEXTS, Plugin, arguments, manifest, mer

from mer_core.errors import EnvironmentProblem, OptionError
from mer_core.plugin import Clip, Options, Outlook
from mer_core.registry import Catalogue, discover
from mer_core.uploads import Upload, refuse_uploads
from mer_core.workflows.remarks import announce_remarks, find_remarks
from mer_plugins.text.ranking_options import RankingOptions
from mer_plugins.text.ranking_prices import PRICES

LACKING = "6 of 9 clips with a transcript have no ranking in ranks.csv ('c4', 'c5', 'c6' …): their text is read alone."


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def with_plugin(plugins: Any = ()) -> Catalogue:
        return discover([Plugin(), *plugins])

    monkeypatch.setattr("mer_core.workflows.workspace.discover", with_plugin)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("MER_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def table(path: Path, keys: Sequence[str], column: str = "id") -> RankingOptions:
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow([column, "ranking"])
        rows.writerows([key, "happy > angry"] for key in keys)
    return RankingOptions(ranker="file", table=path)


def clips(count: int) -> list[Clip]:
    return [Clip(id=f"c{number}", text=f"走{number} ") for number in range(count)] + [Clip(id="silent", text=" ")]


# clips that a table lacks


@pytest.mark.parametrize("column", ["id", "name", "text"])
def test_clips_that_a_table_lacks_are_counted(tmp_path: Path, column: str) -> None:
    key = "走{}" if column == "text" else "c{}"
    found = table(tmp_path / "r.csv", [key.format(number) for number in (0, 2)], column).remarks
    assert found(clips(1)) == ()
    assert found(clips(3)) == (
        "1 of 3 clips with a transcript has no ranking in r.csv ('c1'): their text is read alone.",
    )
    assert found([Clip(id="none", text=None)]) == ()
    assert RankingOptions(ranker="none").remarks(clips(3)) == ()


@pytest.mark.parametrize(
    ("keys", "column", "said"),
    [
        (
            ["c0.wav", "c1.wav"],
            "id",
            r"none of the 2 .*/r\.csv: its ids are 'c0\.wav', 'c1\.wav'; .*'c0', .*'走0'",
        ),
        (["跑"] * 5 + ["来", "去", "飞"], "text", r"its texts are '跑', '来', '去' …; "),
        ([], "id", "it has no rows"),
        (["很" * 99], "text", f"'{'很' * 24}…'"),
    ],
)
def test_a_table_of_other_clips_is_refused(tmp_path: Path, keys: list[str], column: str, said: str) -> None:
    with pytest.raises(OptionError, match=said) as caught:
        table(tmp_path / "r.csv", keys, column).remarks(clips(2))
    assert "-o gpt-ranking.ranker=none" in caught.value.hint


def test_plan_run_and_prediction_say_the_same_of_a_table(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    table(tmp_path / "ranks.csv", ["c0", "c1", "c2", "c3"])  # c3 says nothing
    read = ["-o", "gpt-ranking.ranker=file", "-o", "gpt-ranking.table=ranks.csv"]
    asked = ["--data", manifest(tmp_path / "a.csv"), "-e", "text=rank-reader,ngram", "-m", "text", *read]
    assert LACKING in mer(capsys, "run", *asked, "--plan")[1]
    assert json.loads(mer(capsys, "run", *asked, "--plan", "--json")[1])["warnings"] == [LACKING]
    code, out, err = mer(capsys, "run", *asked, *QUICK, "--out", "one")
    assert (code, LACKING in " ".join(out.split()), LACKING in err) == (0, True, True)
    report = json.loads((tmp_path / "one" / "report.json").read_text())
    assert report["warnings"] == [LACKING]
    (ranking,) = report["artefacts"]
    assert (ranking["name"], ranking["deriver"], ranking["n"]) == ("ranking", "gpt-ranking@mer-toolkit", 3)
    page = (tmp_path / "one" / "report.html").read_text()
    assert "3, made by gpt-ranking@mer-toolkit v1" in page
    assert "have no ranking in ranks.csv" in page
    assert LACKING in mer(capsys, "extract", *asked)[2]
    assert json.loads(mer(capsys, "extract", *asked, "--json")[1])["remarks"] == [LACKING]
    found = json.loads(mer(capsys, "predict", "a.csv", "--model", "one/model", "--json")[1])
    assert found["warnings"] == [LACKING]


def test_a_table_of_other_clips_stops_everything(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    table(tmp_path / "ranks.csv", ["c0.wav"])
    read = ["-o", "gpt-ranking.ranker=file", "-o", "gpt-ranking.table=ranks.csv"]
    asked = ["--data", manifest(tmp_path / "a.csv"), "-e", "text=rank-reader", "-m", "text", *read]
    for command in (["run", *asked, "--plan"], ["run", *asked, "--out", "one"], ["extract", *asked]):
        code, _, err = mer(capsys, *command)
        assert code == 2
        assert "none of the 9 clips with a transcript has a ranking" in err
        assert "its ids are 'c0.wav'; the first clip's id is 'c0', its text '今天真好0'." in err
    assert not list((tmp_path / "cache" / "features").glob("tables/*"))


class TalkingOptions(Options):
    """Options of anybody's plugin."""

    def remarks(self, clips: Sequence[Clip]) -> list[str]:
        """How many there are."""
        return [f"{len(clips)} clips."]


def test_any_plugin_may_remark_on_clips() -> None:
    def job(options: Options) -> Any:
        return SimpleNamespace(options=options)

    built: Any = ([job(Options()), job(TalkingOptions())], {"x": job(TalkingOptions())})
    assert find_remarks(built, clips(2)) == ("3 clips.",)
    told: list[str] = []
    announce_remarks(built, clips(2), SimpleNamespace(notice=told.append))  # type: ignore[arg-type]
    assert told == ["3 clips."]


# what it costs


def outlook(**values: Any) -> Outlook:
    found = RankingOptions(**values).outlook(clips(400))
    assert found is not None
    return found


def test_a_list_price_is_told_with_its_month() -> None:
    found = outlook()
    price = PRICES["gpt-4"]
    answer = 400 * 28
    assert found.cost == pytest.approx(((found.tokens - answer) * 30 + answer * 60) / 1e6, rel=0.1)
    said = str(Upload(plugin="gpt-ranking", outlook=found, permitted=True))
    assert f"tokens, at OpenAI's list price of {price.month}: about ${found.cost:.2f})" in said
    assert outlook(model="gpt-4o-mini").cost == pytest.approx(found.cost * 0.15 / 30, rel=0.5)
    assert "about $" in str(Upload(plugin="x", outlook=outlook(base_url="https://api.openai.com/v1/"), permitted=True))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"model": "gpt-4o-2024-05-13"}, "cost unknown: set gpt-ranking.price_in and gpt-ranking.price_out"),
        ({"base_url": "http://localhost/v1"}, "cost unknown"),
        ({"price_in": 1.0}, "cost unknown"),
        ({"price_in": 0.0, "price_out": 0.0}, "cost about 0.00"),
        ({"price_in": 1e-3, "price_out": 0.0}, "cost less than 0.01"),
    ],
)
def test_other_prices_are_not_guessed(values: dict[str, Any], said: str) -> None:
    found = outlook(**values)
    assert (found.basis, found.currency) == ("", "")
    assert f"tokens, {said}" in str(Upload(plugin="gpt-ranking", outlook=found, permitted=True))


# what is cached, and what is lacking


@pytest.mark.parametrize(
    ("cached", "said"),
    [
        (0, "there is no transcript to send"),
        (1, "the answer to the only transcript is cached"),
        (1200, "the answers to all 1,200 transcripts are cached"),
    ],
)
def test_nothing_to_send_in_words(cached: int, said: str) -> None:
    upload = Upload(plugin="p", outlook=Outlook(host="x", new=0, cached=cached, unset="KEY"), permitted=False)
    assert upload.document()["told"] == f"p would send nothing to x: {said}."
    refuse_uploads([upload])


def test_a_finished_run_would_send_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with serving() as server:
        asked = arguments(server, manifest(tmp_path / "a.csv"))
        assert mer(capsys, "extract", *asked, "--allow-upload", "--shard", "1/2")[0] == 0
        half = len(server.questions)
        (upload,) = json.loads(mer(capsys, "run", *asked, "--plan", "--json")[1])["uploads"]
        assert (upload["new"], upload["cached"]) == (9 - half, half)
        assert mer(capsys, "extract", *asked, "--allow-upload")[0] == 0
        _, out, _ = mer(capsys, "run", *asked, "--plan")
        assert f"would send nothing to {server.url[7:-3]}: the answers to all 9 transcripts are cached." in out
        assert "--allow-upload" not in out
        for path in (tmp_path / "cache" / "rankings").iterdir():
            path.unlink()  # features are stored all the same
        assert "the answers to all 9 transcripts are cached." in mer(capsys, "run", *asked, "--plan")[1]
    assert len(server.questions) == 9


def test_a_key_that_is_not_set_is_told_before_work(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["--data", manifest(tmp_path / "a.csv"), "-e", "text=rank-reader", "-m", "text"]
    assert "It needs --allow-upload and OPENAI_API_KEY." in mer(capsys, "run", *asked, "--plan")[1]
    assert "It needs OPENAI_API_KEY." in mer(capsys, "run", *asked, "--plan", "--allow-upload")[1]
    code, _, err = mer(capsys, "extract", *asked, "--allow-upload")
    assert (code, "sends" in err) == (3, False)
    assert "gpt-ranking: api.openai.com wants a key, and OPENAI_API_KEY is not set. Set OPENAI_API_KEY. To read" in err
    with pytest.raises(EnvironmentProblem):
        refuse_uploads([Upload(plugin="p", outlook=outlook(), permitted=True)])
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert "It needs --allow-upload." in mer(capsys, "run", *asked, "--plan")[1]


def test_how_to_do_without(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The cached rankings are offered where there are some."""
    with serving() as server:
        assert mer(capsys, "extract", *arguments(server, manifest(tmp_path / "a.csv", 4), "--allow-upload"))[0] == 0
        text = f"{TEXTS['happy']}0"
        rows = f"id,text,label\nw,{text},happy\nx,{text}!,angry\ny,new,calm\n"
        (tmp_path / "b.csv").write_text(rows, encoding="utf-8")
        code, _, err = mer(capsys, "extract", *arguments(server, "b.csv"))
    assert code == 2
    assert "would send 2 transcripts to" in err
    assert "1 is cached. Permit it with --allow-upload" in err
    assert "To do with those that are cached: -o gpt-ranking.ranker=cached. To do without any: -o gpt-ranking" in err
