"""Processes that die: kill -9, crashing clips, Ctrl-C, several at once. Limits of time are generous."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from engine_toys import Length, Trouble, job, logged, texts

from mer_core.engine import EngineSettings, ExtractorJob, ExtractReport, extract
from mer_core.engine.journal import Journal, clip_identity, read_journal, take_over
from mer_core.store import FeatureStore, ShardLimits
from mer_core.store.digests import ContentHasher, input_digest
from mer_core.types import Clip

HERE = Path(__file__).parent
LIMITS = "ShardLimits(checkpoint=0.05)"

PROGRAM = """
import json, sys
from pathlib import Path
from engine_toys import *
from mer_core.store.digests import ContentHasher, input_digest
from mer_core.engine import EngineSettings, extract
from mer_core.store import FeatureStore, ShardLimits
if __name__ == "__main__":
    store = FeatureStore(Path(sys.argv[1]), {limits})
    clips = texts(*json.loads(sys.argv[2]))
    jobs, derivers = {jobs}
    try:
        report = extract(clips, jobs, derivers, store, EngineSettings({settings}))
    except KeyboardInterrupt:
        print("interrupted")
        raise SystemExit(130)
    print(json.dumps([[f.id, f.stage, f.stream] for f in report.failures]))
"""


def start(root: Path, contents: list[str], jobs: str, settings: str = "workers=2") -> subprocess.Popen[str]:
    """A process that extracts ``contents`` with the given jobs, an expression for (jobs, derivers)."""
    program = root / f"program{len(list(root.glob('program*')))}.py"
    program.write_text(PROGRAM.format(jobs=jobs, limits=LIMITS, settings=settings))
    command = [sys.executable, str(program), str(root / "store"), json.dumps(contents)]
    environment = {**os.environ, "PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def finish(process: subprocess.Popen[str]) -> str:
    """The last line a process that should end well has printed."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out.strip().split("\n")[-1]


def until(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    """Wait for ``condition``; far longer than it ever takes, so that a busy machine does no harm."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def journals(root: Path) -> list[Path]:
    """What is left of journals."""
    return list((root / "store" / "state" / "journals").iterdir())


def stored(root: Path, one: Any, clips: list[Clip]) -> set[str]:
    """Ids of the clips the store has answers for, by a look from outside."""
    table = FeatureStore(root / "store").table(one.fingerprint, one.about)
    keys = {clip.id: input_digest(clip, one.inputs, {}, ContentHasher(None)) for clip in clips}
    return {name for name, key in keys.items() if table.find(key)}


def harmless(**options: Any) -> ExtractorJob:
    """The job of Trouble, in all that the store knows of it, made well."""
    return replace(job(Trouble, **options), extractor_class=Length)


@pytest.mark.parametrize("per_thread", [True, False])
def test_kill_9_loses_next_to_nothing(tmp_path: Path, per_thread: bool) -> None:
    """Killed at several moments; what the store had when it was killed is never extracted again."""
    log = tmp_path / "log"
    contents = [f"clip {number}" for number in range(60)]
    clips, one = texts(*contents), job(per_thread=per_thread)
    jobs = f"[job(per_thread={per_thread}, batch_seconds=2.0, sleep=0.01, log={str(log)!r})], {{}}"
    safe: Counter[str] = Counter()
    for moment in (1, 15, 35):
        process = start(tmp_path, contents, jobs)
        until(lambda n=moment: len(logged(log)) >= n)
        finished = {line.split()[0] for line in logged(log)[:-8]}
        until(lambda f=finished: f <= stored(tmp_path, one, clips))
        process.kill()
        process.wait()
        survivors = stored(tmp_path, one, clips)
        counts = Counter(line.split()[0] for line in logged(log))
        for name in survivors:
            safe.setdefault(name, counts[name])
    assert len(safe) >= 15
    assert finish(start(tmp_path, contents, jobs)) == "[]"
    assert stored(tmp_path, one, clips) == {clip.id for clip in clips}
    counts = Counter(line.split()[0] for line in logged(log))
    assert {name: counts[name] for name in safe} == dict(safe)
    assert set(counts) == {clip.id for clip in clips}
    assert not journals(tmp_path)


def test_the_default_checkpoint_is_a_few_seconds() -> None:
    assert ShardLimits().checkpoint <= 3


@pytest.mark.parametrize("per_thread", [True, False])
def test_a_clip_that_kills_the_process_is_skipped_and_named(tmp_path: Path, per_thread: bool) -> None:
    contents = [f"clip {number}" for number in range(12)]
    contents[5] = "abort"
    jobs = f"[job(Trouble, per_thread={per_thread}), job(name='text:other', version='2')], {{}}"
    first = start(tmp_path, contents, jobs)
    first.communicate(timeout=120)
    assert first.returncode == -signal.SIGABRT
    assert json.loads(finish(start(tmp_path, contents, jobs))) == [["c5", "crash", "text:toy"]]
    clips = texts(*contents)
    assert stored(tmp_path, job(Trouble), clips) == {clip.id for clip in clips} - {"c5"}
    assert stored(tmp_path, job(version="2"), clips) == {clip.id for clip in clips}
    store, log = FeatureStore(tmp_path / "store"), tmp_path / "log"
    again = extract(clips, [harmless(log=str(log))], {}, store)
    assert [(failure.id, failure.stage) for failure in again.failures] == [("c5", "crash")]
    assert "died during text:toy" in again.failures[0].reason
    assert (again.reused, logged(log)) == ({"text:toy": 11}, [])
    contents[5] = "repaired"
    assert extract(texts(*contents), [harmless()], {}, store).failures == ()


def test_several_deadly_clips_and_a_deadly_deriver(tmp_path: Path) -> None:
    contents = ["a", "abort", "b", "abort 2", "c", "abort 3"]
    jobs = "[hearing(), job(Trouble)], shouting()"
    ends = []
    for _ in range(6):
        process = start(tmp_path, contents, jobs)
        out, _err = process.communicate(timeout=120)
        ends.append(process.returncode)
        if process.returncode == 0:
            break
    assert ends[-1] == 0, ends
    assert sorted(json.loads(out.strip())) == [
        ["c1", "crash", "text:hear"],
        ["c1", "crash", "text:toy"],
        ["c3", "crash", "text:toy"],
        ["c5", "crash", "text:toy"],
    ]
    clips = texts(*contents)
    assert stored(tmp_path, job(Trouble), clips) == {"c0", "c2", "c4"}


def test_a_plugin_of_a_script_is_tried_in_the_next_process(tmp_path: Path) -> None:
    """The class lives in __main__, so no other process can import it."""
    contents = ["a", "abort", "b"]
    jobs = "[job(type('Own', (Trouble,), {'__module__': '__main__'}))], {}"
    codes = []
    for _ in range(2):
        process = start(tmp_path, contents, jobs)
        process.communicate(timeout=120)
        codes.append(process.returncode)
    assert codes == [-signal.SIGABRT, -signal.SIGABRT]
    assert json.loads(finish(start(tmp_path, contents, jobs))) == [["c1", "crash", "text:toy"]]


def test_retry_tries_a_skipped_clip_again(tmp_path: Path) -> None:
    contents = ["a", "abort", "b"]
    jobs = "[job(Trouble)], {}"
    start(tmp_path, contents, jobs).communicate(timeout=120)
    assert json.loads(finish(start(tmp_path, contents, jobs))) == [["c1", "crash", "text:toy"]]
    still = finish(start(tmp_path, contents, jobs, "retry=True"))
    assert json.loads(still) == [["c1", "crash", "text:toy"]]
    store, clips = FeatureStore(tmp_path / "store"), texts(*contents)
    assert len(extract(clips, [harmless()], {}, store).failures) == 1
    retried = extract(clips, [harmless()], {}, store, EngineSettings(retry=True))
    assert (retried.failures, retried.extracted) == ((), {"text:toy": 1})


@pytest.mark.parametrize("per_thread", [True, False])
def test_ctrl_c_ends_at_once_and_leaves_no_suspects(tmp_path: Path, per_thread: bool) -> None:
    """One clip sleeps for ten minutes; the process is gone long before, and nothing is recovered."""
    log = tmp_path / "log"
    jobs = f"[job(per_thread={per_thread}, sleep=600, log={str(log)!r}), job(name='text:b', version='2')], {{}}"
    process = start(tmp_path, ["a", "b", "c"], jobs)
    until(lambda: logged(log))
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    out, err = process.communicate(timeout=60)
    assert time.monotonic() - began < 20
    assert process.returncode == 130, err
    assert out.strip() == "interrupted"
    assert "Traceback" not in err
    assert not journals(tmp_path)


def test_processes_with_a_shard_each_fill_one_store(tmp_path: Path) -> None:
    log = tmp_path / "log"
    contents = [f"clip {number}" for number in range(40)]
    jobs = f"[job(log={str(log)!r})], {{}}"
    running = [start(tmp_path, contents, jobs, f"workers=2, shard=({part}, 3)") for part in (1, 2, 3)]
    assert [finish(process) for process in running] == ["[]"] * 3
    assert sorted(Counter(line.split()[0] for line in logged(log)).values()) == [1] * 40
    report = extract(texts(*contents), [job()], {}, FeatureStore(tmp_path / "store"))
    assert report.reused == {"text:toy": 40}


def test_a_killed_recovery_convicts_nobody(tmp_path: Path) -> None:
    """Clips under suspicion are still that after the process that tries them is killed too."""
    log = tmp_path / "log"
    contents = ["slow one", "slow two", "slow three", "slow four"]
    jobs = f"[job(sleep=600, log={str(log)!r})], {{}}"
    for lines in (2, 3):
        process = start(tmp_path, contents, jobs)
        until(lambda n=lines: len(logged(log)) >= n)
        process.kill()
        process.wait()
    until(lambda: all(path.name.count("-child") == 0 for path in journals(tmp_path)))
    assert finish(start(tmp_path, contents, "[job()], {}")) == "[]"
    assert stored(tmp_path, job(), texts(*contents)) == {"c0", "c1", "c2", "c3"}


def test_a_journal_tells_what_was_begun(tmp_path: Path) -> None:
    a, b, c = texts("a", "b", "c")
    journal = Journal(tmp_path)
    first = journal.begin(a)
    journal.begin(b)
    third = journal.begin(c, deaths=1, limit=2)
    journal.stage(third, "faces", {"job": "key"})
    journal.end(first)
    found = {begun.id: begun for begun in read_journal(journal.path)}
    assert set(found) == {"c1", "c2"}
    assert (found["c1"].deaths, found["c1"].convicted) == (0, False)
    assert (found["c2"].deaths, found["c2"].convicted, found["c2"].stage) == (2, True, "faces")
    everything = {clip_identity(clip): clip for clip in (a, b, c)}
    other = Journal(tmp_path)
    assert take_over(other, tmp_path, everything) == [], "its writer lives"
    torn = journal.path.with_name("dead.jsonl")
    torn.write_bytes(journal.path.read_bytes() + b'{"n": 2, "e')
    only_b = {clip_identity(b): b}
    assert [begun.id for begun in take_over(other, tmp_path, only_b)] == ["c1"]
    assert [begun.id for begun in read_journal(torn)] == ["c2"], "clips of other manifests stay"
    assert [begun.id for begun in take_over(other, tmp_path, everything)] == ["c2"]
    assert not torn.exists()
    assert sorted(begun.id for begun in read_journal(other.path)) == ["c1", "c2"]
    other.close()
    journal.close()
    journal.end(third)
    assert not list((tmp_path / "journals").iterdir())


def test_an_error_of_the_caller_leaves_no_threads_and_no_suspects(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path / "store")

    def progress(*call: object) -> None:
        raise RuntimeError("the bar broke")

    with pytest.raises(RuntimeError, match="the bar broke"):
        extract(texts("a", "b"), [job(Trouble)], {}, store, EngineSettings(workers=2), progress)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("mer-")]
    assert not journals(tmp_path)
    assert isinstance(extract(texts("a", "b"), [job(Trouble)], {}, store), ExtractReport)
