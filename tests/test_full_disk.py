"""A full disk: one line says so, what is stored is used again, and nothing half-written counts as whole."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from checkpoints import Mer, Shelf, extract_line
from full_disk import FullDisk, no_space
from safetensors import SafetensorError

from mer_core.content import content_digest
from mer_core.engine import answers
from mer_core.engine.journal import Journal, record_crash
from mer_core.errors import EnvironmentProblem, StoreError
from mer_core.files import disk_full, write_text
from mer_core.store import FeatureStore, ShardLimits
from mer_core.store.digests import ContentHasher
from mer_core.types import Features

CLIPS = 8
LITE = ["--modalities", "speech,text", "--device", "cpu", "--workers", "1"]


@pytest.fixture
def mer(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Mer:
    monkeypatch.setenv("COLUMNS", "1000")
    return Mer(capsys)


def shards(cache: Path) -> list[Path]:
    return sorted((cache / "features" / "tables").rglob("*.safetensors"))


# the feature store


@pytest.mark.parametrize(("room", "streams"), [(3_000, 0), (30_000, 1)])
def test_a_cache_that_fills_while_extracting(
    mer: Mer, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int, streams: int
) -> None:
    cache = tmp_path / "cache"
    line = ["extract", "--data", str(shelf.clips(CLIPS)), *LITE, "--cache", str(cache)]
    disk = FullDisk(monkeypatch, cache, room)
    mer(*line).refuses(3, str(cache), "Free some")
    stored = {file.parent.name for file in shards(cache)}
    assert not list(cache.rglob(".tmp-*")) + list(cache.rglob("*.part*"))
    assert len(stored) == streams
    disk.free()
    found = json.loads(mer(*line, "--json").out)
    assert sum(found["reused"].values()) == CLIPS * len(stored)
    assert sum(found["extracted"].values()) == CLIPS * (2 - len(stored))
    assert found["failures"] == []


def test_a_full_disk_leaves_no_suspects(
    mer: Mer, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal of a run that stopped is gone: the next run does not take its clips for killers."""
    cache = tmp_path / "cache"
    FullDisk(monkeypatch, cache, 30_000)
    mer("extract", "--data", str(shelf.clips(CLIPS)), *LITE, "--cache", str(cache)).refuses(3)
    assert list((cache / "state" / "journals").glob("*.jsonl")) == []


def test_nothing_is_written_where_all_is_stored(
    mer: Mer, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    line = ["extract", "--data", str(shelf.clips(CLIPS)), *LITE, "--cache", str(cache), "--json"]
    assert mer(*line).code == 0
    (cache / "state" / "hashes.txt").unlink(missing_ok=True)  # clips just made are not remembered yet
    FullDisk(monkeypatch, cache, 0)
    assert json.loads(mer(*line).out)["reused"] == {"speech:acoustic": CLIPS, "text:ngram": CLIPS}


def test_every_writer_is_closed_though_one_of_them_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mer_core.engine.lookup import Tables

    store = FeatureStore(tmp_path, ShardLimits(seconds=1e9, checkpoint=1e9))
    jobs: list[Any] = [_Job(name) for name in ("large", "small")]
    tables = Tables(store, jobs, keep_frames=False)
    FullDisk(monkeypatch, tmp_path, 20_000)
    tables.add(jobs[0], "a", _vector(50_000))
    tables.add(jobs[1], "a", _vector(10))
    with pytest.raises(StoreError, match="No space left on device"):
        tables.close()
    tables.refresh()
    assert [tables.known(job, "a") for job in jobs] == [False, True]


class _Job:
    def __init__(self, name: str) -> None:
        self.fingerprint, self.about = name, {"extractor": name}


def _vector(size: int) -> Features:
    import numpy as np

    return Features(np.ones(size, np.float32))


def test_what_was_saved_before_the_disk_was_full_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = FeatureStore(tmp_path, ShardLimits(rows=2)).table("f", {})
    FullDisk(monkeypatch, tmp_path, 9_000)
    writer = table.writer()

    def add_all() -> None:
        for number in range(500):
            writer.add(str(number), _vector(250))

    with pytest.raises(StoreError, match="No space left on device") as caught:
        add_all()
    assert "run the same command again" in caught.value.hint
    with pytest.raises(StoreError):
        writer.close()
    assert sorted(table.refresh()) == ["0", "1", "2", "3"][: len(table)]
    assert len(table) >= 2
    assert table.damaged == []


# what is remembered


def test_hashes_are_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    media, state = tmp_path / "a.bin", tmp_path / "state"
    media.write_bytes(b"x" * 1000)
    os.utime(media, (1, 1))
    FullDisk(monkeypatch, state, 20)
    value = ContentHasher(state).file(media)
    torn = (state / "hashes.txt").read_bytes()
    assert 0 < len(torn) <= 20
    assert ContentHasher(state).file(media) == value
    monkeypatch.setenv("MER_CACHE", str(state))
    monkeypatch.setattr("mer_core.content.LARGE", 10)
    assert content_digest(media) == content_digest(media)


def test_a_torn_line_costs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mer_core.engine.journal import CRASHES, Begun, read_crashes

    begun = Begun(1, "clip", "clip1", stage="decoding", works={"job": "key"})
    disk = FullDisk(monkeypatch, tmp_path, 30)
    with pytest.raises(EnvironmentProblem, match=f"the disk is full: .*{CRASHES} cannot be written"):
        record_crash(tmp_path, begun)
    disk.free()
    record_crash(tmp_path, begun)
    assert list(read_crashes(tmp_path)) == [("job", "key")]


def test_the_journal_says_where_it_cannot_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mer_core.types import Clip

    disk = FullDisk(monkeypatch, tmp_path, 10_000)
    journal = Journal(tmp_path)
    number = journal.begin(Clip(id="a", text="x"))
    disk.room = 0
    journal.end(number)
    with pytest.raises(EnvironmentProblem, match=f"the disk is full: {journal.path}"):
        journal.begin(Clip(id="b", text="x"))
    journal.close()
    assert not journal.path.exists()


# plugins


def test_a_plugin_on_a_full_disk_stops_the_run_and_blames_no_clip(tmp_path: Path) -> None:
    def write(samples: Any) -> Any:
        raise no_space(tmp_path / "scratch")

    with pytest.raises(EnvironmentProblem, match=r"the disk is full: Plugin stopped while writing .*scratch"):
        answers.bisect(write, [1, 2], "extract", "package.module:Plugin")


@pytest.mark.parametrize("option", [["baichuan.wave=1"], []])
def test_hidden_states_that_find_no_room(
    mer: Mer, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: list[str]
) -> None:
    scratch = tmp_path / "scratch"
    how = [f"baichuan.{one}" for one in ("memory=0", f"scratch={scratch}")] + option
    more = ["--cache", str(tmp_path / "cache"), *(part for one in how for part in ("-o", one))]
    line = extract_line("baichuan", shelf("baichuan"), shelf.clips(), *more)
    mer(*line).refuses(2, f"option scratch: there is no folder {scratch}")
    scratch.mkdir()
    with monkeypatch.context() as full:
        full.setattr("os.posix_fallocate", lambda *args: (_ for _ in ()).throw(no_space()))
        mer(*line).refuses(3, "no room for hidden states: ", f"are needed in {scratch}", "option scratch")
    assert mer(*line).code == 0
    assert list(scratch.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="a device that is always full")
def test_hidden_states_that_fill_the_disk_later(
    mer: Mer, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = ["-o", "baichuan.memory=0", "--cache", str(tmp_path)]
    line = extract_line("baichuan", shelf("baichuan"), shelf.clips(), *more)
    with monkeypatch.context() as full, open("/dev/full", "r+b", buffering=0) as file:
        full.setattr("mer_plugins.text.streaming._reserved", lambda folder, size: file)
        mer(*line).refuses(3, "no room for hidden states", "option scratch")
    assert mer(*line).code == 0


def test_errors_that_say_that_the_disk_is_full() -> None:
    assert disk_full(no_space())
    assert disk_full(SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"))
    assert not disk_full(OSError(13, "Permission denied"))
    assert not disk_full(ValueError("full of space"))


def test_a_file_is_the_old_one_until_the_new_one_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "report.json"
    write_text(file, "old")
    FullDisk(monkeypatch, tmp_path, 10)
    with pytest.raises(EnvironmentProblem, match=f"the disk is full: {file} cannot be written"):
        write_text(file, "new" * 100)
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]
