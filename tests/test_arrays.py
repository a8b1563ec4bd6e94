"""Features of one's own: composed, fitted, scored, kept. No media and no extractor takes part."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mer_core import Fit, compose, fit, load_fit, open_workspace
from mer_core.cli.app import run_app
from mer_core.errors import DataError, MerError, OptionError, TooLittleDataError, UsageError
from mer_core.evaluation import weighted_f1
from mer_core.feature_set import FeatureSet, Fold, StreamData, StreamInfo

NAN = float("nan")
CLASSES = ("happy", "sad", "angry")


def clips(seed: int, count: int = 60) -> FeatureSet:
    """Three classes that speech and text tell apart; some clips lack speech, clip 5 its label."""
    rng = np.random.default_rng(seed)
    truth = np.arange(count) % 3
    speech = 3.0 * np.eye(3, 8)[truth] + rng.normal(size=(count, 8))
    speech[::7] = NAN
    text = 2.0 * np.eye(3, 4)[truth] + rng.normal(size=(count, 4))
    labels = [CLASSES[one] if row != 5 else None for row, one in enumerate(truth)]
    groups = [f"s{row // 6}" for row in range(count)]
    return compose({"text:bert": text, "speech": speech}, labels, groups=groups)


@pytest.fixture(scope="module")
def train_set() -> FeatureSet:
    return clips(0)


@pytest.fixture(scope="module")
def fitted(train_set: FeatureSet) -> Fit:
    return fit(train_set, trainer_options={"epochs": 120})


def test_rows_of_nan_are_absent_and_single_nan_are_not() -> None:
    values = np.array([[1.0, 2.0], [NAN, NAN], [NAN, 3.0]])
    found = compose({"text": values, "speech:mine": (values, [False, False, True])}, ["b", "", "a"])
    assert list(found.streams) == ["speech:mine", "text"]
    assert found.table["text"].present.tolist() == [True, False, True]
    assert found.table["speech:mine"].present.tolist() == [False, False, True]
    assert found.table["text"].info == StreamInfo(name="text", modality="text", dim=2)
    assert (found.ids, found.groups, found.targets.classes) == (("0", "1", "2"), None, ("a", "b"))
    assert found.labels.tolist() == [1, -1, 0]


def test_a_stream_of_mer_joins_arrays() -> None:
    info = StreamInfo(name="speech:acoustic", modality="speech", dim=1)
    own = StreamData(info, np.array([[NAN], [2.0]], np.float32), np.array([True, False]))
    found = compose({"speech:acoustic": own, "gaze": [[1], [2]]}, groups=["a", None], ids=[7, 8])
    assert found.table["speech:acoustic"].present.tolist() == [True, False]
    assert found.table["gaze"].values.dtype == np.float32
    assert (found.ids, found.groups, found.labels.tolist()) == (("7", "8"), ("a", ""), [-1, -1])


@pytest.mark.parametrize(
    ("labels", "classes", "expected", "indices"),
    [
        (["sad", None, "happy"], None, ("happy", "sad"), [1, -1, 0]),
        ([10, 2, -1], None, ("2", "10"), [1, 0, -1]),
        (np.array([1, 0, 1]), ("x", "y"), ("x", "y"), [1, 0, 1]),
        ([2.0, NAN, 1.0], ("1", "2", "3"), ("1", "2", "3"), [1, -1, 0]),
        (["y", "y", ""], ("x", "y"), ("x", "y"), [1, 1, -1]),
        (np.array(["sad", "sad", "calm"]), None, ("sad", "calm"), [0, 0, 1]),
    ],
)
def test_labels_are_text_or_numbers(labels: Any, classes: Any, expected: tuple[str, ...], indices: list[int]) -> None:
    found = compose({"text": np.eye(3)}, labels, classes=classes)
    assert found.targets.classes == expected
    assert found.labels.tolist() == indices


TWO = np.ones((2, 3))


@pytest.mark.parametrize(
    ("streams", "settings", "said"),
    [
        ({}, {}, "no stream to compose"),
        ({"Speech": TWO}, {}, "'Speech' is no name of a stream"),
        ({"speech:": TWO}, {}, "'speech:' is no name of a stream"),
        ({"speech": np.ones((2, 4, 3, 1))}, {}, "'speech' has the shape [2, 4, 3, 1], not [N, D]"),
        ({"speech": np.ones(2)}, {}, "Write values[:, None]"),
        ({"speech": np.ones((2, 0))}, {}, "'speech' has the shape [2, 0]"),
        (
            {"speech": [[1.0, 2.0], [1.0]]},
            {},
            "'speech' cannot be read as numbers: row 1 has 1 columns and row 0 has 2",
        ),
        ({"speech": [["loud"], ["soft"]]}, {}, "'speech' cannot be read as numbers: could not convert"),
        ({"speech": TWO, "text": np.ones((3, 1))}, {}, "'speech' is [2, 3], 'text' is [3, 1]"),
        ({"speech": (TWO, [True])}, {}, "'speech' has 2 rows, and its presence is bool [1]"),
        ({"speech": (TWO, [0.5, 1])}, {}, "its presence is float64 [2]"),
        ({"speech": (TWO * NAN, [False, True])}, {}, "'speech', row 1: it counts as present and holds no number"),
        ({"speech": TWO}, {"labels": ["a"]}, "1 labels for 2 clips"),
        ({"speech": TWO}, {"groups": ["a"] * 3}, "3 groups for 2 clips"),
        ({"speech": TWO}, {"labels": ["a", 1]}, "labels are text (row 0) and numbers (row 1)"),
        ({"speech": TWO}, {"labels": [0, 1.5]}, "row 1: the label 1.5 is neither"),
        ({"speech": TWO}, {"labels": [0, -2]}, "row 1: the label -2 is neither"),
        ({"speech": TWO}, {"labels": [True, False]}, "row 0: the label True is neither"),
        ({"speech": TWO}, {"labels": ["a", "c"], "classes": ["a", "b"]}, "row 1: the label 'c' is none of the classes"),
        ({"speech": TWO}, {"labels": [0, 2], "classes": ["a", "b"]}, "row 1: the label 2 is none of the classes"),
        ({"speech": TWO}, {"classes": ["a", "a"]}, "named twice"),
        ({"speech": TWO}, {"ids": ["x", "x"]}, "rows 0 and 1 have the same id 'x'"),
    ],
)
def test_what_cannot_be_composed_is_named(streams: Any, settings: Mapping[str, Any], said: str) -> None:
    with pytest.raises(MerError) as caught:
        compose(streams, **settings)
    assert said in str(caught.value)
    assert caught.value.hint


def test_a_fit_is_scored_on_what_each_fold_held_out(train_set: FeatureSet, fitted: Fit) -> None:
    held_out, labelled = fitted.held_out, np.flatnonzero(train_set.labels >= 0)
    assert held_out.rows.tolist() == labelled.tolist()
    assert np.isnan(held_out.probabilities[5]).all()
    assert held_out.probabilities[labelled].sum(axis=1) == pytest.approx(np.ones(len(labelled)))
    assert fitted.evaluation is not None
    waf = weighted_f1(train_set.labels[labelled], held_out.labels[labelled], 3)
    assert fitted.evaluation.scores.waf == pytest.approx(waf)
    assert waf > 0.8
    interval = fitted.evaluation.intervals["waf"]
    assert interval.low <= waf <= interval.high
    assert (fitted.evaluation.unit, fitted.evaluation.n_units) == ("speaker", 10)
    assert [one.modalities for one in fitted.subsets] == [("speech", "text"), ("speech",), ("text",)]
    assert fitted.plan.group
    groups = train_set.groups or ()
    for number, fold in enumerate(fitted.plan.folds):
        assert not {groups[row] for row in fold.train} & {groups[row] for row in fold.val}
        assert (held_out.fold[fold.val] == number).all()


def test_clips_without_any_stream_are_left_out(train_set: FeatureSet) -> None:
    table = {name: replace(data, present=data.present & (np.arange(60) != 9)) for name, data in train_set.table.items()}
    found = fit(replace(train_set, table=table), trainer_options={"epochs": 2}, folds=3, fusion="concat")
    assert np.isnan(found.held_out.probabilities[[5, 9]]).all()
    assert sorted(np.concatenate([fold.val for fold in found.plan.folds])) == [r for r in range(60) if r not in (5, 9)]


def test_new_clips_are_predicted_with_what_they_have(fitted: Fit) -> None:
    new = clips(1, 30)
    assert fitted.predict(new).shape == (30, 3)
    assert fitted.evaluate(new).scores.waf > 0.8
    text = new.table["text:bert"].values.copy()
    text[0] = NAN
    only = compose({"text:bert": text}, [c for c in ("sad", "angry") for _ in range(15)])
    assert only.targets.classes != fitted.classes
    assert fitted.labels(only)[0] is None
    assert np.isnan(fitted.predict(only)[0]).all()
    names = np.array([str(label) for label in fitted.labels(only)])
    truth = np.array([only.targets.classes[label] for label in only.labels])
    assert fitted.evaluate(only).scores.accuracy == pytest.approx((names == truth)[1:].mean())


def test_what_does_not_fit_the_model_is_named(fitted: Fit) -> None:
    with pytest.raises(DataError, match=r"no stream 'text:bart'. Did you mean 'text:bert'\?"):
        fitted.predict(compose({"text:bart": np.ones((2, 4))}))
    with pytest.raises(DataError, match="'speech' has 3 columns; the model was fitted to 8"):
        fitted.predict(compose({"speech": TWO}))
    with pytest.raises(DataError, match="does not know the class 'calm'"):
        fitted.evaluate(compose({"text:bert": np.ones((2, 4))}, ["calm", "sad"]))


def test_a_saved_fit_predicts_the_same_and_is_no_run(fitted: Fit, tmp_path: Path, capsys: Any) -> None:
    fitted.save(tmp_path / "model")
    again = load_fit(tmp_path / "model", device="cpu")
    new = clips(2, 12)
    assert np.array_equal(again.predict(new), fitted.predict(new))
    assert again.config.fusion == fitted.config.fusion
    assert run_app(["predict", str(tmp_path), "--model", str(tmp_path / "model")]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "no extractor makes speech, text:bert" in said
    assert "load_fit" in said


def test_the_model_of_a_run_is_not_loaded_as_a_fit(fitted: Fit, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    document = json.loads((tmp_path / "pipeline.json").read_text(encoding="utf-8"))
    document["streams"] = {"text:ngram": document["streams"]["text:bert"]}
    document["config"]["streams"] = {"text:ngram": {"extractor": "ngram"}}
    document["versions"] = {"text:ngram": _version("ngram")}
    (tmp_path / "pipeline.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(UsageError, match="is the model of a run"):
        load_fit(tmp_path)


def _version(name: str) -> str:
    from mer_core.spec import ExtractorSpec

    return open_workspace().catalogue.find(ExtractorSpec, name).version


def test_the_same_seed_gives_the_same_fit(train_set: FeatureSet, fitted: Fit) -> None:
    again = fit(train_set, trainer_options={"epochs": 120})
    assert np.array_equal(again.held_out.probabilities, fitted.held_out.probabilities, equal_nan=True)


def test_folds_of_the_features_are_used_as_they_are(train_set: FeatureSet) -> None:
    rows = np.arange(60)
    mine = (Fold(rows[:30], rows[30:]), Fold(rows[30:], rows[:30]))
    found = fit(replace(train_set, folds=mine), trainer_options={"epochs": 2})
    assert (found.plan.kind, found.plan.group) == ("given", True)
    assert [fold.val.tolist() for fold in found.plan.folds] == [[*range(30, 60)], [r for r in range(30) if r != 5]]
    leaky = (Fold(rows[:31], rows[30:]),)
    with pytest.raises(DataError, match="fold 1 learns from the clip '30' and is scored on it"):
        fit(replace(train_set, folds=leaky))


def test_what_cannot_be_fitted_is_refused(train_set: FeatureSet) -> None:
    with pytest.raises(TooLittleDataError, match="at least two classes"):
        fit(compose({"text": np.ones((4, 2))}, ["sad"] * 4))
    with pytest.raises(TooLittleDataError, match=r"compose\(\) was given no labels.*at least two classes"):
        fit(compose({"text": np.ones((4, 2))}))
    with pytest.raises(TooLittleDataError, match=r"no clip has a label\."):
        fit(compose({"text": np.ones((2, 2))}, ["sad", "happy"], splits=["unlabelled"] * 2))
    with pytest.raises(TooLittleDataError, match="every labelled clip is of the split 'test'"):
        fit(compose({"text": np.ones((2, 2))}, ["sad", "happy"], splits=["test"] * 2))
    with pytest.raises(UsageError, match="Owners here are attention, cv"):
        fit(train_set, options={"concat": {"hidden": 8}})
    with pytest.raises(OptionError, match=r"attention: no option 'hiden' \(did you mean 'hidden'\?\)"):
        fit(train_set, fusion_options={"hiden": 8})
    with pytest.raises(UsageError, match="the very clips that are scored"):
        fit(train_set, trainer_options={"select": "val"})


def test_options_of_the_fusion_and_of_the_trainer(train_set: FeatureSet) -> None:
    found = fit(train_set, fusion="concat", fusion_options={"hidden": 8}, trainer_options={"epochs": 1}, folds=2)
    assert (found.config.fusion.options["hidden"], found.config.trainer.options["epochs"]) == (8, 1)
    again = fit(
        train_set, fusion="concat", fusion_options={"hidden": 8, "dropout": 0.0},
        options={"concat": {"hidden": 9}}, trainer_options={"epochs": 1}, folds=2,
    )  # fmt: skip
    assert (again.config.fusion.options["hidden"], again.config.fusion.options["dropout"]) == (9, 0.0)


def test_one_model_without_folds_where_cross_validation_means_nothing() -> None:
    found = fit(compose({"text": np.eye(3)}, ["happy", "sad", "sad"], groups=["a"] * 3), trainer_options={"epochs": 2})
    assert (found.evaluation, found.subsets, found.plan.folds) == (None, (), ())
    assert found.plan.reason
    assert np.isnan(found.held_out.probabilities).all()
    assert found.predict(compose({"text": np.eye(3)})).shape == (3, 2)


def test_test_clips_are_never_learnt_from_and_a_val_split_is_scored(train_set: FeatureSet) -> None:
    parts = ["test" if row % 5 == 4 else "val" if row % 5 == 3 else None for row in range(60)]
    split = replace(train_set, splits=tuple(parts))
    scrambled = replace(split, labels=np.where([p == "test" for p in parts], 2 - split.labels, split.labels))
    one, other = (fit(features, trainer_options={"epochs": 5}) for features in (split, scrambled))
    assert np.array_equal(one.predict(train_set), other.predict(train_set), equal_nan=True)
    val = [row for row, part in enumerate(parts) if part == "val"]
    assert set(np.flatnonzero(one.held_out.fold >= 0)) == set(val) - set(np.flatnonzero(train_set.labels < 0))
    assert one.evaluate(split).scores.confusion.sum() == sum(part == "test" for part in parts)


def test_splits_of_arrays_are_those_of_a_manifest() -> None:
    found = compose({"text": [[1.0], [2.0], [3.0]]}, ["a", "b", "a"], splits=["", "unlabelled", "test"])
    assert found.splits == (None, "unlabelled", "test")
    assert found.labels.tolist() == [0, -1, 0]
    with pytest.raises(DataError, match=r"row 1: there is no split 'tset'.*train, val, test"):
        compose({"text": [[1.0], [2.0]]}, ["a", "b"], splits=["train", "tset"])
