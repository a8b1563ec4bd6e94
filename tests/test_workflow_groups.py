"""Speakers that only some clips have: those that are known still stay in one fold."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from mer_core.configure import make_config
from mer_core.data.dataset import ClipTable
from mer_core.data.folds import FoldPlan
from mer_core.feature_set import FeatureSet, StreamData, StreamInfo, TargetSpec
from mer_core.registry import discover
from mer_core.types import Clip
from mer_core.workflows.account import _shared_with_test
from mer_core.workflows.features import feature_set
from mer_core.workflows.train import plan_training

CLASSES = ("happy", "sad")


def planned(speakers: list[str | None], **settings: Any) -> tuple[FeatureSet, FoldPlan]:
    clips = tuple(Clip(id=str(i), text="a", label=CLASSES[i % 2], speaker=who) for i, who in enumerate(speakers))
    table = ClipTable(clips, TargetSpec(CLASSES), Path("x.csv"), ())
    count = len(clips)
    stream = StreamData(
        StreamInfo(name="text:a", modality="text", dim=2), np.zeros((count, 2), np.float32), np.ones(count, bool)
    )
    features = feature_set(table, {"text:a": stream}, [clip.speaker for clip in clips])
    config = make_config(discover(), modalities=["text"], **settings)
    return features, plan_training(features, config)[1]


def test_one_unknown_speaker_does_not_split_the_others() -> None:
    speakers = [None, *(f"s{i // 6}" for i in range(1, 60))]
    features, plan = planned(speakers)
    assert features.groups == ("", *speakers[1:])
    assert plan.group
    assert plan.notes == ("1 of 60 labelled clips has no known group and is split one by one",)
    for fold in plan.folds:
        assert not {speakers[i] for i in fold.train} & {speakers[i] for i in fold.val} - {None}


def test_without_any_speaker_there_are_no_groups() -> None:
    features, plan = planned([None] * 20)
    assert features.groups is None
    assert not plan.group


def test_leaving_speakers_out_works_under_the_published_protocol() -> None:
    _, plan = planned([f"s{i // 5}" for i in range(20)], protocol="mer2024", folds="loo")
    assert (plan.kind, len(plan.folds), plan.group) == ("loo", 4, True)
    assert planned([f"s{i // 5}" for i in range(20)], protocol="mer2024")[1].kind == "shuffle"


def test_speakers_shared_with_the_test_split_are_told() -> None:
    told = [("train", "a"), ("train", "b"), ("test", "a"), ("test", "c"), ("unlabelled", "c"), ("test", None)]
    clips = tuple(Clip(id=str(i), text="x", split=split, speaker=who) for i, (split, who) in enumerate(told))
    labels = np.array([0, 1, 0, 1, -1, 0])
    folds = SimpleNamespace(folds=SimpleNamespace(group="speaker"))
    extraction = SimpleNamespace(
        table=SimpleNamespace(clips=clips), features=SimpleNamespace(labels=labels), config=folds
    )
    (remark,) = _shared_with_test(cast("Any", extraction), cast("Any", SimpleNamespace(rows=np.array([0, 1, 4]))))
    assert "1 of its 2 speakers are in training too" in remark
    assert _shared_with_test(cast("Any", extraction), cast("Any", SimpleNamespace(rows=np.array([1, 4])))) == ()
    with_test = SimpleNamespace(rows=np.array([1, 2, 3, 4]))
    assert _shared_with_test(cast("Any", extraction), cast("Any", with_test)) == ()
