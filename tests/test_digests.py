"""Digests: content hashes that are remembered, and what a clip's digest covers."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mer_core.errors import EnvironmentProblem, MediaError
from mer_core.inputs import AudioInput, DerivedInput, FramesInput, TextInput, derived_names
from mer_core.store import digests
from mer_core.store.digests import ContentHasher, derived_digest, input_digest, source_digest
from mer_core.types import Clip, Derived, Missing


def settled(path: Path, content: bytes, when: int = 1_600_000_000) -> Path:
    """A file that was last changed long ago."""
    path.write_bytes(content)
    os.utime(path, (when, when))
    return path


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are really read."""
    read: list[str] = []
    original = digests._hash

    def spy(name: str) -> str:
        read.append(name)
        return original(name)

    monkeypatch.setattr(digests, "_hash", spy)
    return read


def test_hash_is_of_the_whole_content(tmp_path: Path) -> None:
    block = b"x" * 3_000_000
    a = settled(tmp_path / "a", block + b"1")
    b = settled(tmp_path / "b", block + b"2")
    c = settled(tmp_path / "c", block + b"1")
    hasher = ContentHasher(None)
    assert hasher.file(a) == hasher.file(c) != hasher.file(b)
    assert len(hasher.file(a)) == 40


def test_hash_is_remembered_between_processes(tmp_path: Path, counted: list[str]) -> None:
    path = settled(tmp_path / "a", b"one")
    first = ContentHasher(tmp_path / "cache").file(path)
    assert ContentHasher(tmp_path / "cache").file(path) == first
    assert len(counted) == 1


@pytest.mark.parametrize("change", ["content", "time", "size"])
def test_a_changed_file_is_hashed_again(tmp_path: Path, counted: list[str], change: str) -> None:
    path = settled(tmp_path / "a", b"one")
    ContentHasher(tmp_path / "cache").file(path)
    content, when = {
        "content": (b"two", 1_600_000_001),
        "time": (b"one", 1_600_000_001),
        "size": (b"four", 1_600_000_000),
    }[change]
    settled(path, content, when)
    ContentHasher(tmp_path / "cache").file(path)
    assert len(counted) == 2


def test_verify_reads_once_more_and_finds_a_hidden_change(tmp_path: Path, counted: list[str]) -> None:
    path = settled(tmp_path / "a", b"one")
    first = ContentHasher(tmp_path / "cache").file(path)
    settled(path, b"two")
    assert ContentHasher(tmp_path / "cache").file(path) == first
    checking = ContentHasher(tmp_path / "cache", verify=True)
    assert checking.file(path) != first
    checking.file(path)
    assert len(counted) == 2
    assert ContentHasher(tmp_path / "cache").file(path) == checking.file(path)


def test_a_file_changed_just_now_is_not_trusted_later(tmp_path: Path, counted: list[str]) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    hasher = ContentHasher(tmp_path / "cache")
    assert hasher.file(path) == hasher.file(path)
    assert len(counted) == 1
    ContentHasher(tmp_path / "cache").file(path)
    assert len(counted) == 2


def test_damaged_lines_of_the_memory_are_ignored(tmp_path: Path, counted: list[str]) -> None:
    a, b = settled(tmp_path / "a", b"one"), settled(tmp_path / "b", b"two")
    hasher = ContentHasher(tmp_path / "cache")
    wanted = hasher.file(a), hasher.file(b)
    memory = tmp_path / "cache" / "hashes.txt"
    lines = memory.read_bytes().splitlines()
    memory.write_bytes(lines[0][:-9] + b"00000000]\n" + lines[1] + b"\n\xff\n" + lines[0][:20])
    again = ContentHasher(tmp_path / "cache")
    assert (again.file(a), again.file(b)) == wanted
    assert len(counted) == 3


def test_errors_name_the_file_and_the_folder(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"nowhere\.mp4 cannot be read"):
        ContentHasher(None).file(tmp_path / "nowhere.mp4")
    settled(tmp_path / "file", b"")
    with pytest.raises(EnvironmentProblem, match="file"):
        ContentHasher(tmp_path / "file")


def test_digest_covers_what_is_read_and_nothing_else(tmp_path: Path) -> None:
    clip = Clip(
        id="a", video=settled(tmp_path / "v", b"v"), audio=settled(tmp_path / "s", b"s"), text="hi", language="en"
    )
    hasher = ContentHasher(None)

    def of(clip: Clip, item: object) -> str:
        return input_digest(clip, {"x": item}, {"faces": "f", "ranking": "r"}, hasher)  # type: ignore[dict-item]

    changes = {
        "id": replace(clip, id="b", label="happy", speaker="s"),
        "text": replace(clip, text="ho"),
        "language": replace(clip, language="zh"),
        "sound": replace(clip, audio=settled(tmp_path / "s2", b"s2")),
        "video": replace(clip, video=settled(tmp_path / "v2", b"v2")),
        "moved": replace(clip, video=settled(tmp_path / "v3", b"v"), audio=settled(tmp_path / "s3", b"s")),
        "start": replace(clip, start=1.0),
        "zero": replace(clip, start=0),
        "end": replace(clip, end=2),
    }
    differs = {
        kind: {name for name, other in changes.items() if of(other, item) != of(clip, item)}
        for kind, item in {"sound": AudioInput(), "video": FramesInput(fps=5), "text": TextInput()}.items()
    }
    assert differs == {
        "sound": {"sound", "start", "end"},
        "video": {"video", "start", "end"},
        "text": {"text", "language"},
    }


def test_digest_covers_derived_artefacts(tmp_path: Path) -> None:
    clip = Clip(id="a", video=settled(tmp_path / "v", b"v"))
    crops, hasher = {"frames": FramesInput(fps=5, faces=True)}, ContentHasher(None)
    assert derived_names({**crops, "r": DerivedInput("ranking")}) == ("faces", "ranking")
    assert input_digest(clip, crops, {"faces": "1"}, hasher) != input_digest(clip, crops, {"faces": "2"}, hasher)
    assert source_digest(clip, crops, hasher) == source_digest(clip, crops, hasher)
    with pytest.raises(KeyError):
        input_digest(clip, crops, {}, hasher)


def test_derived_digest_is_of_the_content() -> None:
    boxes = np.arange(6, dtype=np.float32)
    base = derived_digest(Derived({"boxes": boxes}, {"n": 1}))
    assert base == derived_digest(Derived({"boxes": boxes.copy()}, {"n": 1}))
    others = [
        Derived({"boxes": boxes.reshape(2, 3)}, {"n": 1}),
        Derived({"boxes": boxes.astype(np.float64)}, {"n": 1}),
        Derived({"b": boxes}, {"n": 1}),
        Derived({"boxes": boxes}, {"n": 2}),
        Missing("no face"),
    ]
    assert len({base, *map(derived_digest, others)}) == 6
    assert derived_digest(Missing("no face")) == derived_digest(Missing("no face"))
