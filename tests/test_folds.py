"""The split plan: who is learnt from, who is scored, and when that means nothing."""

from __future__ import annotations

import random

import numpy as np
import pytest

from mer_core.data.folds import load_folds, plan_folds, save_folds
from mer_core.errors import DataError, TooLittleDataError, UsageError

CLASSES = ("neutral", "angry", "happy", "sad", "worried", "surprise")


def speakers(count: int, of: int) -> list[str]:
    return [f"s{i * of // count}" for i in range(count)]


def labels(count: int, classes: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, classes, count)


def assert_covers(plan, clips) -> None:
    assert sorted(np.concatenate([fold.val for fold in plan.folds])) == sorted(clips)
    for fold in plan.folds:
        assert sorted([*fold.train, *fold.val]) == sorted(clips)


def test_a_group_is_never_on_both_sides():
    groups = speakers(600, 23)
    plan = plan_folds(labels(600), groups, k=5)
    assert plan.group
    assert plan.kind == "grouped"
    assert_covers(plan, range(600))
    for fold in plan.folds:
        assert not {groups[i] for i in fold.train} & {groups[i] for i in fold.val}


def test_grouped_folds_are_even_and_stratified():
    y = np.repeat(np.arange(6), [250, 230, 200, 150, 120, 50])
    groups = [f"s{i % 97}" for i in range(1000)]
    for fold in plan_folds(y, groups, k=5).folds:
        share = np.bincount(y[fold.val], minlength=6) / np.bincount(y)
        assert abs(len(fold.val) - 200) <= 15
        assert np.abs(share - 0.2).max() < 0.05


def test_without_groups_folds_are_stratified_to_one_clip():
    y = labels(503)
    plan = plan_folds(y, [None] * 503, k=5)
    counts = np.array([np.bincount(y[fold.val], minlength=6) for fold in plan.folds])
    assert not plan.group
    assert_covers(plan, range(503))
    assert np.ptp(counts, axis=0).max() <= 1
    assert np.ptp(counts.sum(axis=1)) <= 1


def test_the_mer2024_split_is_five_times_1006_by_pythons_shuffle():
    plan = plan_folds(labels(5030), k=5, seed=7, kind="shuffle")
    order = list(range(5030))
    random.Random(7).shuffle(order)
    assert [len(fold.val) for fold in plan.folds] == [1006] * 5
    assert list(plan.folds[1].val) == sorted(order[1006:2012])
    assert_covers(plan, range(5030))


def test_the_remainder_of_a_shuffle_is_in_the_last_fold():
    assert [len(fold.val) for fold in plan_folds(labels(53), k=5, kind="shuffle").folds] == [10, 10, 10, 10, 13]


def test_leave_one_group_out():
    groups = speakers(120, 8)
    plan = plan_folds(labels(120), groups, k="loo")
    assert plan.kind == "loo"
    assert [len({groups[i] for i in fold.val}) for fold in plan.folds] == [1] * 8
    with pytest.raises(UsageError, match="no group"):
        plan_folds(labels(120), None, k="loo")


def test_same_seed_same_plan_other_seed_another():
    def vals(seed):
        return [fold.val.tolist() for fold in plan_folds(labels(300), speakers(300, 30), k=5, seed=seed).folds]

    assert vals(3) == vals(3)
    assert vals(3) != vals(4)


def test_only_labelled_training_clips_are_in_folds():
    y, splits = labels(100), [None, "train", "test", "unlabelled"] * 25
    y[::10] = -1
    usable = [i for i in range(100) if y[i] >= 0 and splits[i] in (None, "train")]
    assert_covers(plan_folds(y, splits=splits, k=3), usable)


def test_own_val_split_is_the_only_fold():
    y, splits = labels(60), ["train"] * 40 + ["val"] * 15 + ["test"] * 5
    plan = plan_folds(y, ["a"] * 30 + ["b"] * 15 + ["c"] * 15, splits)
    (fold,) = plan.folds
    assert plan.kind == "val"
    assert fold.train.tolist() == list(range(40))
    assert fold.val.tolist() == list(range(40, 55))
    assert not plan.group
    assert plan.notes == ("groups in both train and val: b",)


def test_fewer_groups_than_folds_give_fewer_folds_and_say_so():
    plan = plan_folds(labels(80), speakers(80, 4), k=5)
    assert len(plan.folds) == 4
    assert "4 folds instead of 5" in plan.notes[0]


def test_classes_of_one_clip_leave_no_folds_and_a_reason():
    plan = plan_folds(np.array([0, 0, 1, 2, 3, 4, 5, -1]), classes=CLASSES)
    assert plan.folds == ()
    assert plan.reason is not None
    assert "5 of 6 classes have one clip each ('angry', 'happy'" in plan.reason


def test_one_stray_label_among_many_does_not_forbid_folds():
    plan = plan_folds(np.array([0, 1] * 50 + [2]), classes=CLASSES)
    assert len(plan.folds) == 5
    assert plan.notes == (
        "classes with fewer clips than folds: 'happy' (1)",
        "'happy' cannot be learnt in the fold that holds all its clips",
    )


def test_one_group_leaves_no_folds_and_a_reason():
    plan = plan_folds(labels(50), ["only"] * 50)
    assert plan.folds == ()
    assert "one group (only)" in (plan.reason or "")


def test_groups_of_one_class_each_leave_no_folds():
    plan = plan_folds(np.array([0] * 10 + [1] * 10), ["a"] * 10 + ["b"] * 10)
    assert plan.folds == ()
    assert "one class only" in (plan.reason or "")


def test_too_little_to_train_names_the_class():
    with pytest.raises(TooLittleDataError, match="all 4 labelled training clips are 'happy'"):
        plan_folds(np.array([2, 2, 2, 2, -1]), classes=CLASSES)
    with pytest.raises(TooLittleDataError, match="no clip of the training split has a label"):
        plan_folds(np.array([-1, 1]), splits=[None, "test"], classes=CLASSES)


def test_one_fold_is_refused():
    with pytest.raises(UsageError, match="1 folds"):
        plan_folds(labels(20), k=1)


def test_a_saved_plan_follows_the_ids(tmp_path):
    ids = [f"片段/{i} a" for i in range(40)]
    plan = plan_folds(labels(40), speakers(40, 8), k=4)
    save_folds(tmp_path / "folds.json", plan, ids)
    again = load_folds(tmp_path / "folds.json", ids)
    assert all(np.array_equal(a.val, b.val) for a, b in zip(plan.folds, again.folds, strict=True))
    assert (again.kind, again.seed, again.group, again.notes) == (plan.kind, plan.seed, plan.group, plan.notes)
    turned = load_folds(tmp_path / "folds.json", ids[::-1])
    assert sorted(39 - turned.folds[0].val) == plan.folds[0].val.tolist()


def test_a_plan_of_other_clips_is_refused(tmp_path):
    save_folds(tmp_path / "folds.json", plan_folds(labels(40), k=4), [str(i) for i in range(40)])
    with pytest.raises(DataError, match="names '39'"):
        load_folds(tmp_path / "folds.json", [str(i) for i in range(39)])
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(DataError, match="not a fold plan"):
        load_folds(tmp_path / "x.json", [])
