"""The shipped fusions, trainer and data set keep the contract, and so do the kit's own helpers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from shelf_good_fusions import LearnsTokens
from shelf_plugin import Shelf

from mer_core.plugin import FusionSpec, StreamInfo, TargetSpec
from mer_core.testing import check_plugin, conformance
from mer_core.testing.tables import feature_set
from mer_core.testing.toy_fusion import ToyFusion, ToyModule
from mer_plugins.trainers.cv import CrossValidation, CvOptions

TOY = FusionSpec(name="toy", target="mer_core.testing.toy_fusion:ToyFusion", stackable=True)


@conformance("attention")
def test_attention(check: Callable[[], None]) -> None:
    check()


@conformance("attention", options={"absent": "zero", "softmax": True, "hidden": 16})
def test_attention_as_published(check: Callable[[], None]) -> None:
    check()


@conformance("concat")
def test_concat(check: Callable[[], None]) -> None:
    check()


@conformance("cv", kind="trainer", options={"min_steps": 100, "lr": 1e-3})
def test_cv(check: Callable[[], None]) -> None:
    check()


@conformance("sample", kind="dataset", options={"clips": 12, "seconds": 0.5})
def test_sample(check: Callable[[], None]) -> None:
    check()


@conformance("toy", plugins=[Shelf([TOY])])
def test_the_fusion_that_trainers_are_checked_with(check: Callable[[], None]) -> None:
    check()


def test_trainers_are_checked_with_folds_trained_at_once() -> None:
    data = feature_set(12, folds=2)
    assert CrossValidation(CvOptions(epochs=1)).fit(ToyFusion(), data, 0).summary["stacked"]


def test_cv_stacks_transformers() -> None:
    options = CvOptions(epochs=2, modality_dropout=0)
    model = CrossValidation(options).fit(LearnsTokens(None), feature_set(12, folds=2), 0)
    assert model.summary["stacked"]


def test_selection_on_the_scored_clips_is_found_out() -> None:
    announced = {"held-out-labels": "select=val chooses the epoch on the scored clips, as the paper does"}
    options = {"select": "val", "epochs": 30}
    only = ("members", "chance", "seeded", "held-out-labels")
    found = check_plugin("cv", kind="trainer", options=options, expected_failures=announced, only=only)
    assert [result.outcome for result in found.results].count("expected") == 1, str(found)


class Tied(ToyFusion):
    """A fusion one of whose weights has two names."""

    def build(self, streams: Mapping[str, StreamInfo], targets: TargetSpec) -> ToyModule:
        built = super().build(streams, targets)
        built.votes[1] = built.votes[0]
        return built


def test_cv_saves_a_fusion_with_tied_weights(tmp_path: Path) -> None:
    data = feature_set(12, folds=2)
    trainer = CrossValidation(CvOptions(epochs=1))
    model = trainer.fit(Tied(), data, 0)
    model.save(tmp_path)
    assert not model.summary["stacked"]
    assert np.array_equal(trainer.load(tmp_path, Tied()).predict(data.table), model.predict(data.table))
