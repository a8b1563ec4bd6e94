"""``gpt4-baichuan``: how ranking and text are joined (5.2), and a run with a server on loopback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ranking_server import GOOD, KEY, Reply, serving
from text_models import CHINESE, said

from mer_core.engine import DeriverJob, EngineSettings, ExtractorJob, extract
from mer_core.errors import EnvironmentProblem, OptionError
from mer_core.options import validate
from mer_core.plugin import Clip, Derived, Features, Missing, Sample, Text
from mer_core.spec import digest
from mer_core.store import FeatureStore
from mer_core.testing import check_plugin
from mer_plugins.text.gpt4_baichuan_options import Gpt4BaichuanOptions
from mer_plugins.text.ranking import GptRanking
from mer_plugins.text.ranking_options import RankingOptions
from mer_plugins.text.specs import RANKERS, TEXT

pytest.importorskip("sentencepiece")

from test_baichuan import checkpoint

from mer_plugins.text.baichuan import Baichuan
from mer_plugins.text.baichuan_options import BaichuanOptions
from mer_plugins.text.gpt4_baichuan import Gpt4Baichuan, spliced

LABELS = ("happy", "surprise", "neutral", "worried", "sad", "angry")
OTHERS = ("angry", "sad", "worried", "neutral", "surprise", "happy")
TEXTS = ("今天真好", CHINESE[:9])


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("baichuan"), model_max_length=256)


def options(**values: Any) -> Gpt4BaichuanOptions:
    return validate(Gpt4BaichuanOptions, {"model": "x", **values}, "gpt4-baichuan")


def sample(text: str, labels: Any) -> Sample:
    ranking = Derived({}, {"ranking": list(labels)}) if labels else Missing("none")
    return Sample("clip", {"text": Text(text), "ranking": ranking})


HEARS: dict[str, Any] = {"order": "ranking_first", "language": "en"}  # the tiny tokenizer knows no Chinese label


def features(folder: Path, text: str, labels: Any, **values: Any) -> Any:
    (found,) = Gpt4Baichuan(options(model=str(folder), **values), "cpu").extract([sample(text, labels)])
    return found


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, "好\n情感可能性从高到低：高兴 > 惊讶 > 中性 > 担心 > 悲伤 > 愤怒"),
        ({"order": "ranking_first", "top": 2}, "情感可能性从高到低：高兴 > 惊讶\n好"),
        (
            {"language": "en", "separator": ", ", "top": 3},
            "好\nEmotions from the most to the least likely: happy, surprise, neutral",
        ),
        ({"template": "<{ranking}> {text}!", "top": 1}, "<高兴> 好!"),
    ],
)
def test_5_2_what_is_read(values: dict[str, Any], expected: str) -> None:
    assert spliced("好", LABELS, options(**values)) == (expected, None)


def test_5_2_the_transcript_alone_is_pooled() -> None:
    for values in ({"order": "ranking_first"}, {"template": "{ranking}|{text}|", "language": "en"}):
        text, used = spliced("好{ranking}", LABELS, options(pool="text", **values))
        assert used is not None
        assert text[used] == "好{ranking}"


def test_5_2_nothing_is_spliced_where_there_is_nothing() -> None:
    assert spliced("好", (), options()) == ("好", None)
    assert spliced(" ", LABELS, options()) == ("", None)


@pytest.mark.parametrize(
    "values", [{}, {"template": "{text} {ranking}"}, {"template": "{text} {ranking}", "order": "ranking_first"}]
)
def test_5_2_the_causal_mask_trap_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="never looks ahead"):
        options(pool="text", **values)


@pytest.mark.parametrize("template", ["{text}", "{ranking}", "{text}{text}{ranking}"])
def test_templates_that_are_refused(template: str) -> None:
    with pytest.raises(OptionError, match="each once"):
        options(template=template)


def test_5_2_why_it_is_a_trap(folder: Path) -> None:
    """With the text first, its tokens have the same states whatever the ranking is."""
    one, two = (features(folder, TEXTS[0], labels, language="en").values for labels in (LABELS, OTHERS))
    plain = Baichuan(BaichuanOptions(model=str(folder)), "cpu").extract([said(TEXTS[0])])[0]
    assert isinstance(plain, Features)
    shared = len(plain.values) - 1  # the last token of the text may join what follows
    np.testing.assert_allclose(one[:shared], two[:shared], atol=1e-4)
    np.testing.assert_allclose(one[:shared], plain.values[:shared], atol=1e-4)
    assert np.abs(one.mean(0) - two.mean(0)).max() > 1e-2


def test_5_2_with_the_ranking_first_the_transcript_hears_it(folder: Path) -> None:
    one, two = (features(folder, TEXTS[0], labels, pool="text", **HEARS).values for labels in (LABELS, OTHERS))
    assert one.shape == two.shape
    assert len(one) < len(features(folder, TEXTS[0], LABELS, **HEARS).values)
    assert np.abs(one - two).max() > 1e-2


def test_5_2_without_ranking_it_is_baichuan(folder: Path) -> None:
    plain = Baichuan(BaichuanOptions(model=str(folder)), "cpu").extract([said(TEXTS[1])])[0]
    assert isinstance(plain, Features)
    np.testing.assert_allclose(features(folder, TEXTS[1], ()).values, plain.values, atol=1e-5)
    assert isinstance(features(folder, " ", LABELS), Missing)


def test_the_contract(folder: Path) -> None:
    ranking = Derived({}, {"ranking": list(LABELS)})
    report = check_plugin(
        "gpt4-baichuan",
        options={"model": str(folder)},
        derived={"ranking": ranking},
        only=["light-import", "options", "starts", "dimension", "batch-invariance", "determinism"],
    )
    assert report.ok, str(report)


# the engine, the server and the decoder together


def jobs(folder: Path, **values: Any) -> tuple[list[ExtractorJob], dict[str, DeriverJob]]:
    spec = next(spec for spec in TEXT if spec.name == "gpt4-baichuan")
    asked = RankingOptions(**{"model": "toy", "backoff": 0.0, "tries": 2, **values})
    about = {"options": {**asked.model_dump(mode="json"), **asked.fingerprint()}}
    deriver = DeriverJob(
        name="ranking", spec=RANKERS[0], options=asked, deriver_class=GptRanking, fingerprint=digest(about), about=about
    )
    reader = ExtractorJob(
        name="text:gpt4-baichuan",
        spec=spec,
        options=options(model=str(folder)),
        extractor_class=Gpt4Baichuan,
        fingerprint="gpt4",
        about={"extractor": "gpt4-baichuan"},
    )
    return [reader], {"ranking": deriver}


def test_5_2_a_run_goes_on_without_rankings_that_failed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    store, settings = FeatureStore(tmp_path / "store"), EngineSettings(workers=1, keep_frames=True)
    clips = [Clip(id=f"c{number}", text=text) for number, text in enumerate([*TEXTS, ""])]
    name = "text:gpt4-baichuan"

    def run(**values: Any) -> Any:
        streams, derivers = jobs(folder, concurrency=1, **values)
        return extract(clips, streams, derivers, store, settings)

    with pytest.raises(EnvironmentProblem, match="may not be sent to"):
        run()
    with serving(GOOD, Reply("I would rather not")) as server:
        first = run(allow_upload=True, base_url=server.url)
    (failed,) = first.failures
    assert (failed.stage, failed.stream) == ("ranking", name)
    assert failed.reason == "toy gave no ranking of the classes"
    assert KEY not in str(first)
    assert first.extracted == {name: 3}
    assert list(first.missing[name]) == ["c2"]
    with serving(GOOD) as server:
        second = run(allow_upload=True, base_url=server.url)
        assert len(server.questions) == 1
    assert (second.failures, second.extracted, second.derived) == ((), {name: 1}, {"ranking": 1})
    changed = [one != two for one, two in zip(first.keys[name], second.keys[name], strict=True)]
    assert changed == [clip.id == failed.id for clip in clips]
    monkeypatch.delenv("OPENAI_API_KEY")
    third = run()  # a finished run needs neither key nor server nor permission
    assert third.keys == second.keys
    assert third.extracted == {name: 0}
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes()
