"""Members are asked with the features of their own fold, and alone where a clip was held out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from mer_core import extract, open_workspace, train
from mer_core.evaluation import weighted_f1
from mer_core.feature_set import FeatureSet, Fold, StreamData, StreamInfo, TargetSpec
from mer_core.protocols import Model
from mer_core.workflows.scoring import ensemble, out_of_fold, subsets_of

INFO = StreamInfo(name="text:a", modality="text", dim=2)


class Echo:
    """A model whose logits are its features, plus ten for the class of its own number."""

    streams: Mapping[str, StreamInfo] = {"text:a": INFO}

    def logits(self, features: Mapping[str, StreamData], fold: int | None = None) -> Any:
        own = np.eye(2)[fold] * 10 if fold is not None else 0.0
        return features["text:a"].values + own

    def predict(self, features: Mapping[str, StreamData], fold: int | None = None) -> Any:
        exact = np.exp(self.logits(features, fold))
        return exact / exact.sum(axis=1, keepdims=True)


def stream(value: float) -> StreamData:
    return StreamData(INFO, np.array([[value, 0.0]] * 4, np.float32), np.ones(4, bool))


def features(**changes: Any) -> FeatureSet:
    base: dict[str, Any] = {
        "ids": ("a", "b", "c", "d"),
        "targets": TargetSpec(("x", "y")),
        "table": {"text:a": stream(0)},
    }
    return FeatureSet(labels=np.array([0, 1, 0, 1]), **{**base, **changes})


def test_each_clip_is_scored_by_the_member_that_held_it_out() -> None:
    rows = np.arange(4)
    folds = (Fold(rows[2:], rows[:2]), Fold(rows[:2], rows[2:3]))
    found = out_of_fold(cast("Model", Echo()), features(folds=folds))
    assert found.fold.tolist() == [0, 0, 1, -1]
    assert found.labels[:3].tolist() == [0, 0, 1]
    assert np.isnan(found.probabilities[3]).all()
    assert found.rows.tolist() == [0, 1, 2]


def test_members_of_an_ensemble_see_their_own_folds_features() -> None:
    model = cast("Model", Echo())
    shared = ensemble(model, features())
    assert shared == pytest.approx(np.full((4, 2), 0.5))
    apart = ensemble(model, features(fold_tables={0: {"text:a": stream(4.0)}, 1: {"text:a": stream(2.0)}}))
    assert apart[0] == pytest.approx(np.exp([8.0, 5.0]) / np.exp([8.0, 5.0]).sum())


def test_subsets_are_all_and_begin_with_the_full_one() -> None:
    found = subsets_of(("speech", "text", "video"))
    assert found[0] == ("speech", "text", "video")
    assert len(found) == len(set(found)) == 7


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_fusion_beats_the_best_single_modality_on_the_sample(seed: int, sample_cache: Path) -> None:
    """Through decoding, extraction and training, each single modality with a model of its own."""
    space = open_workspace(sample_cache)

    def waf(*modalities: str) -> float:
        sample = {"seed": seed, "seconds": 0.6}
        settings: dict[str, Any] = {"options": {"sample": sample}, "trainer_options": {"epochs": 50}}
        training = train(extract("sample", modalities=modalities, space=space, **settings), space=space)
        found = out_of_fold(training.model, training.data)
        labels = training.data.labels[found.rows]
        return weighted_f1(labels, found.labels[found.rows], len(training.data.targets.classes))

    fused = waf("speech", "text", "video")
    assert max(waf(name) for name in ("speech", "text", "video")) < fused < 0.96
