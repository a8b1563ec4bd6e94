"""What extractors had learnt from among the scored clips, and that nothing else reaches a fit."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from learners import Learners, Memory, write_texts

from mer_core import finetune, open_workspace, run
from mer_core.config import FittingChoice
from mer_core.data.folds import FoldPlan
from mer_core.engine import ClipFailure, ExtractReport
from mer_core.feature_set import FeatureSet, Fold, StreamData, StreamInfo, TargetSpec
from mer_core.report.sections import Section
from mer_core.workflows.crossfit import parts_of
from mer_core.workflows.fold_tables import merged
from mer_core.workflows.run import RunResult
from mer_core.workflows.workspace import Workspace

LABELS = ["angry", "happy", "sad"] * 8
SMALL: dict[str, Any] = {"trainer_options": {"epochs": 3}, "modalities": ["text"], "extractors": {"text": "memory"}}


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    Memory.fitted.clear()
    return open_workspace(tmp_path / "cache", plugins=[Learners()])


def go(space: Workspace, data: Path, out: Path, **settings: Any) -> RunResult:
    return run(data, out=out, space=space, **{**SMALL, **settings})


def rewritten(data: Path, **columns: Any) -> Path:
    """The manifest with columns computed from each row's number."""
    with data.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    rows = [{**row, **{name: make(number, rows) for name, make in columns.items()}} for number, row in enumerate(rows)]
    with data.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return data


def seen(section: Section | None) -> int:
    assert section is not None
    return section.contaminated


def test_one_clip_under_two_ids_counts_and_equal_words_of_two_do_not(tmp_path: Path, space: Workspace) -> None:
    splits = ["train"] * 18 + ["val"] * 6
    data = write_texts(tmp_path / "data", LABELS, splits)
    rewritten(data, text=lambda i, rows: rows[i % 18]["text"])  # the words of each val clip are in train, too
    assert seen(go(space, data, tmp_path / "texts").report.metrics.val) == 6, "without media, a clip is its text"
    for number in range(24):
        (data.parent / f"{number}.wav").write_bytes(b"")
    rewritten(data, audio=lambda i, rows: f"{i}.wav")
    assert seen(go(space, data, tmp_path / "apart").report.metrics.val) == 0
    rewritten(data, audio=lambda i, rows: f"{i if i < 20 else i % 18}.wav")
    assert seen(go(space, data, tmp_path / "twice").report.metrics.val) == 4


def test_unlabelled_test_clips_do_not_count(tmp_path: Path, space: Workspace) -> None:
    data = write_texts(tmp_path / "data", LABELS, ["train"] * 18 + ["test"] * 6)
    rewritten(
        data,
        text=lambda i, rows: rows[i % 18]["text"],
        label=lambda i, rows: rows[i]["label"] if i < 20 else "",
    )
    assert seen(go(space, data, tmp_path / "run").report.metrics.test) == 2


def test_a_test_clip_that_only_the_last_fit_knows_counts(tmp_path: Path, space: Workspace) -> None:
    data = write_texts(tmp_path / "data", LABELS, ["train"] * 15 + ["val"] * 3 + ["test"] * 6)
    rewritten(data, text=lambda i, rows: rows[15 + (i - 18) % 3]["text"] if i >= 18 else rows[i]["text"])
    assert seen(go(space, data, tmp_path / "folds").report.metrics.test) == 0
    assert seen(go(space, data, tmp_path / "refit", deploy="refit").report.metrics.test) == 6


def test_labels_of_val_and_unlabelled_clips_reach_no_fit(tmp_path: Path, space: Workspace) -> None:
    data = write_texts(tmp_path / "data", LABELS, ["train"] * 12 + ["val"] * 4 + ["unlabelled"] * 4 + ["test"] * 4)
    texts = [line.split(",")[1] for line in data.read_text(encoding="utf-8").splitlines()[1:]]
    result = go(space, data, tmp_path / "run", deploy="refit")
    assert [set(fitted) for fitted in Memory.fitted] == [set(texts[:12]), set(texts[:16])]
    assert (seen(result.report.metrics.val), seen(result.report.metrics.test)) == (0, 0)


def test_one_fit_for_all_learns_from_no_test_clip_even_if_it_takes_part() -> None:
    features = FeatureSet(
        ids=("a", "b", "c", "d"),
        targets=TargetSpec(("x", "y")),
        labels=np.asarray([0, 1, -1, 1]),
        table={},
        splits=("train", "train", "unlabelled", "test"),
    )
    plan = FoldPlan(folds=(), kind="none", seed=0, group=False)
    config: Any = type("Config", (), {"fitting": FittingChoice()})()
    (part,) = parts_of(plan, np.arange(4), features, config, "single")
    assert part.train.tolist() == [0, 1]


def test_a_clip_that_was_read_otherwise_is_still_known(tmp_path: Path, space: Workspace) -> None:
    data = write_texts(tmp_path / "data", LABELS)
    finetune("memory", data, out=tmp_path / "fit", space=space)
    rewritten(data, id=lambda i, rows: f"other{i}", language=lambda i, rows: "en")
    result = go(space, data, tmp_path / "run", fitted={"memory": tmp_path / "fit"})
    assert seen(result.report.metrics.cv) == len(LABELS)


def test_features_that_differ_by_fold_are_never_asked_for_without_one() -> None:
    info = StreamInfo("text:a", "text", 2)
    base, own = (StreamData(info, np.full((3, 2), value, np.float32), np.ones(3, bool)) for value in (0, 1))
    features = FeatureSet(
        ids=("a", "b", "c"),
        targets=TargetSpec(("x", "y")),
        labels=np.asarray([0, 1, 0]),
        table={"text:a": base, "text:b": base},
        folds=(Fold(np.asarray([0, 1]), np.asarray([2])),),
        fold_tables={0: {"text:a": own}},
    )
    assert features.features("text:a", 0).values.max() == 1
    assert features.features("text:b").values.max() == 0
    with pytest.raises(ValueError, match="differs by fold"):
        features.features("text:a")


def test_accounts_of_fits_become_one_of_their_stream() -> None:
    before = ExtractReport(
        keys={"text:letters": ["1", None]},
        failures=(ClipFailure(id="b", stage="decode", reason="torn", stream="text:letters"),),
        held={"faces": ("a",)},
        underived={"faces": {"c": "dark"}},
    )
    names = ("text:memory#0", "text:memory#1")
    found = ExtractReport(
        keys={names[0]: ["1", None], names[1]: [None, None]},
        failures=(
            ClipFailure(id="b", stage="decode", reason="torn", stream=",".join(names)),
            *(ClipFailure(id="a", stage="crash", reason=f"died during {name} of it", stream=name) for name in names),
        ),
        missing={name: {} for name in names},
        extracted=dict.fromkeys(names, 1),
        reused=dict.fromkeys(names, 0),
        nonfinite=dict.fromkeys(names, 0),
        held={"transcript": ("a", "b")},
        underived={"transcript": {"c": "silent"}},
    )
    report = merged(before, found)
    assert report.keys["text:memory"] == ["1", None]
    assert [(one.id, one.stream, one.reason) for one in report.failures] == [
        ("b", "text:letters,text:memory", "torn"),
        ("a", "text:memory", "died during text:memory of it"),
    ]
    assert report.held == {"faces": ("a",), "transcript": ("a", "b")}
    assert report.underived == {"faces": {"c": "dark"}, "transcript": {"c": "silent"}}
