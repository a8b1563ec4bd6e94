"""Cells that say that there is nothing are empty; labels that may say so stay, with a remark."""

from __future__ import annotations

from pathlib import Path

import pytest

from mer_core.cli.app import run_app
from mer_core.data.dataset import ClipTable, load_clips
from mer_core.workflows.check import check_dataset


def write(folder: Path, rows: list[tuple[str, str]]) -> Path:
    """A table with the texts and labels of ``rows``."""
    lines = [f"{number},{text},{label}" for number, (text, label) in enumerate(rows)]
    (folder / "m.csv").write_text("\n".join(["id,text,label", *lines]) + "\n", encoding="utf-8")
    return folder / "m.csv"


def load(folder: Path, rows: list[tuple[str, str]], **asked: str) -> ClipTable:
    return load_clips(write(folder, rows), label_map=asked)


def labels(table: ClipTable) -> list[str | None]:
    return [clip.label for clip in table.clips]


GAPS = ("N/A", "n/a", "NA", "na", "null", "NULL", "-", "?", "？", "NaN", "<NA>", "None")


@pytest.mark.parametrize("gap", GAPS)
def test_a_placeholder_is_an_empty_cell_and_counted(tmp_path: Path, gap: str) -> None:
    table = load(tmp_path, [("so", gap), ("well", "sad"), (gap, "sad"), (gap, "happy")])
    assert labels(table) == [None, "sad", "sad", "happy"]
    assert [clip.text for clip in table.clips] == ["so", "well", None, None]
    assert f"cells that say {gap!r} are read as empty: 2 in 'text' and 1 in 'label'" in table.notes


def test_a_table_without_gaps_has_no_remark(tmp_path: Path) -> None:
    table = load(tmp_path, [("none", "sad"), ("a - b ?", "happy"), ("c", "")])
    assert table.notes == ()
    assert [clip.text for clip in table.clips] == ["none", "a - b ?", "c"]


def test_the_word_none_is_a_label_but_for_pythons(tmp_path: Path) -> None:
    python = load(tmp_path, [("so", "None"), ("so", "sad")])
    assert labels(python) == [None, "sad"]
    for none, other in (("none", "sad"), ("None", "Sad"), ("NONE", "SAD")):
        table = load(tmp_path, [("so", none), ("so", other)])
        assert labels(table) == [none, "sad"]
        assert f"{none!r} looks like no label: --label {none}= leaves these clips unlabelled" in table.notes


def test_other_columns_keep_their_words(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("id,text,language,site\n-,so,na,N/A\n")
    (clip,) = load_clips(tmp_path / "m.csv").clips
    assert (clip.id, clip.language, clip.meta["site"]) == ("-", "na", "N/A")


def test_labels_that_look_like_none_stay_with_a_remark_unless_asked_about(tmp_path: Path) -> None:
    rows = [("a", "xxx"), ("b", "Unknown"), ("c", "oth"), ("d", "sad")]
    table = load(tmp_path, rows)
    assert labels(table) == ["xxx", "Unknown", "other", "sad"]
    told = "'Unknown' and 'oth' and 'xxx' look like no labels: --label Unknown= --label oth= --label xxx= leaves"
    assert [note for note in table.notes if note.startswith(told)]
    settled = load(tmp_path, rows, xxx="", Unknown="Unknown", oth="other")
    assert labels(settled) == [None, "Unknown", "other", "sad"]
    assert not any("look" in note for note in settled.notes)


def test_what_is_asked_about_a_placeholder_wins(tmp_path: Path) -> None:
    assert labels(load(tmp_path, [("a", "NA"), ("b", "sad")], NA="negative")) == ["negative", "sad"]
    dropped = load(tmp_path, [("a", "N/A"), ("b", "sad")], **{"N/A": ""})
    assert labels(dropped) == [None, "sad"]
    assert dropped.notes == ("labels dropped as asked: 'N/A'",)


def test_check_says_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, [("a", "xxx"), ("null", "sad"), ("c", "sad")])
    report = check_dataset(path)
    assert [(finding.row, finding.kind) for finding in report.rows] == [(3, "no-modality")]
    assert "cells that say 'null' are read as empty: 1 in 'text'" in report.notes
    assert run_app(["dataset", "check", str(path)]) == 1
    assert "'xxx' looks like no label: --label xxx= leaves these clips unlabelled" in capsys.readouterr().out
    write(tmp_path, [("a", "xxx"), ("c", "sad")])
    assert run_app(["dataset", "check", str(path), "--label", "xxx=", "--json"]) == 0
    assert '"class_counts": {\n    "sad": 1' in capsys.readouterr().out
