"""The feature store: shards, tables, the asynchronous writer, pruning, several processes at once."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from mer_core.errors import StoreError
from mer_core.pooling import pool_frames
from mer_core.store import FeatureStore, ShardLimits, Table, TableWriter
from mer_core.store.digests import derived_digest
from mer_core.store.shards import as_half, make_row, read_rows, write_shard
from mer_core.types import Derived, Features, Missing

SLOW = ShardLimits(seconds=1e9, checkpoint=1e9)


def frames(seed: int, length: int = 5, dim: int = 3) -> Features:
    values = np.random.default_rng(seed).normal(size=(length, dim)).astype(np.float32)
    return Features(values, np.arange(length) * 0.1)


def table(root: Path, limits: ShardLimits | None = None) -> Table:
    return FeatureStore(root, limits).table("f" * 8, {"extractor": "toy"})


def shards(found: Table) -> list[Path]:
    return sorted(found.folder.glob("*.safetensors"))


def add_many(writer: TableWriter, count: int) -> None:
    for number in range(count):
        writer.add(str(number), frames(number))


def until(condition: object, seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.01)
    return False


def test_everything_comes_back(tmp_path: Path) -> None:
    clip_level = Features(np.array([1, np.nan, 3], np.float32))
    derived = Derived({"boxes": np.ones((2, 4), np.int32), "none": np.zeros((0, 2))}, {"coverage": 0.5, "名": ["x"]})
    found = table(tmp_path)
    with found.writer(keep_frames=True) as writer:
        writer.add("frame", frames(0))
        writer.add("clip", clip_level)
        writer.add("gone", Missing("no face"))
        writer.add("faces", derived)
    assert found.known(["frame"]) == set()
    assert found.refresh() == {"frame", "clip", "gone", "faces"}
    back = found.get("frame")
    assert isinstance(back, Features)
    assert back.values.dtype == np.float32
    np.testing.assert_allclose(back.values, frames(0).values, atol=2e-3)
    np.testing.assert_array_equal(back.times, frames(0).times)
    again = found.get("clip")
    assert isinstance(again, Features)
    assert again.times is None
    np.testing.assert_array_equal(again.values, clip_level.values)
    assert found.get("gone") == Missing("no face")
    assert found.reason("gone") == "no face"
    artefact = found.get("faces")
    assert isinstance(artefact, Derived)
    assert artefact.info == derived.info
    np.testing.assert_array_equal(artefact.arrays["boxes"], derived.arrays["boxes"])
    assert artefact.arrays["none"].shape == (0, 2)
    assert found.get("never") is None


def test_content_of_an_artefact_is_known_without_reading_it(tmp_path: Path) -> None:
    found = table(tmp_path)
    with found.writer() as writer:
        writer.add("a", Derived({"x": np.zeros(2)}))
        writer.add("b", Derived({"x": np.ones(2)}))
        writer.add("c", Missing("nobody"))
    found.refresh()
    contents = [found.content(digest) for digest in "abcd"]
    assert len(set(contents)) == 4
    assert contents[2:] == [derived_digest(Missing("nobody")), None]


@pytest.mark.parametrize("pooling", ["mean", "mean_std", "mean_var"])
def test_pooled_equals_pooling_the_frames(tmp_path: Path, pooling: str) -> None:
    found = table(tmp_path, ShardLimits(rows=3))
    answers = {f"clip{n}": frames(n, 1 + n) for n in range(8)}
    with found.writer() as writer:
        writer.add("gone", Missing("nothing"))
        for digest, answer in answers.items():
            writer.add(digest, answer)
    found.refresh()
    wanted = ["clip7", None, "clip0", "gone", "unknown", "clip3", "clip7"]
    values, present = found.pooled(wanted, pooling)  # type: ignore[arg-type]
    assert present.tolist() == [True, False, True, False, False, True, True]
    for row, digest in enumerate(wanted):
        expected = pool_frames(answers[digest].values, pooling) if present[row] else 0  # type: ignore
        np.testing.assert_array_equal(values[row], expected)


def test_clip_level_features_are_not_doubled_by_pooling(tmp_path: Path) -> None:
    found = table(tmp_path)
    with found.writer() as writer:
        writer.add("a", Features(np.arange(4, dtype=np.float32)))
    found.refresh()
    values, present = found.pooled(["a", None], "mean_std")
    assert values.tolist() == [[0, 1, 2, 3], [0, 0, 0, 0]]
    assert present.tolist() == [True, False]
    empty, none = found.pooled([None], "mean_std")
    assert empty.shape == (1, 0)
    assert not none.any()


def test_frames_are_kept_on_request_only(tmp_path: Path) -> None:
    found = table(tmp_path)
    with found.writer(keep_frames=False) as writer:
        writer.add("a", frames(0))
        writer.add("b", Missing("none"))
    found.refresh()
    assert found.known("ab") == {"a", "b"}
    assert found.known("ab", frames=True) == {"b"}
    with pytest.raises(StoreError, match="frame-level"):
        found.get("a")
    with found.writer(keep_frames=True) as writer:
        writer.add("a", frames(0))
    found.refresh()
    assert found.known("ab", frames=True) == {"a", "b"}
    assert isinstance(found.get("a"), Features)


def test_half_precision_only_where_nothing_is_lost() -> None:
    normal = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    assert as_half(normal).dtype == np.float16
    for lost in (normal * 1e6, normal * 1e-9, np.where(normal > 1, np.nan, normal)):
        assert as_half(lost.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize(
    ("limits", "files"),
    [(ShardLimits(rows=4, seconds=1e9, checkpoint=1e9), 3), (ShardLimits(bytes=600, seconds=1e9, checkpoint=1e9), 3)],
)
def test_shards_close_by_rows_and_bytes(tmp_path: Path, limits: ShardLimits, files: int) -> None:
    found = table(tmp_path, limits)
    with found.writer() as writer:
        for number in range(10):
            writer.add(str(number), frames(number))
    found.refresh()
    assert len(shards(found)) == files
    assert len(found) == 10


def test_an_open_shard_is_saved_while_it_grows(tmp_path: Path) -> None:
    found = table(tmp_path, ShardLimits(checkpoint=0.02))
    writer = found.writer()
    for number in range(3):
        writer.add(str(number), frames(number))
        assert until(lambda n=number: str(n) in found.refresh())
        assert until(lambda: len(shards(found)) == 1)
    found.refresh()
    assert len(found) == 3
    _, present = found.pooled(["0", "1", "2"], "mean")
    assert present.all()
    writer.close()
    assert len(shards(found)) == 1


def test_an_old_shard_is_closed_by_time(tmp_path: Path) -> None:
    found = table(tmp_path, ShardLimits(seconds=0.0, checkpoint=0.01))
    with found.writer() as writer:
        for number in range(3):
            writer.add(str(number), frames(number))
            assert until(lambda n=number: str(n) in found.refresh())
    assert len(shards(found)) == 3


def test_a_reader_survives_the_replacement_of_a_shard(tmp_path: Path) -> None:
    found = table(tmp_path)
    first = write_shard(found.folder, [make_row("a", frames(1))])
    found.refresh()
    write_shard(found.folder, [make_row("a", frames(1)), make_row("b", frames(2))])
    first.unlink()
    _, present = found.pooled(["a", "b"], "mean")
    assert present.tolist() == [True, True]


def test_damaged_and_half_written_files_hide_nothing_else(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    found = store.table("t", {"extractor": "toy"})
    good = write_shard(found.folder, [make_row("a", frames(1))])
    content = good.read_bytes()
    (found.folder / "0-cut.safetensors").write_bytes(content[:-5])
    (found.folder / "1-header.safetensors").write_bytes(content[:30])
    (found.folder / "2-empty.safetensors").write_bytes(b"")
    (found.folder / "3-other.safetensors").write_bytes(content.replace(b'"mer-shard":"1"', b'"mer-shard":"7"'))
    young, old = found.folder / ".tmp-young.safetensors", found.folder / ".tmp-old.safetensors"
    young.write_bytes(content)
    old.write_bytes(content)
    os.utime(old, (1, 1))
    found.refresh()
    assert set(found.damaged) == {path for path in shards(found) if path.name[1] == "-"}
    assert found.known("a") == {"a"}
    assert [info.damaged for info in store.tables()] == [4]
    with pytest.raises(StoreError, match="damaged"):
        read_rows(found.folder / "0-cut.safetensors")
    pruned = store.prune()
    assert pruned.files == 5
    assert young.exists()
    assert not old.exists()
    assert shards(store.table("t", {})) == [young, good]


def test_tables_are_listed_and_pruned(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    for name in ("old", "new"):
        with store.table(name, {"extractor": f"toy-{name}", "options": {"n": 1}}).writer(keep_frames=True) as writer:
            writer.add("a", frames(0))
            writer.add("b", Missing("x"))
    os.utime(tmp_path / "tables" / "old" / "about.json", (1000, 1000))
    infos = {info.fingerprint: info for info in store.tables()}
    assert [info.name for info in store.tables()] == ["toy-new", "toy-old"]
    assert (infos["old"].rows, infos["old"].missing, infos["old"].frames, infos["old"].shards) == (2, 1, 1, 1)
    assert infos["old"].used == 1000
    assert infos["old"].about["options"] == {"n": 1}
    would = store.prune(lambda info: info.used < 2000, dry_run=True)
    assert [info.fingerprint for info in would.tables] == ["old"]
    assert would.bytes == infos["old"].bytes > 0
    assert len(store.tables()) == 2
    store.prune(lambda info: info.used < 2000)
    assert [info.fingerprint for info in store.tables()] == ["new"]


def test_pruning_refuses_while_somebody_extracts(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    with store.using(), store.using(), pytest.raises(StoreError, match="another process"):
        FeatureStore(tmp_path).prune()
    store.prune()


def test_a_full_disk_is_told_to_whoever_adds(tmp_path: Path) -> None:
    found = table(tmp_path, ShardLimits(rows=1))
    writer = found.writer()
    found.folder.rename(tmp_path / "moved")
    with pytest.raises(StoreError, match="cannot be written"):
        add_many(writer, 1000)
    with pytest.raises(StoreError, match="cannot be written"):
        writer.close()


def test_a_store_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        FeatureStore(tmp_path / "file")


def test_many_threads_add_to_one_writer(tmp_path: Path) -> None:
    found = table(tmp_path, ShardLimits(rows=16))
    with found.writer() as writer:

        def work(first: int) -> None:
            for number in range(first, first + 25):
                writer.add(str(number), frames(number))

        threads = [threading.Thread(target=work, args=(25 * n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found.refresh()
    assert len(found) == 100
    values, present = found.pooled([str(n) for n in range(100)], "mean")
    assert present.all()
    np.testing.assert_array_equal(values[42], frames(42).values.astype(np.float64).mean(axis=0).astype(np.float32))


PROCESS = """
import sys, numpy as np
from pathlib import Path
from mer_core.store import FeatureStore, ShardLimits
from mer_core.types import Features
first = int(sys.argv[2])
table = FeatureStore(Path(sys.argv[1])).table("shared", {"extractor": "toy"})
with table.writer(limits=ShardLimits(rows=7, checkpoint=0.01)) as writer:
    for number in range(first, first + 30):
        writer.add(str(number), Features(np.full((2, 3), number, np.float32), np.arange(2.0)))
"""


def test_many_processes_write_one_table(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROCESS, str(tmp_path)]
    running = [subprocess.Popen([*command, str(first)]) for first in (0, 20, 40)]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    found = FeatureStore(tmp_path).table("shared", {})
    values, present = found.pooled([str(n) for n in range(70)], "mean")
    assert present.all()
    assert values[:, 0].tolist() == list(range(70))
