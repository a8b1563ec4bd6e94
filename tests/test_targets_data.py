"""Values and votes from manifests and arrays to what a trainer sees: columns, spelling, hiding, folds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mer_core import compose, read_features
from mer_core.data.dataset import ClipTable, load_clips, scan_clips
from mer_core.data.folds import plan_folds
from mer_core.data.votes import merged, most_votes
from mer_core.errors import DataError, MerError, UsageError
from mer_core.feature_set import FeatureSet
from mer_core.target_choice import value_columns, with_targets
from mer_core.workflows.check import check_dataset
from mer_core.workflows.features import feature_set, learnable, take
from mer_core.workflows.folding import hide_test

NAN = float("nan")
TABLE = """id,text,label,valence,vote_anger,vote_HAP,vote_neutral,split
a,x,angry,0.5,3,1,0,train
b,x,,-1,0,0.4,0.2,
c,x,,,1,1,0,
d,x,happy,nan,,,,test
e,x,sad,2,0,0,5,unlabelled
f,x,happy,1.5,0,2,1,test
"""


def load(folder: Path, text: str = TABLE, **options: Any) -> ClipTable:
    (folder / "m.csv").write_text(text, encoding="utf-8")
    return load_clips(folder / "m.csv", **options)


def features_of(table: ClipTable) -> FeatureSet:
    return feature_set(table, {}, [None] * len(table.clips))


def same(found: NDArray[np.float64] | None, expected: list[Any] | NDArray[np.float64]) -> None:
    np.testing.assert_allclose(known(found), np.asarray(expected, np.float64))


def known(found: NDArray[np.float64] | None) -> NDArray[np.float64]:
    assert found is not None
    return found


def test_columns_become_values_and_votes(tmp_path: Path) -> None:
    table = load(tmp_path, values="valence", votes="vote_*")
    clips = {clip.id: clip for clip in table.clips}
    assert table.targets.classes == ("neutral", "angry", "happy")
    assert (table.targets.values, table.targets.votes) == (("valence",), True)
    assert clips["a"].votes == {"angry": 3, "happy": 1}
    assert clips["a"].values == {"valence": 0.5}
    assert (clips["b"].label, clips["c"].label) == ("happy", None)
    assert clips["c"].values == {}
    assert "valence" not in clips["a"].meta
    assert "vote_HAP" not in clips["a"].meta
    assert any("1 clip without a label: it is the majority of the votes" in note for note in table.notes)
    assert any("1 clip without a label, learnt from by their votes: a tie" in note for note in table.notes)


def test_nothing_is_read_unasked(tmp_path: Path) -> None:
    table = load(tmp_path)
    assert (table.targets.values, table.targets.votes) == ((), False)
    assert table.clips[0].meta["valence"] == "0.5"
    found = features_of(table)
    assert (found.values, found.votes) == (None, None)


def test_what_nobody_may_learn_from_reaches_no_trainer(tmp_path: Path) -> None:
    table = load(tmp_path, values=["valence"], votes="vote_*")
    assert (table.clips[4].values, table.clips[4].votes, table.clips[4].label) == ({}, {}, None)
    assert table.clips[4].meta["label"] == "sad"
    found = features_of(table)
    same(found.values, [[0.5], [-1], [NAN], [NAN], [NAN], [1.5]])
    same(known(found.votes)[:3], [[0, 0.75, 0.25], [1 / 3, 0, 2 / 3], [0, 0.5, 0.5]])
    assert np.isnan(known(found.votes)[3:5]).all()
    hidden = hide_test(found)
    assert np.isnan(known(hidden.values)[[3, 5]]).all()
    assert np.isnan(known(hidden.votes)[[3, 5]]).all()
    assert learnable(hidden).tolist() == [True, True, True, False, False, False]
    part = take(found, np.array([5, 0]))
    same(part.values, [[1.5], [0.5]])
    same(part.votes, known(found.votes)[[5, 0]])


@pytest.mark.parametrize("votes", ["vote_*", "vote_anger,vote_HAP,vote_neutral", "angry=vote_anger,HAP=vote_HAP"])
def test_ways_to_name_votes(tmp_path: Path, votes: str) -> None:
    assert load(tmp_path, votes=votes).clips[0].votes == {"angry": 3, "happy": 1}


def test_columns_that_are_classes_and_a_renamed_value(tmp_path: Path) -> None:
    text = "id,text,annotation,label,angry,happy\na,x,happy,2.5,0,1\nb,x,angry,-1,3,0\n"
    table = load(tmp_path, text, columns={"label": "annotation"}, values="sentiment=label", votes="angry,happy")
    assert [(c.label, c.values, c.votes) for c in table.clips] == [
        ("happy", {"sentiment": 2.5}, {"happy": 1}),
        ("angry", {"sentiment": -1}, {"angry": 3}),
    ]
    without = load(tmp_path, text, values="sentiment=label")
    assert [clip.label for clip in without.clips] == [None, None]


def test_label_map_reaches_votes(tmp_path: Path) -> None:
    table = load(tmp_path, votes="vote_*", label_map={"neutral": "happy", "sad": ""})
    assert table.clips[1].votes == pytest.approx({"happy": 0.6})
    dropped = load(tmp_path, votes="vote_*", label_map={"HAP": ""})
    assert dropped.clips[0].votes == {"angry": 3}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("0.5", "high"), "row 2 (clip a), column 'valence': 'high' is no number"),
        (("0.5", "inf"), "row 2 (clip a), column 'valence': 'inf' is no number"),
        ((",3,1,", ",-3,1,"), "row 2 (clip a), column 'vote_anger': '-3' is no count or share of votes"),
    ],
)
def test_a_cell_that_is_no_number_is_named(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    with pytest.raises(DataError) as caught:
        load(tmp_path, TABLE.replace(*change, 1), values="valence", votes="vote_*")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"values": "valenc"}, "has no column 'valenc', which --values names"),
        ({"votes": "votes_*"}, "no column like 'votes_*'"),
        ({"votes": "vote_anger"}, "fewer than two classes"),
        ({"votes": "vote_anger,angry=vote_HAP,angry=vote_neutral"}, "two columns are the class 'angry'"),
        ({"values": "valence,valence"}, "'valence' is there twice"),
        ({"values": "label"}, "cannot be called 'label'"),
        ({"values": "v=label"}, "'angry' is no number"),
    ],
)
def test_what_cannot_be_read_says_what_to_write(tmp_path: Path, options: Mapping[str, Any], said: str) -> None:
    with pytest.raises(MerError) as caught:
        load(tmp_path, **options)
    assert said in str(caught.value)


def test_empty_columns_are_findings(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("id,text,label,valence\na,x,sad,\nb,x,happy,nan\n")
    (finding,) = scan_clips(tmp_path / "m.csv", values="valence").findings
    assert (finding.level, finding.column) == ("error", "valence")
    (tmp_path / "clip.wav").write_bytes(b"")
    with pytest.raises(UsageError, match="is not a table"):
        load_clips(tmp_path / "clip.wav", values="valence")


def test_the_check_of_a_dataset_reads_them_too(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(TABLE.replace("0.5", "high"))
    assert [one for one in check_dataset(tmp_path / "m.csv").rows if one.kind == "target"] == []
    (found,) = [one for one in check_dataset(tmp_path / "m.csv", values="valence").rows if one.kind == "target"]
    assert (found.row, found.id, found.column) == (2, "a", "valence")


def test_choices() -> None:
    assert value_columns("valence, sentiment=label") == {"valence": "valence", "sentiment": "label"}
    saved = {"values": ["valence"], "votes": ["vote_*"]}
    assert with_targets(saved, None, None) == saved
    assert with_targets(saved, "", "av_votes") == {"values": [], "votes": ["av_votes"]}
    assert most_votes({"a": 1, "b": 1.0000000001}) is None
    assert most_votes({"a": 1, "b": 2}) == "b"
    names, table = merged(np.array([[1.0, 2, 0, 4]]), "abcd", {"a": "x", "b": "", "c": "y", "d": "x"})
    assert (names, table.tolist()) == (("x",), [[5.0]])


def arrays(folder: Path, **more: Any) -> Path:
    votes = np.eye(3)[np.arange(12) % 3] * 4 + [0, 1, 0]
    votes[0], votes[1] = [2, 2, 1], 0
    base = {
        "audio": np.arange(36.0).reshape(12, 3),
        "labels": np.arange(12) % 3,
        "label_names": np.array(["HAP", "sad", "ang"]),
        "av_votes": votes,
        "valence": np.where(np.arange(12) == 3, np.nan, np.arange(12.0)),
        "pair": np.arange(24.0).reshape(12, 2),
        "split": np.array(["train"] * 9 + ["unlabelled", "test", "test"]),
    }
    found = {name: array for name, array in {**base, **more}.items() if array is not None}
    np.savez(folder / "f.npz", **found)
    return folder / "f.npz"


def test_arrays_of_a_table(tmp_path: Path) -> None:
    file = arrays(tmp_path)
    plain = read_features(file, "audio", labels="av_votes")
    assert (plain.votes, plain.values, plain.targets.votes) == (None, None, False)
    for labels, votes in (("av_votes", "labels"), ("av_votes", "av_votes"), (None, "av_votes")):
        found = read_features(file, "audio", labels=labels, votes=votes, values="valence,pair")
        assert found.targets.classes == ("happy", "sad", "angry")
        assert found.targets.values == ("valence", "pair_0", "pair_1")
        assert found.votes is not None
        assert found.values is not None
        same(known(found.votes)[[0, 3]], [[0.4, 0.4, 0.2], [0.8, 0.2, 0]])
        assert np.isnan(known(found.votes)[[1, 9]]).all()
        assert np.isnan(known(found.values)[9]).all()
        assert np.isnan(known(found.values)[3, 0])
        assert found.values[2].tolist() == [2, 4, 5]
        assert found.labels[:3].tolist() == ([-1, -1, 2] if labels else [0, 1, 2])
        assert found.labels[9] == -1


@pytest.mark.parametrize(
    ("more", "options", "said"),
    [
        ({}, {"votes": "av_vote"}, "no array 'av_vote' to read what --votes names"),
        ({}, {"votes": "labels"}, "votes are [12, classes]"),
        ({}, {"votes": "av_votes,pair"}, "several arrays"),
        ({}, {"values": "audio"}, "is a stream and the values"),
        ({"av_votes": np.ones((12, 4))}, {"votes": "av_votes"}, "4 columns of votes, and there are 3 names"),
        ({"valence": np.full(12, np.nan)}, {"values": "valence"}, "known of no clip"),
        ({"valence": np.array(["x"] * 12)}, {"values": "valence"}, "row 0: 'x' is no number"),
        ({"valence": np.full(12, np.inf)}, {"values": "valence"}, "row 0: an infinite value"),
        ({"valence": np.ones(11)}, {"values": "valence"}, "has 11 rows"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path: Path, more: Mapping[str, Any], options: Mapping[str, Any], said: str) -> None:
    with pytest.raises(MerError) as caught:
        read_features(arrays(tmp_path, **more), "audio", **options)
    assert said in str(caught.value)


def test_composed_targets() -> None:
    votes, values = np.array([[2, 2.0], [0, 1], [0, 0], [3, 1]]), {"valence": [0.5, None, 1, 2]}
    streams, splits = {"speech": np.ones((4, 2))}, ["train", "train", "train", "unlabelled"]
    found = compose(streams, votes=votes, values=values, splits=splits, classes=["sad", "happy"])
    assert found.labels.tolist() == [-1, 1, -1, -1]
    assert (found.targets.classes, found.targets.values, found.targets.votes) == (("sad", "happy"), ("valence",), True)
    same(found.votes, [[0.5, 0.5], [0, 1], [NAN, NAN], [NAN, NAN]])
    same(found.values, [[0.5], [NAN], [1], [NAN]])
    assert compose(streams, votes=votes).targets.classes == ("0", "1")
    assert compose(streams, values={"valence": np.ones(4)}).targets.classes == ()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"votes": np.ones((3, 2))}, "votes have the shape [3, 2], not [4, classes]"),
        ({"votes": np.ones((4, 2)), "classes": ["a", "b", "c"]}, "not [4, 3]"),
        ({"votes": np.ones((4, 2)), "labels": ["a", "b", "a", "b"]}, "labels are text"),
        ({"votes": -np.ones((4, 2))}, "a negative vote"),
        ({"values": {"valence": np.ones(3)}}, "the shape [3], not [4]"),
        ({"values": {"valence": ["x"] * 4}}, "are not numbers"),
        ({"values": {"p_x": np.ones(4)}}, "cannot be called 'p_x'"),
    ],
)
def test_composed_targets_that_do_not_fit(options: Mapping[str, Any], said: str) -> None:
    with pytest.raises(MerError) as caught:
        compose({"speech": np.ones((4, 2))}, **options)
    assert said in str(caught.value)


def test_folds_of_values_alone_keep_groups_together() -> None:
    groups = [f"s{number % 6}" for number in range(60)]
    known = np.arange(60) != 7
    plan = plan_folds(np.full(60, -1), groups, k=3, learnable=known)
    assert (len(plan.folds), plan.kind, plan.group) == (3, "grouped", True)
    assert sorted(np.concatenate([fold.val for fold in plan.folds]).tolist()) == np.flatnonzero(known).tolist()
    for fold in plan.folds:
        assert not {groups[i] for i in fold.train} & {groups[i] for i in fold.val}
    assert len(plan_folds(np.full(60, -1), k=4, learnable=known).folds) == 4
    assert plan_folds(np.full(3, -1), learnable=np.array([True, False, False])).reason is not None


def test_clips_with_a_value_alone_are_in_the_folds_of_classes() -> None:
    labels = np.where(np.arange(40) < 30, np.arange(40) % 2, -1)
    plan = plan_folds(labels, k=5, learnable=np.arange(40) < 38)
    assert sorted(np.concatenate([fold.val for fold in plan.folds]).tolist()) == list(range(38))
    assert {int((labels[fold.val] < 0).sum()) for fold in plan.folds} <= {1, 2}
    with pytest.raises(MerError, match="nothing to tell apart"):
        plan_folds(np.zeros(10, np.int64), learnable=np.ones(10, bool))
