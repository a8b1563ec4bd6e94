"""``gpt-ranking`` without a server: prompts, what counts as a ranking, tables, options (5.1, 5.2)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from text_models import said

from mer_core.config import PluginChoice
from mer_core.configure import make_config
from mer_core.data.vocabulary import canonical
from mer_core.engine import DeriverJob
from mer_core.errors import EnvironmentProblem, OptionError
from mer_core.options import validate
from mer_core.plugin import Derived, DeriverSpec, Failure, Missing, Options, PluginSpec, hookimpl
from mer_core.registry import discover
from mer_core.spec import digest
from mer_core.testing import BoundCheck, conformance
from mer_core.workflows.jobs import _deriver_job
from mer_plugins.text.ranking import GptRanking
from mer_plugins.text.ranking_options import RankingOptions
from mer_plugins.text.ranking_parse import parse
from mer_plugins.text.ranking_prompt import CHINESE, MER2024, PROMPTS, SYNONYMS, filled, version

WHOLE = ("happy", "surprise", "neutral", "worried", "sad", "angry")


def options(**values: Any) -> RankingOptions:
    return validate(RankingOptions, values, "gpt-ranking")


@pytest.mark.parametrize(
    "answer",
    [
        '["高兴", "惊讶", "中性", "担心", "悲伤", "愤怒"]',
        '```json\n["happy", "surprised", "Neutral", "worry", "sadness", "anger"]\n```',
        "高兴 > 惊讶 > 中性 > 担心 > 悲伤 > 愤怒",
        "高兴,惊讶,中性,担心,悲伤,愤怒",
        "高兴、惊讶、中性、担心、悲伤、愤怒。",
        "高兴→惊讶→中性→担心→悲伤→愤怒",
        "开心；吃惊；中立；担忧；伤心；生气",
        "高兴＞惊讶＞中性＞担心＞悲伤＞愤怒",
        "1. 高兴\n2. 惊讶\n3. 中性\n4. 担心\n5. 悲伤\n6. 愤怒",
        "1、高兴 2、惊讶 3、中性 4、担心 5、悲伤 6、愤怒",
        "1) happy 2) surprise 3) neutral 4) worried 5) sad 6) angry",
        "①高兴\n②惊讶\n③中性\n④担心\n⑤悲伤\n⑥愤怒",
        "happy > surprise > neutral > worried > sad > angry",
        "- **Happy**\n- Surprise\n- Neutral\n- Worried\n- Sad\n- Angry",
        "高兴: 0.8, 惊讶: 0.1, 中性: 0.04, 担心: 0.03, 悲伤: 0.02, 愤怒: 0.01",
    ],
)
def test_5_2_rankings_that_are_whole(answer: str) -> None:
    found = parse(answer, MER2024)
    assert found is not None
    assert found.labels == WHOLE
    assert not found.repaired


@pytest.mark.parametrize(
    ("answer", "first"),
    [
        ('["高兴", "中性"]', ("happy", "neutral", "angry", "sad", "worried", "surprise")),
        ('["高兴"]', ("happy", "neutral", "angry", "sad", "worried", "surprise")),
        ('["sad", "sad", "悲伤", "happy"]', ("sad", "happy", "neutral", "angry", "worried", "surprise")),
        ('["悲伤", "嫉妒", "高兴"]', ("sad", "happy", "neutral", "angry", "worried", "surprise")),
        ('["悲伤", "高兴", "中性", "愤', ("sad", "happy", "neutral", "angry", "worried", "surprise")),
        ("排序如下：悲伤 > 高兴 > 中性", ("sad", "happy", "neutral", "angry", "worried", "surprise")),
    ],
)
def test_5_2_rankings_that_are_repaired(answer: str, first: tuple[str, ...]) -> None:
    assert parse(answer, MER2024) == (first, True)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "[]",
        "抱歉，我无法判断。",
        "I'm sorry, but I can't help with that.",
        '["N/A"]',
        '{"a": [1, 2]}',
        "happy",
        "[[",
    ],
)
def test_5_2_what_is_no_ranking(answer: str) -> None:
    assert parse(answer, MER2024) is None


def test_classes_of_ones_own() -> None:
    assert parse("anger > joy", ("joy", "anger", "boredom")) == (("anger", "joy", "boredom"), True)
    assert parse('["紧张", "calm"]', ("calm", "紧张")) == (("紧张", "calm"), False)
    assert parse("angry, anger", ("anger", "angry")) == (("angry", "anger"), False)
    assert parse("2, 1", ("1", "2")) == (("2", "1"), False)


def test_5_2_synonyms_are_those_of_the_vocabulary() -> None:
    for name, words in SYNONYMS.items():
        assert CHINESE[name] in words
        assert {canonical(word) for word in words} <= {name, None}


def test_5_2_the_prompts() -> None:
    chinese = filled(PROMPTS["zh"], MER2024, "zh", "走{labels}吧")
    assert "六个情感标签（中性、愤怒、高兴、悲伤、担心、惊讶）" in chinese
    assert "文本：“走{labels}吧”" in chinese
    english = filled(PROMPTS["en"], MER2024[:3], "en", "go")
    assert "three emotion labels (neutral, angry, happy)" in english
    assert english.endswith('Text: "go"')
    assert options(language="en").prompt == PROMPTS["en"]
    assert options().prompt == PROMPTS["zh"]
    versions = {version(PROMPTS[one], MER2024, two) for one in PROMPTS for two in PROMPTS}
    assert len({*versions, version(PROMPTS["zh"], MER2024[:5], "zh")}) == 5


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"prompt": "rank them"}, r"no \{text\}"),
        ({"base_url": "ftp://x/v1"}, "no http"),
        ({"base_url": "https://me:pass@x/v1"}, "password"),
        ({"base_url": "https://x/v1?key=1"}, "query"),
        ({"ranker": "file"}, "needs a table"),
        ({"classes": ["angry", "愤怒"]}, "the same"),
        ({"classes": ["angry"]}, "classes"),
    ],
)
def test_options_that_are_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said) as caught:
        options(**values)
    assert "pass@" not in str(caught.value)


def test_what_counts_in_the_fingerprint(tmp_path: Path) -> None:
    def facts(**values: Any) -> str:
        made = options(**values)
        return digest({**made.model_dump(mode="json"), **made.fingerprint()})

    how = {"allow_upload": True, "base_url": "http://localhost/v1", "tries": 2, "concurrency": 1, "timeout": 5}
    assert facts() == facts(**how)
    assert len({facts(), facts(model="other"), facts(language="en"), facts(classes=["a", "b"])}) == 4
    one, two = tmp_path / "a.csv", tmp_path / "b.csv"
    for path in (one, two):
        path.write_text("id,ranking\na,happy > sad\n")
    assert facts(ranker="file", table=one) == facts(ranker="file", table=two)
    before = facts(ranker="file", table=one)
    one.write_text("id,ranking\na,sad > happy\n")
    assert facts(ranker="file", table=one) != before


def test_5_2_rankings_from_a_table(tmp_path: Path) -> None:
    table = tmp_path / "rankings.csv"
    table.write_text(
        'text,id,ranking\n你好,,高兴 > 中性\n,b,"[""sad"", ""angry""]"\n坏,,no idea\n', encoding="utf-8-sig"
    )
    ranker = GptRanking(options(ranker="file", table=table), "cpu")
    clips = [said(" 你好 ", "a"), said("what", "b"), said("坏", "c"), said("none", "d"), said(" ", "e")]
    one, two, three, four, five = ranker.derive(clips)
    assert isinstance(one, Derived)
    assert one.info == {"ranking": ["happy", "neutral", "angry", "sad", "worried", "surprise"], "repaired": True}
    assert one.arrays["order"].tolist() == [2, 0, 1, 3, 4, 5]
    assert isinstance(two, Derived)
    assert two.info["ranking"][:2] == ["sad", "angry"]
    assert three == Failure("what rankings.csv says is no ranking of the classes", "ranking")
    assert four == Missing("not in rankings.csv")
    assert five == Missing("nothing is said")


def test_a_table_without_its_columns(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,emotion\na,happy\n")
    with pytest.raises(OptionError, match="lacks the column ranking"):
        GptRanking(options(ranker="file", table=tmp_path / "a.csv"), "cpu")


def test_5_2_no_ranking() -> None:
    found = GptRanking(options(ranker="none"), "cpu").derive([said("你好"), said("")])
    assert found == [Missing("no ranking is wanted"), Missing("nothing is said")]


def test_5_2_nothing_is_sent_unless_that_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EnvironmentProblem, match=r"not be sent to api.openai.com\. Permit.*--allow-upload"):
        GptRanking(options(), "cpu")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(EnvironmentProblem, match=r"OPENAI_API_KEY is not set"):
        GptRanking(options(allow_upload=True), "cpu")


@conformance("gpt-ranking")
def test_contract(check: BoundCheck, tmp_path: Path) -> None:
    table = tmp_path / "rankings.csv"
    table.write_text("id,ranking\na,happy > sad\n")
    check(options={"ranker": "file", "table": str(table)})


def ranking_job(found: Sequence[str], **values: Any) -> DeriverJob:
    """What a run over clips of the classes ``found`` would rank with."""
    catalogue = discover()
    chosen: Any = {"modalities": ["text"], "extractors": {"text": "gpt4-baichuan"}, "data": "clips.csv"}
    config = make_config(catalogue, **chosen, options={"gpt-ranking": values, "gpt4-baichuan": {"model": "/nowhere"}})
    return _deriver_job("ranking", config.derivers, catalogue, found)


def test_5_2_the_classes_of_the_run_are_ranked() -> None:
    """The labels in the prompt are those of the run, unless an option names them."""
    mine = ("joy", "anger", "boredom")
    job = ranking_job(mine)
    assert job.options.ranked == mine
    assert "三个情感标签（joy、anger、boredom）" in filled(job.options.prompt, job.options.ranked, "zh", "走")
    assert job.about["options"]["classes"] == list(mine)
    assert ranking_job(MER2024).fingerprint == ranking_job(()).fingerprint == ranking_job(["one"]).fingerprint
    assert ranking_job(mine, classes=list(MER2024)).fingerprint == ranking_job(MER2024).fingerprint
    assert ranking_job(mine).fingerprint != ranking_job(MER2024).fingerprint != ranking_job(mine[:2]).fingerprint


class OtherOptions(Options):
    """Options whose classes mean something else."""

    classes: int | None = None
    """How many there are."""


def test_only_class_names_that_are_left_out_are_filled() -> None:
    spec = DeriverSpec(name="mine", target="test_ranking:GptRanking", options="test_ranking:OtherOptions", produces="x")

    class Plugin:
        @hookimpl
        def mer_specs(self) -> list[PluginSpec]:
            return [spec]

    job = _deriver_job("x", {"x": PluginChoice(name="mine")}, discover([Plugin()]), ["a", "b"])
    assert job.options.classes is None
