"""A plan says which clips cannot be read; none of them drops out unseen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_check import make_video

from mer_core.cli.app import run_app
from mer_core.engine import Unreadable
from mer_core.workflows.plan import unreadable_clips


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Three clips: the videos of two of them are not there, and one of these has a text."""
    make_video(tmp_path / "one.mp4")
    rows = ["one,one.mp4,so,sad", "two,videos/two.mp4,,happy", "three,videos/three.mp4,well,sad"]
    (tmp_path / "m.csv").write_text("\n".join(["id,video,text,label", *rows]) + "\n")
    return tmp_path / "m.csv"


def plan(manifest: Path, modalities: str, *more: str) -> int:
    cache = str(manifest.parent / "cache")
    return run_app(["run", "--data", str(manifest), "-m", modalities, "--cache", cache, "--plan", *more])


def test_the_plan_counts_and_names_clips_without_their_file(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert plan(manifest, "video", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    stream = document["streams"]["video:motion"]
    assert (stream["extract"], stream["reuse"], stream["unreadable"]) == (1, 0, 2)
    assert (document["unreadable"]["clips"], document["unreadable"]["whole"]) == (2, 2)
    assert document["unreadable"]["first"][0] == {
        "id": "two",
        "file": str(Path("videos", "two.mp4")),
        "reason": "the file does not exist",
    }
    told = "2 clips cannot be read: the file does not exist (two: videos/two.mp4, three: videos/three.mp4)"
    assert document["warnings"][0] == f"{told}; 'mer dataset check' names every row."


def test_the_screen_says_so_too_and_what_is_left_of_the_clips(
    manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plan(manifest, "video,text") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "extract 1 clip, reuse 0, 2 cannot be read" in out
    assert "Note 2 clips cannot be read, wholly or in part: the file does not exist (two:" in out


def test_files_that_no_stream_reads_are_not_counted(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert plan(manifest, "text", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["unreadable"] == {"clips": 0, "whole": 0, "first": []}
    assert not any("cannot be read" in one for one in document["warnings"])


def test_only_the_first_few_are_named(tmp_path: Path) -> None:
    (tmp_path / "c0").mkdir()
    lost = [Unreadable(f"c{n}", tmp_path / f"c{n}", n > 0) for n in range(9)]
    found = unreadable_clips(lost, tmp_path)
    assert (found["clips"], found["whole"]) == (9, 8)
    assert [one["id"] for one in found["first"]] == ["c0", "c1", "c2", "c3", "c4"]
    assert [one["reason"] for one in found["first"][:2]] == ["the file is a folder", "the file does not exist"]
