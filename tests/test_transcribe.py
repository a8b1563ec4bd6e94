"""Clips that have sound and no text: what a deriver of ``transcript`` heard stands for it, where that is asked for."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_toys import sound
from whisper_models import checkpoint

from mer_core import Extraction, Workspace, open_workspace, predict, run
from mer_core.cli.app import run_app
from mer_core.config import read_config
from mer_core.configure import make_config
from mer_core.data.dataset import load_clips
from mer_core.errors import UsageError
from mer_core.inputs import Transcribed
from mer_core.plugin import (
    AudioInput,
    Clip,
    Derived,
    DerivedInput,
    DeriverSpec,
    ExtractorSpec,
    Failure,
    Features,
    Field,
    Missing,
    Options,
    PluginSpec,
    Sample,
    TextInput,
    hookimpl,
)
from mer_core.registry import discover
from mer_core.report.facts import Transcripts
from mer_core.report.words import transcripts
from mer_core.store.digests import ContentHasher, input_digest
from mer_core.workflows.extract import extract
from mer_core.workflows.jobs import build_jobs
from mer_core.workflows.otherwise import tell_otherwise
from mer_core.workflows.pipeline import Pipeline
from mer_core.workflows.plan import plan_run

HEARD: list[str] = []
"""Ids of the clips that were transcribed."""
BROKEN: set[str] = set()
"""Ids of the clips that cannot be."""


class EarOptions(Options):
    """What the made-up deriver says of every clip, before how loud it is."""

    word: str = "loud"
    model: str = Field(default="ear")


class Ear:
    """Writes down how loud a clip is, in tenths; nothing where it is silent."""

    def __init__(self, options: EarOptions, device: str) -> None:
        self.options = options

    def derive(self, batch: Sequence[Sample]) -> list[Derived | Missing | Failure]:
        return [self.one(sample) for sample in batch]

    def one(self, sample: Sample) -> Derived | Missing | Failure:
        HEARD.append(sample.id)
        level = round(10 * float(np.abs(sample.audio().samples).max()))
        if sample.id in BROKEN:
            return Failure("deaf", "transcript")
        return Derived({}, {"text": f" {self.options.word} {level} ", "language": "en"}) if level else Missing("silent")


class Reads:
    """Clip-level: how long the text is, and whether a machine made it."""

    dim = 2

    def __init__(self, options: Options, device: str) -> None: ...

    def extract(self, batch: Sequence[Sample]) -> list[Features]:
        return [Features(np.array([len(s.text().content), s.text().machine_made], np.float32)) for s in batch]


class Count:
    """Derives how many words the text has."""

    def __init__(self, options: Options, device: str) -> None: ...

    def derive(self, batch: Sequence[Sample]) -> list[Derived]:
        return [Derived({"words": np.array([len(s.text().content.split())])}) for s in batch]


class Counted:
    """Clip-level: what :class:`Count` derived, -1 where it did not."""

    dim = 1

    def __init__(self, options: Options, device: str) -> None: ...

    def extract(self, batch: Sequence[Sample]) -> list[Features]:
        found = [sample.inputs["words"] for sample in batch]
        return [
            Features((w.arrays["words"] if isinstance(w, Derived) else np.array([-1])).astype(np.float32))
            for w in found
        ]


def specs(per_thread: bool = True) -> list[PluginSpec]:
    ear = DeriverSpec(
        name="ear",
        target="test_transcribe:Ear",
        options="test_transcribe:EarOptions",
        produces="transcript",
        inputs={"audio": AudioInput(8000)},
        per_thread=per_thread,
    )
    count = DeriverSpec(
        name="count",
        target="test_transcribe:Count",
        produces="words",
        inputs={"text": TextInput()},
        per_thread=per_thread,
    )
    common: dict[str, Any] = {"modality": "text", "level": "clip", "per_thread": True}
    reads = ExtractorSpec(name="reads", target="test_transcribe:Reads", inputs={"text": TextInput()}, **common)
    words = {"words": DerivedInput("words", optional=True)}
    counted = ExtractorSpec(name="counted", target="test_transcribe:Counted", inputs=words, **common)
    return [ear, count, reads, counted]


def plugin(per_thread: bool = True) -> object:
    class Plugin:
        @hookimpl
        def mer_specs(self) -> list[PluginSpec]:
            return specs(per_thread)

    return Plugin()


@pytest.fixture(autouse=True)
def _nobody_heard() -> None:
    HEARD.clear()
    BROKEN.clear()


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Six clips: two with text and sound, three with sound alone, of which one is silent, and one with text alone."""
    rows = [("own", "said", 0.5), ("also", "well said", 0.3), ("new", "", 0.7), ("more", "  ", 0.2), ("mute", "", 0.0)]
    lines = [f"{id},{sound(tmp_path / f'{id}.wav', level=level)},{text},happy" for id, text, level in rows]
    file = tmp_path / "clips.csv"
    file.write_text("\n".join(["id,audio,text,label", *lines, "read,,read,sad", ""]), encoding="utf-8")
    return file


@pytest.fixture(params=[True, False], ids=["per thread", "in batches"])
def space(request: pytest.FixtureRequest, tmp_path: Path) -> Workspace:
    return open_workspace(tmp_path / "cache", plugins=[plugin(request.param)])


EAR: dict[str, Any] = {"modalities": ["text"], "extractors": {"text": "reads"}, "derivers": {"transcript": "ear"}}


def hear(table: Path, space: Workspace, **more: Any) -> Extraction:
    return extract(table, space=space, **{**EAR, "transcribe": True, **more})


def rows(found: Extraction, stream: str = "text:reads") -> dict[str, list[float] | None]:
    data = found.features.table[stream]
    return {
        id: value.tolist() if there else None
        for id, value, there in zip(found.features.ids, data.values, data.present, strict=True)
    }


def test_clips_without_text_are_filled_and_no_other_is_heard(table: Path, space: Workspace) -> None:
    found = hear(table, space)
    assert sorted(HEARD) == ["more", "mute", "new"]
    own = {"own": [4, 0], "also": [9, 0], "read": [4, 0]}
    assert rows(found) == {**own, "new": [6, 1], "more": [6, 1], "mute": None}
    assert found.report.missing["text:reads"] == {"mute": "no text (silent)"}
    assert (found.report.derived, found.report.failures) == ({"transcript": 3}, ())
    assert found.transcripts == Transcripts(n=5, machine_made=2, silent=1, deriver="ear@extra", model="ear")


def test_what_was_heard_is_kept(table: Path, space: Workspace) -> None:
    first = hear(table, space)
    HEARD.clear()
    again = hear(table, space)
    assert HEARD == []
    assert (again.report.extracted, again.report.reused) == ({"text:reads": 0}, {"text:reads": 6})
    assert rows(again) == rows(first)
    assert again.transcripts == first.transcripts


def test_without_the_setting_all_is_as_it_was(table: Path, space: Workspace) -> None:
    plain = extract(table, space=space, **{**EAR, "derivers": None})
    assert HEARD == []
    assert plain.config.derivers == {}
    assert plain.transcripts is None
    assert rows(plain) == {"own": [4, 0], "also": [9, 0], "read": [4, 0], "new": None, "more": None, "mute": None}
    heard = hear(table, space)
    assert heard.fingerprints == plain.fingerprints
    assert (heard.report.extracted, heard.report.reused) == ({"text:reads": 3}, {"text:reads": 3})
    assert extract(table, space=space, **{**EAR, "derivers": None}).report.extracted == {"text:reads": 0}


def test_features_follow_what_was_heard(table: Path, space: Workspace) -> None:
    hear(table, space)
    other = hear(table, space, options={"ear": {"word": "noisy"}})
    assert (other.report.derived, other.report.extracted) == ({"transcript": 3}, {"text:reads": 2})
    same = hear(table, space, options={"ear": {"word": "noisy", "model": "ear-2"}})
    assert (same.report.derived, same.report.extracted) == ({"transcript": 3}, {"text:reads": 0})
    assert same.transcripts is not None
    assert same.transcripts.model == "ear-2"


def test_a_clip_that_could_not_be_heard_goes_on_without_text_and_is_tried_again(table: Path, space: Workspace) -> None:
    BROKEN.add("new")
    found = hear(table, space)
    assert rows(found)["new"] is None
    assert [(f.id, f.stage, f.reason, f.stream) for f in found.report.failures] == [
        ("new", "transcript", "deaf", "text:reads")
    ]
    assert found.transcripts == Transcripts(n=4, machine_made=1, silent=1, failed=1, deriver="ear@extra", model="ear")
    HEARD.clear()
    BROKEN.clear()
    mended = hear(table, space)
    assert HEARD == ["new"]
    assert rows(mended)["new"] == [6, 1]
    assert mended.report.failures == ()


def test_derivers_read_what_was_heard(table: Path, space: Workspace) -> None:
    found = hear(table, space, extractors={"text": "counted"})
    assert found.config.derivers.keys() == {"transcript", "words"}
    assert {id: value and value[0] for id, value in rows(found, "text:counted").items()} == {
        "own": 1,
        "also": 2,
        "read": 1,
        "new": 2,
        "more": 2,
        "mute": -1,
    }
    BROKEN.add("new")
    lost = hear(table, space, extractors={"text": "counted"}, options={"ear": {"word": "so"}})
    assert rows(lost, "text:counted")["new"] == [-1]
    assert [(f.id, f.stage, f.reason) for f in lost.report.failures] == [("new", "transcript", "deaf")]
    assert HEARD.count("own") == 0


def test_digests_of_clips_with_text_are_what_they_were() -> None:
    """Computed before there were transcripts."""
    clip, hasher = Clip(id="a", text="said", language="en"), ContentHasher(None)
    plain = input_digest(clip, {"text": TextInput()}, {}, hasher)
    assert plain == "64c616471d2757d8dfe5f8f32e0442f7"
    assert input_digest(Clip(id="a"), {"text": TextInput()}, {}, hasher) == "e9f5dc4083e72f69c872e579b24bb9b1"
    one, two = (input_digest(clip, {"text": Transcribed()}, {"transcript": x}, hasher) for x in "ab")
    assert len({plain, one, two}) == 3


def test_the_plan_counts_what_would_be_heard(table: Path, space: Workspace) -> None:
    config = make_config(space.catalogue, data=table, transcribe=True, **EAR)
    assert plan_run(config, space)["derivers"] == {"transcript": {"deriver": "ear@extra", "derive": 3, "reuse": 0}}
    hear(table, space)
    assert plan_run(config, space)["derivers"] == {"transcript": {"deriver": "ear@extra", "derive": 0, "reuse": 3}}
    assert len(HEARD) == 3


def test_the_deriver_is_chosen_as_any_other() -> None:
    catalogue = discover([plugin()])
    assert make_config(catalogue, modalities=["text"], transcribe=True).derivers["transcript"].name == "whisper-asr"
    config = make_config(catalogue, transcribe=True, **EAR)
    assert (config.transcribe, config.derivers["transcript"].name) == (True, "ear@extra")
    with pytest.raises(UsageError, match="no stream of this run reads text"):
        make_config(catalogue, modalities=["speech"], transcribe=True)
    with pytest.raises(UsageError, match=r"names 'transcript', which no stream of this run reads.*Add --transcribe"):
        make_config(catalogue, **EAR)


def test_a_saved_run_transcribes_again(tmp_path: Path) -> None:
    from mer_core.config import write_config

    catalogue, file = discover([plugin()]), tmp_path / "config.toml"
    write_config(make_config(catalogue, transcribe=True, **EAR), file)
    assert read_config(file)["transcribe"] is True
    assert make_config(catalogue, file=file).transcribe
    off = make_config(catalogue, file=file, transcribe=False)
    assert (off.transcribe, off.derivers) == (False, {})
    speech = make_config(catalogue, file=file, modalities=["speech"])
    assert (speech.transcribe, speech.derivers) == (False, {})


def test_a_run_says_so_everywhere_and_its_model_hears_new_clips(tmp_path: Path) -> None:
    lines = ["id,audio,text,label,speaker"]
    for number in range(12):
        label, level = ("happy", 0.9) if number % 2 else ("sad", 0.2)
        wav, text = sound(tmp_path / f"{number}.wav", level=level), "" if number < 3 else f"loud {round(10 * level)}"
        lines.append(f"c{number},{wav},{text},{label},s{number}")
    (tmp_path / "clips.csv").write_text("\n".join(lines), encoding="utf-8")
    space = open_workspace(tmp_path / "cache", plugins=[plugin()])
    asked: dict[str, Any] = {**EAR, "extractors": {"text": "ngram"}, "transcribe": True, "folds": 2}
    found = run(tmp_path / "clips.csv", out=tmp_path / "out", space=space, trainer_options={"epochs": 2}, **asked)
    said = "3 of 12 transcripts are machine-made (ear@extra, ear)"
    assert f"Text: {said}." in found.report.findings()
    document = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert document["transcripts"]["machine_made"] == 3
    assert said in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    with (tmp_path / "out" / "predictions.csv").open(encoding="utf-8") as stream:
        marks = {row["id"]: row["transcript"] for row in csv.DictReader(stream)}
    assert {id for id, mark in marks.items() if mark == "machine-made"} == {"c0", "c1", "c2"}
    assert set(marks.values()) == {"machine-made", ""}
    HEARD.clear()
    new = predict(tmp_path / "out" / "model", sound(tmp_path / "fresh.wav", level=0.6), space=space)
    assert HEARD == ["fresh"]
    assert [p.present for p in new.predictions] == [{"text": True}]
    assert new.warnings == ("Text: 1 of 1 transcript is machine-made (ear@extra, ear).",)
    HEARD.clear()
    parts = predict(
        tmp_path / "out" / "model", sound(tmp_path / "long.wav", 2.0, 0.6), window=1.0, hop=1.0, space=space
    )
    assert [(p.start, p.end) for p in parts.predictions] == [(0, 1), (1, 2)]


def test_words_of_the_report() -> None:
    many = Transcripts(n=96, machine_made=12, deriver="whisper-asr", model="openai/whisper-small")
    assert transcripts(many) == "12 of 96 transcripts are machine-made (whisper-asr, openai/whisper-small)"
    few = Transcripts(n=1, machine_made=1, silent=1, failed=2, deriver="ear")
    assert transcripts(few) == (
        "1 of 1 transcript is machine-made (ear); no speech was recognised in 1 more clip;"
        " 2 clips could not be transcribed"
    )


def test_the_command_line(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is asked for is planned, refused or left alone before anything is loaded."""
    model = checkpoint(tmp_path / "whisper")
    common = ["--data", str(table), "-m", "text", "--cache", str(tmp_path / "cache")]
    assert run_app(["run", *common, "--transcribe", "--plan", "-o", f"whisper-asr.model={model}"]) == 0
    assert "whisper-asr: make transcript of 3 clips, reuse 0" in " ".join(capsys.readouterr().out.split())
    assert run_app(["extract", *common, "--transcribe", "-m", "speech"]) == 2
    assert "no stream of this run reads text" in " ".join(capsys.readouterr().err.split())
    assert run_app(["extract", *common, "--json"]) == 0
    assert "transcripts" not in json.loads(capsys.readouterr().out)


def test_nothing_is_heard_where_nobody_reads(table: Path, space: Workspace) -> None:
    assert len(load_clips(table).clips) == 6
    found = extract(table, space=space, modalities=["speech"])
    assert HEARD == []
    assert found.report.derived == {}


def test_other_transcripts_than_in_training_are_told() -> None:
    pipeline = Pipeline(config=None, model=None, fingerprints={}, facts={}, about={})  # type: ignore[arg-type]
    catalogue = discover([plugin()])
    words = ({"ear": {"word": word}} for word in ("now", "then"))
    configs = [make_config(catalogue, transcribe=True, **EAR, options=word) for word in words]
    now, then = (build_jobs(config, catalogue)[1]["transcript"] for config in configs)
    assert tell_otherwise(pipeline, [], now) == []
    known = replace(pipeline, about={"transcript": json.loads(json.dumps(now.about))})
    assert tell_otherwise(known, [], now) == []
    assert tell_otherwise(known, [], then) == ["Texts were transcribed with other options (word) in training."]
