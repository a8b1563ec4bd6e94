"""Digests of weights: content counts, place does not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mer_core import content
from mer_core.plugin import content_digest


def test_content_counts_and_place_does_not(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep" / "weights.bin").write_bytes(b"abc")
        (tmp_path / name / "config.json").write_bytes(b"{}")
    assert content_digest(tmp_path / "one") == content_digest(str(tmp_path / "two"))
    file = tmp_path / "one" / "deep" / "weights.bin"
    assert content_digest(file) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    file.write_bytes(b"abd")
    assert content_digest(tmp_path / "one") != content_digest(tmp_path / "two")


def test_a_renamed_file_in_a_folder_counts(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    before = content_digest(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert content_digest(tmp_path) != before


def test_what_is_not_there_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        content_digest(tmp_path / "gone")


def test_large_files_are_read_once_until_they_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mer_core.content.LARGE", 3)
    read: list[Path] = []
    plain = content._hash
    monkeypatch.setattr("mer_core.content._hash", lambda path: read.append(path) or plain(path))
    file = tmp_path / "weights.bin"
    file.write_bytes(b"abc")
    os.utime(file, (1_000_000, 1_000_000))
    first = content_digest(file)
    assert (content_digest(file), len(read)) == (first, 1)
    file.write_bytes(b"abd")
    os.utime(file, (1_000_001, 1_000_001))
    assert content_digest(file) != first
    assert len(read) == 2
    file.write_bytes(b"abe")  # just now: not remembered
    assert len({content_digest(file), content_digest(file)}) == 1
    assert len(read) == 4


def test_a_damaged_memory_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> None:
    monkeypatch.setattr("mer_core.content.LARGE", 3)
    (own_cache / "state").mkdir()
    (own_cache / "state" / "weights.jsonl").write_bytes(b'{"half\n')
    (tmp_path / "w").write_bytes(b"abc")
    assert content_digest(tmp_path / "w").startswith("ba7816bf")
