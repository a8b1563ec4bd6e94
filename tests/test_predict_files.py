"""What ``mer predict`` takes and shows: several files as one table of clips, and the first rows of many."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mer_core import Predictions, open_workspace
from mer_core.cli.app import run_app
from mer_core.cli.predict import SHOWN, _print
from mer_core.errors import DataError, UsageError
from mer_core.types import Prediction
from mer_core.workflows.pipeline import SYNTHETIC
from mer_core.workflows.predict import synthetic
from mer_core.workflows.predict_data import load_sources


def made(*files: Path) -> list[str]:
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.touch()
    return [str(file) for file in files]


def ids(sources: list[str]) -> list[str]:
    return [clip.id for clip in load_sources(sources, {}, open_workspace()).clips]


def test_files_folders_and_tables_become_clips_in_their_order(tmp_path: Path) -> None:
    one, two, *_ = made(
        tmp_path / "b.mp4", tmp_path / "a.wav", tmp_path / "more" / "c.mp4", tmp_path / "more" / "a.mp4"
    )
    (tmp_path / "table.csv").write_text("id,text\nx,hello\nb,bye\n", encoding="utf-8")
    assert ids([one]) == ["b"]
    assert ids([one, two]) == ["b", "a"]
    assert ids([one, two, str(tmp_path / "more"), str(tmp_path / "table.csv")]) == [
        "b.mp4", "a.wav", "more/a", "c", "x", "table/b",
    ]  # fmt: skip


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    both = made(tmp_path / "a.mp4", tmp_path / "a.wav")
    assert ids(both) == ["a.mp4", "a.wav"]
    apart = made(tmp_path / "x" / "a.mp4", tmp_path / "y" / "a.mp4")
    assert ids([*apart, both[1]]) == [*apart, "a.wav"]
    with pytest.raises(UsageError, match=r"a\.mp4 and .*a\.mp4: the same clips are given twice"):
        ids([both[0], str(tmp_path / "x" / ".." / "a.mp4")])


def test_what_is_not_there_is_told_and_a_pattern_as_such(tmp_path: Path) -> None:
    [there] = made(tmp_path / "a.mp4")
    with pytest.raises(DataError, match=r"no file or folder .*b\.mp4"):
        ids([there, str(tmp_path / "b.mp4")])
    with pytest.raises(DataError, match=r"\*\.mp4\. Give the files .*, the folder, or a table\."):
        ids([str(tmp_path / "*.mp4")])
    assert ids(made(tmp_path / "take [2].mp4")) == ["take [2]"]


def test_the_command_takes_several_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = made(tmp_path / "a.mp4", tmp_path / "b.mp4")
    assert run_app(["predict", "--model", str(tmp_path / "model"), *files]) == 2
    assert "is not a model folder" in capsys.readouterr().err


SHARES = {"happy": 0.6, "sad": 0.4}


def many(n: int) -> Predictions:
    found = []
    for row in range(n):
        label = "happy" if row % 3 else "sad"
        found.append(Prediction(id=f"clip-{row}", label=label, probabilities=SHARES, present={"text": True}))
    return Predictions(classes=("happy", "sad"), predictions=tuple(found), failures=(), warnings=("mind",))


@pytest.mark.parametrize(
    ("n", "out", "last"),
    [
        (360, Path("new.csv"), ["… and 340 more in new.csv", "360 clips: happy 240, sad 120"]),
        (21, None, ["… and 1 more (--out FILE.csv or --json for all)", "21 clips: happy 14, sad 7"]),
        (3, Path("new.csv"), ["3 clips: happy 2, sad 1"]),
        (20, None, []),
    ],
)
def test_the_first_rows_are_shown_with_counts(
    n: int, out: Path | None, last: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    _print(many(n), out)
    said = capsys.readouterr()
    lines = said.out.splitlines()[1:]
    rows = lines[: len(lines) - len(last)]
    assert [line.split()[0] for line in rows] == [f"clip-{row}" for row in range(min(n, SHOWN))]
    assert lines[len(rows) :] == last
    assert "mind" in said.err


@pytest.mark.parametrize(("facts", "told"), [({"run": "r"}, 0), ({SYNTHETIC: True}, 1), ({}, 0)])
def test_older_models_say_nothing_of_synthetic_data(facts: dict[str, Any], told: int) -> None:
    assert len(synthetic(cast("Any", SimpleNamespace(facts=facts)))) == told
