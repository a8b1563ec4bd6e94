"""The extraction engine: what it extracts, reuses, derives, batches and reports."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_toys import (
    Broken,
    Hear,
    Miscounting,
    Streaming,
    Together,
    Trouble,
    hearing,
    job,
    logged,
    loudness,
    shouting,
    sound,
    texts,
)

from mer_core.engine import ClipFailure, EngineSettings, ExtractReport, extract, plan
from mer_core.engine.batches import Batcher, Parked, cut_by_length
from mer_core.engine.threads import Crew, Window, _Interrupted
from mer_core.errors import DataError, PluginError, StoreError, UsageError
from mer_core.inputs import DerivedInput, FramesInput
from mer_core.store import FeatureStore
from mer_core.types import Clip, Features, Missing, Sample

TWO = EngineSettings(workers=2)


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path / "store")


def values(store: FeatureStore, of: Any, report: ExtractReport) -> list[Any]:
    """What is stored for every clip, as lists; None where nothing is."""
    table = store.table(of.fingerprint, of.about)
    answers = [table.get(key) if key else None for key in report.keys[of.name]]
    return [a.values.tolist() if isinstance(a, Features) else a for a in answers]


@pytest.mark.parametrize("per_thread", [True, False])
def test_a_second_run_extracts_nothing(store: FeatureStore, tmp_path: Path, per_thread: bool) -> None:
    one = job(per_thread=per_thread, log=str(tmp_path / "log"))
    clips = texts("a", "bb", None, "ccc", "  ")
    first = extract(clips, [one], {}, store, TWO)
    assert values(store, one, first) == [[1, 97], [2, 98], Missing("no text"), [3, 99], Missing("no text")]
    assert (first.extracted, first.reused) == ({"text:toy": 5}, {"text:toy": 0})
    assert first.missing == {"text:toy": {"c2": "no text", "c4": "no text"}}
    second = extract(clips, [one], {}, store, TWO)
    assert (second.extracted, second.reused) == ({"text:toy": 0}, {"text:toy": 5})
    assert (second.keys, second.missing) == (first.keys, first.missing)
    assert len(logged(tmp_path / "log")) == 3
    assert not list((store.root / "state" / "journals").iterdir())


def test_exactly_what_changed_is_extracted_again(store: FeatureStore, tmp_path: Path) -> None:
    one, two = job(), loudness()
    clips = [Clip(id=f"c{n}", text=f"text {n}", audio=sound(tmp_path / f"{n}.wav", 0.3 + n / 10)) for n in range(4)]
    extract(clips, [one, two], {}, store, TWO)
    clips[1] = replace(clips[1], text="other")
    sound(tmp_path / "2.wav", 0.6, level=0.1)
    clips[3] = replace(clips[3], end=0.2)
    second = extract(clips, [one, two], {}, store, TWO)
    assert second.extracted == {"text:toy": 1, "speech:loud": 2}
    newer = job(version="2")
    third = extract(clips, [newer, two], {}, store, TWO)
    assert (third.extracted, third.reused) == ({"text:toy": 4, "speech:loud": 0}, {"text:toy": 0, "speech:loud": 4})
    renamed = [replace(clip, id=f"new {clip.id}", label="x") for clip in clips]
    assert extract(renamed, [newer, two], {}, store, TWO).extracted == {"text:toy": 0, "speech:loud": 0}


def test_sound_is_decoded_and_measured(store: FeatureStore, tmp_path: Path) -> None:
    clips = [Clip(id="a", audio=sound(tmp_path / "a.wav", 1.0)), Clip(id="b", audio=sound(tmp_path / "b.wav", 0.02))]
    report = extract(clips, [loudness()], {}, store, replace(TWO, keep_frames=True))
    found = values(store, loudness(), report)
    assert np.shape(found[0]) == (10, 1)
    assert np.shape(found[1]) == (1, 1)
    np.testing.assert_allclose(found[0], 1 / np.pi, atol=0.01)
    assert report.media_hours == pytest.approx(1.1 / 3600, rel=0.1)


def test_frames_are_extracted_again_only_if_asked_for(store: FeatureStore, tmp_path: Path) -> None:
    clips = [Clip(id="a", audio=sound(tmp_path / "a.wav"))]
    extract(clips, [loudness()], {}, store)
    assert extract(clips, [loudness()], {}, store).extracted == {"speech:loud": 0}
    keep = EngineSettings(keep_frames=True)
    assert extract(clips, [loudness()], {}, store, keep).extracted == {"speech:loud": 1}
    assert extract(clips, [loudness()], {}, store, keep).extracted == {"speech:loud": 0}
    assert extract(clips, [loudness()], {}, store).extracted == {"speech:loud": 0}


@pytest.mark.parametrize("per_thread", [True, False])
def test_bad_output_fails_its_clip_only(store: FeatureStore, per_thread: bool) -> None:
    words = ["fine", "raise", "none", "wide", "frames", "nan", "part", "text", "missing", "failure", "exit", "ok"]
    report = extract(texts(*words), [job(Trouble, per_thread=per_thread)], {}, store, TWO)
    reasons = {words[int(f.id[1:])]: re.sub(r"line \d+", "line N", f.reason) for f in report.failures}
    assert reasons == {
        "raise": "ValueError: no such luck (engine_toys.py, line N)",
        "none": "returned NoneType, not Features",
        "wide": "returned 3 columns, but dim is 2",
        "frames": "returned frame-level features of shape (2, 2), but the spec says level 'clip'",
        "nan": "every value is NaN or infinite",
        "text": "values are <U1, not a numpy array of numbers",
        "failure": "said so",
        "exit": "SystemExit: 3 (engine_toys.py, line N)",
    }
    assert {f.stage for f in report.failures} == {"extract"}
    assert report.extracted == {"text:toy": 4}
    assert report.missing == {"text:toy": {"c8": "said so"}}
    assert report.nonfinite == {"text:toy": 1}
    present = [words[n] for n, key in enumerate(report.keys["text:toy"]) if key]
    assert present == ["fine", "part", "missing", "ok"]
    again = extract(texts(*words), [job(Trouble, per_thread=per_thread)], {}, store, TWO)
    assert len(again.failures) == 8, "failures are tried again"


def test_a_raising_batch_is_bisected(store: FeatureStore, tmp_path: Path) -> None:
    log = tmp_path / "batches"
    clips = texts(*["fine"] * 5, "raise", *["fine"] * 2)
    clips = [replace(clip, language=str(n)) for n, clip in enumerate(clips)]
    report = extract(clips, [job(Together, per_thread=False, batches=str(log))], {}, store, TWO)
    assert report.extracted == {"text:toy": 7}
    (failure,) = report.failures
    assert (failure.id, failure.stage, failure.stream) == ("c5", "extract", "text:toy")
    assert failure.reason.startswith("ValueError: no such luck (engine_toys.py, line ")
    sizes = sorted((len(line.split()) for line in logged(log)), reverse=True)
    assert sizes == [8, 4, 4, 2, 2, 1, 1]


def test_a_miscounting_plugin_never_shifts_answers(store: FeatureStore) -> None:
    clips = texts(*[letter * (n + 1) for n, letter in enumerate("abcdefg")])
    report = extract(clips, [job(Miscounting, per_thread=False)], {}, store, TWO)
    assert values(store, job(Miscounting), report) == [[n + 1, 97 + n] for n in range(7)]


def test_batches_hold_clips_of_similar_length(store: FeatureStore, tmp_path: Path) -> None:
    log = tmp_path / "batches"
    clips = texts(*["x" * (12 * (1 + n % 3)) for n in range(60)])
    clips = [replace(clip, language=str(n)) for n, clip in enumerate(clips)]
    one = job(Together, per_thread=False, batch_seconds=6.0, batches=str(log))
    assert extract(clips, [one], {}, store, TWO).extracted == {"text:toy": 60}
    batches = [[1 + int(name[1:]) % 3 for name in line.split()] for line in logged(log)]
    assert sum(map(len, batches)) == 60
    assert all(max(batch) * len(batch) <= 6 for batch in batches)
    assert sum(max(batch) != min(batch) for batch in batches) < len(batches) / 2


def test_cutting_by_length() -> None:
    assert cut_by_length([1, 9, 2, 8, 1, 30], 18) == [[5], [1, 3], [2, 0, 4]]
    assert cut_by_length([], 5) == []
    batcher = Batcher(2.0)
    for number in range(9):
        batcher.push(Parked(number, Clip(id=str(number)), "", Sample("", {}), 1.0, 0))
    assert [len(batch) for batch in batcher.ready()] == [2, 2, 2, 2]
    assert batcher.ready() == []
    assert [len(batch) for batch in batcher.rest()] == [1]
    assert batcher.rest() == []


def test_stopping_breaks_off_what_threads_are_doing() -> None:
    entered, left = threading.Semaphore(0), threading.Semaphore(0)

    def work(item: int) -> None:
        try:
            entered.release()
            while True:
                time.sleep(0.001)
        finally:
            left.release()

    crew: Crew[int, None] = Crew(2, [1, 2, 3], work, Window(1))
    assert entered.acquire(timeout=60)
    assert entered.acquire(timeout=60)
    crew.stop(60)
    assert left.acquire(timeout=60)
    assert left.acquire(timeout=60)
    assert not entered.acquire(timeout=0)


class InterruptedOnce(set[threading.Thread]):
    """As if an interrupt arrived at the moment at which a thread leaves."""

    raised = False

    def discard(self, thread: threading.Thread) -> None:
        if not self.raised:
            self.raised = True
            raise _Interrupted
        super().discard(thread)


def test_no_thread_counts_as_busy_that_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be interrupted again, under a number that the system may have given to another thread."""
    hooked: list[object] = []
    monkeypatch.setattr(threading, "excepthook", hooked.append)
    entered, go = threading.Event(), threading.Event()

    def work(item: int) -> int:
        entered.set()
        go.wait(60)
        return item

    crew: Crew[int, int] = Crew(1, [1], work, Window(1_000))
    assert entered.wait(60)
    crew._busy = busy = InterruptedOnce(crew._busy)
    go.set()
    assert next(crew.results()) == 1
    crew.stop(60)
    assert busy.raised
    assert not busy
    assert hooked == []


def test_a_tiny_window_slows_down_and_stops_nothing(store: FeatureStore, tmp_path: Path) -> None:
    clips = [Clip(id=f"c{n}", audio=sound(tmp_path / f"{n}.wav", 0.1 + n / 50)) for n in range(12)]
    report = extract(clips, [loudness(per_thread=False)], {}, store, replace(TWO, window_bytes=1))
    assert report.extracted == {"speech:loud": 12}


@pytest.mark.parametrize("per_thread", [True, False])
def test_artefacts_are_derived_stored_and_read(store: FeatureStore, tmp_path: Path, per_thread: bool) -> None:
    log = str(tmp_path / "log")
    clips = texts("ab", "mute", "fail", None, "c")
    report = extract(clips, [hearing(), job()], shouting(per_thread, log=log), store, TWO)
    assert values(store, hearing(), report) == [[2, 65], Missing("nothing to shout"), None, Missing("no text"), [1, 67]]
    assert report.failures == (ClipFailure(id="c2", stage="shout", reason="hoarse", stream="text:hear"),)
    assert report.derived == {"shout": 4}
    assert report.extracted == {"text:hear": 4, "text:toy": 5}
    again = extract(clips, [hearing(), job()], shouting(per_thread, log=log), store, TWO)
    assert again.extracted == {"text:hear": 0, "text:toy": 0}
    assert again.derived == {"shout": 0}
    assert sorted(logged(tmp_path / "log")) == ["c0", "c1", "c2", "c2", "c4"]
    other = extract(clips, [hearing(version="2")], shouting(per_thread, log=log), store, TWO)
    assert (other.extracted, other.derived) == ({"text:hear": 4}, {"shout": 0})


def test_features_follow_the_content_of_an_artefact(store: FeatureStore) -> None:
    clips = texts("ab", "c")
    extract(clips, [hearing()], shouting(), store, TWO)
    same = extract(clips, [hearing()], shouting(version="2"), store, TWO)
    assert (same.derived, same.extracted) == ({"shout": 2}, {"text:hear": 0})
    louder = extract(clips, [hearing()], shouting(version="3", volume=2), store, TWO)
    assert (louder.derived, louder.extracted) == ({"shout": 2}, {"text:hear": 2})


def test_an_optional_artefact_may_be_missing(store: FeatureStore) -> None:
    report = extract(texts("ab", "mute"), [hearing(optional=True)], shouting(), store, TWO)
    assert values(store, hearing(), report) == [[2, 65], [-1, -1]]
    assert not report.failures


@pytest.mark.parametrize("per_thread", [True, False])
def test_an_optional_artefact_that_failed_is_done_without_and_tried_again(
    store: FeatureStore, tmp_path: Path, per_thread: bool
) -> None:
    log, clips = str(tmp_path / "log"), texts("ab", "fail")
    for extracted in (2, 0):
        report = extract(clips, [hearing(optional=True)], shouting(per_thread, log=log), store, TWO)
        assert values(store, hearing(), report) == [[2, 65], [-1, -1]]
        assert report.failures == (ClipFailure(id="c1", stage="shout", reason="hoarse", stream="text:hear"),)
        assert report.extracted == {"text:hear": extracted}
    assert sorted(logged(tmp_path / "log")) == ["c0", "c1", "c1"]
    mended = shouting(per_thread)
    mended["shout"].options["cured"] = True
    report = extract(clips, [hearing(optional=True)], mended, store, TWO)
    assert (report.failures, report.extracted) == ((), {"text:hear": 1})
    assert values(store, hearing(), report) == [[2, 65], [4, 70]]


def test_derivers_may_read_each_other(store: FeatureStore) -> None:
    first = shouting()["shout"]
    spec = replace(
        first.spec, name="echo", produces="echo", inputs={"shout": DerivedInput("shout"), **first.spec.inputs}
    )
    echo = replace(first, name="echo", spec=spec, fingerprint="echo", about={"deriver": "echo"})
    reader = job(Hear, "text:hear", {"shout": DerivedInput("echo")})
    with pytest.raises(PluginError, match="'shout', and nothing here makes it"):
        extract(texts("ab"), [reader], {"echo": echo}, store)
    report = extract(texts("ab", "fail"), [reader], {"echo": echo, "shout": first}, store)
    assert report.derived == {"shout": 1, "echo": 1}
    assert [(f.id, f.stage, f.reason) for f in report.failures] == [("c1", "shout", "hoarse")]
    assert extract(texts("ab"), [reader], {"echo": echo, "shout": first}, store).extracted == {"text:hear": 0}
    loop = replace(first, spec=replace(first.spec, inputs={"x": DerivedInput("shout")}))
    with pytest.raises(PluginError, match="wait for each other"):
        extract(texts("ab"), [hearing()], {"shout": loop}, store)


def test_a_missing_file_fails_only_the_streams_that_read_it(store: FeatureStore, tmp_path: Path) -> None:
    empty = tmp_path / "empty.mp4"
    empty.write_bytes(b"")
    words = tmp_path / "words.mp4"
    words.write_text("this is no film " * 100)
    clips = [
        Clip(id="gone", text="a", audio=tmp_path / "nowhere.wav"),
        Clip(id="empty", text="b", video=empty),
        Clip(id="text", text="c", video=words),
        Clip(id="silent", text="d"),
        Clip(id="good", text="e", audio=sound(tmp_path / "good.wav")),
        Clip(id="nothing"),
    ]
    report = extract(clips, [job(), loudness()], {}, store, TWO)
    assert report.extracted == {"text:toy": 6, "speech:loud": 3}
    assert [(f.id, f.stage, f.stream) for f in report.failures] == [
        ("gone", "decode", "speech:loud"),
        ("empty", "decode", "speech:loud"),
        ("text", "decode", "speech:loud"),
    ]
    for failure in report.failures:
        assert failure.reason
    assert set(report.missing["speech:loud"]) == {"silent", "nothing"}


def test_one_cause_is_one_row(store: FeatureStore, tmp_path: Path) -> None:
    clips = [Clip(id="gone", audio=tmp_path / "nowhere.wav")]
    streams = [loudness(), replace(loudness(version="2"), name="speech:other")]
    report = extract(clips, streams, {}, store)
    assert [failure.stream for failure in report.failures] == ["speech:loud,speech:other"]


def test_streaming_extractors_get_all_clips_in_one_pass(store: FeatureStore, tmp_path: Path) -> None:
    log = tmp_path / "streamed"
    one = job(Streaming, per_thread=False, streamed=str(log))
    clips = texts("a", "bb", None, "ccc", "forget")
    report = extract(clips, [one, loudness()], {}, store, TWO)
    assert values(store, one, report) == [[1, 97], [2, 98], Missing("no text"), [3, 99], [6, 102]]
    assert report.extracted == {"text:toy": 5, "speech:loud": 5}
    assert sorted(logged(log)) == ["c0", "c1", "c3", "c4"]
    assert extract(clips, [one], {}, store, TWO).extracted == {"text:toy": 0}
    assert len(logged(log)) == 4


def test_a_raising_stream_falls_back_to_batches(store: FeatureStore, tmp_path: Path) -> None:
    one = job(Streaming, per_thread=False, streamed=str(tmp_path / "streamed"))
    report = extract(texts("a", "raise", "bb"), [one], {}, store, TWO)
    assert values(store, one, report) == [[1, 97], [5, 114], [2, 98]]
    assert report.extracted == {"text:toy": 3}


def test_shards_fill_one_store(store: FeatureStore) -> None:
    clips = texts(*[f"text {n}" for n in range(7)])
    parts = [extract(clips, [job()], {}, store, EngineSettings(shard=(i, 3))) for i in (1, 2, 3)]
    assert [part.extracted["text:toy"] for part in parts] == [3, 2, 2]
    assert [key is not None for key in parts[1].keys["text:toy"]] == [False, True, False, False, True, False, False]
    assert extract(clips, [job()], {}, store).reused == {"text:toy": 7}
    with pytest.raises(UsageError, match="4/3"):
        extract(clips, [job()], {}, store, EngineSettings(shard=(4, 3)))


def test_a_plan_says_what_a_run_would_do(store: FeatureStore, tmp_path: Path) -> None:
    clips = texts("a", "bb", "ccc")
    clips[2] = replace(clips[2], audio=tmp_path / "nowhere.wav")
    jobs, derivers = [job(), hearing(), loudness()], shouting()
    before = plan(clips, jobs, derivers, store, TWO)
    assert {n: (p.extract, p.reuse, p.unreadable) for n, p in before.streams.items()} == {
        "text:toy": (3, 0, 0),
        "text:hear": (3, 0, 0),
        "speech:loud": (2, 0, 1),
    }
    assert (before.derived["shout"].extract, before.clips) == (3, 3)
    assert before.bytes > 0
    assert before.streams["text:toy"].guessed
    extract(clips, jobs, derivers, store, TWO)
    more = plan([*clips, Clip(id="d", text="d")], jobs, derivers, store, TWO)
    assert {n: (p.extract, p.reuse) for n, p in more.streams.items()} == {
        "text:toy": (1, 3),
        "text:hear": (1, 3),
        "speech:loud": (0, 3),
    }
    assert (more.derived["shout"].extract, more.derived["shout"].reuse) == (1, 3)
    assert not more.streams["text:toy"].guessed
    assert 0 < more.streams["text:toy"].bytes < 2000


def test_progress_counts_clips(store: FeatureStore) -> None:
    calls: list[tuple[str, int, int, str]] = []
    extract(texts("a", "b", "raise", "c"), [job(Trouble, per_thread=False)], {}, store, TWO, lambda *a: calls.append(a))
    assert {call[0] for call in calls} == {"extract"}
    assert [call[1] for call in calls] == sorted(call[1] for call in calls)
    assert calls[-1][1:3] == (4, 4)
    assert "clips/s" in calls[-1][3]
    assert "1 failed" in calls[-1][3]


def test_what_cannot_work_is_refused_at_once(store: FeatureStore) -> None:
    supervised = replace(job(), spec=replace(job().spec, supervised=True))
    with pytest.raises(PluginError, match="learns from labels"):
        extract(texts("a"), [supervised], {}, store)
    lazy = job(inputs={"frames": FramesInput(stream=True)}, per_thread=False)
    with pytest.raises(PluginError, match="as a stream"):
        extract(texts("a"), [lazy], {}, store)
    with pytest.raises(DataError, match="two clips are called 'c0'"):
        extract(texts("a") * 2, [job()], {}, store)
    for per_thread in (True, False):
        with pytest.raises(PluginError, match=r"toy cannot start .*weights are not there"):
            extract(texts("a"), [job(Broken, per_thread=per_thread)], {}, store, TWO)
    with pytest.raises(StoreError, match="being pruned"), _pruning(store):
        extract(texts("a"), [job()], {}, store)


def _pruning(store: FeatureStore) -> Any:
    from mer_core.store.locks import locked

    return locked(store.root / "lock")


def test_an_empty_table_is_no_problem(store: FeatureStore) -> None:
    report = extract([], [job()], {}, store)
    assert report.keys == {"text:toy": []}
    assert extract(texts("a"), [], {}, store).failures == ()


def test_equal_clips_share_one_answer(store: FeatureStore) -> None:
    report = extract(texts("same", "same", "same"), [job()], {}, store, TWO)
    assert len(set(report.keys["text:toy"])) == 1
    assert [info.rows for info in store.tables()] == [1]
