"""Digests of weights: content counts, place does not."""

from __future__ import annotations

from pathlib import Path

import pytest

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
