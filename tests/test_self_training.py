"""Self-training: what becomes a label, and that no fold's score is contaminated by another fold's labels."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mer_core import compose, fit, open_workspace, run
from mer_core.config import DataChoice, PluginChoice, RunConfig
from mer_core.configure import make_config
from mer_core.errors import OptionError, UsageError
from mer_core.feature_set import FeatureSet
from mer_core.registry import discover
from mer_core.report import words
from mer_core.types import Clip
from mer_core.workflows.fit import Fit
from mer_core.workflows.pseudo_labels import audit_labels
from mer_plugins.trainers.labelling import over_members
from mer_plugins.trainers.options import CvOptions
from mer_plugins.trainers.pseudo import agreed, choose, thresholds
from mer_plugins.trainers.self_training import why_none

CLASSES = ("a", "b", "c")
QUICK: dict[str, Any] = {"epochs": 30, "lr": 0.005, "modality_dropout": 0, "self_training": "class-balanced"}


def options(**values: Any) -> CvOptions:
    return CvOptions(**{"self_training": "class-balanced", **values})


# selection


def test_the_surest_of_each_predicted_class_are_taken_and_ids_break_ties() -> None:
    probabilities = np.asarray([[0.9, 0.1], [0.8, 0.2], [0.9, 0.1], [0.3, 0.7], [0.4, 0.6], [0.99, 0.01]])
    allowed = np.asarray([True, True, True, True, True, False])
    ids = ["f", "e", "a", "d", "c", "b"]
    found = choose(probabilities, allowed, ids, options(pseudo_per_class=2), ("x", "y"))
    assert found == {2: 0, 0: 0, 3: 1, 4: 1}
    assert list(found)[:2] == [2, 0], "of equal ones the first id comes first"
    sure = choose(probabilities, allowed, ids, options(pseudo_confidence=0.75), ("x", "y"))
    assert sure == {0: 0, 1: 0, 2: 0}


def test_thresholds_by_class() -> None:
    probabilities = np.asarray([[0.9, 0.1], [0.7, 0.3], [0.1, 0.9], [0.04, 0.96]])
    wanted = options(self_training="per-class-threshold", pseudo_thresholds={"x": 0.7, "*": 0.95})
    assert choose(probabilities, np.ones(4, bool), list("abcd"), wanted, ("x", "y")) == {0: 0, 1: 0, 3: 1}
    assert thresholds({"x": 0.7, "y": 0.2}, ("x", "y")).tolist() == [0.7, 0.2]
    with pytest.raises(OptionError, match="no class 'z'"):
        thresholds({"z": 0.7, "*": 1}, ("x", "y"))
    with pytest.raises(OptionError, match="no bound for 'y'"):
        thresholds({"x": 0.7}, ("x", "y"))


def test_agreement_counts_only_the_modalities_that_a_clip_has() -> None:
    guess = np.asarray([0, 0, 0, 1])
    others = [np.asarray([0, 0, 1, 0]), np.asarray([0, 1, 1, 1]), np.asarray([0, 0, 0, 0])]
    present = [np.ones(4, bool), np.ones(4, bool), np.asarray([True, True, True, False])]
    said = {mode: agreed(guess, others, present, mode).tolist() for mode in ("all", "majority", "any", "off")}
    assert said["all"] == [True, False, False, False]
    assert said["majority"] == [True, True, False, False], "one of two is no majority"
    assert said["any"] == [True, True, True, True]
    assert said["off"] == [True] * 4
    nobody = agreed(guess, others, [np.zeros(4, bool)] * 3, "all")
    assert not nobody.any(), "a clip without any modality agrees with nothing"


# the whole thing


def blobs(labelled: int = 36, unlabelled: int = 90) -> tuple[FeatureSet, np.ndarray]:
    """Two streams of three classes; the features, and the truth of all clips."""
    rng = np.random.default_rng(0)
    count = labelled + unlabelled
    truth = np.arange(count) % 3
    centres = rng.normal(size=(3, 6)) * 2
    streams = {name: (centres[truth] + rng.normal(size=(count, 6))).astype(np.float32) for name in ("audio", "video")}
    labels = [CLASSES[label] if row < labelled else None for row, label in enumerate(truth)]
    return compose(streams, labels), truth


def learn(features: FeatureSet, wanted: Mapping[str, Any], **more: Any) -> Fit:
    return fit(features, fusion_options={"hidden": 32}, trainer_options=wanted, **more)


def account(found: Fit) -> dict[str, Any]:
    summary: dict[str, Any] = found.model.summary["self_training"]
    return summary


def test_rounds_add_at_most_k_of_each_class_and_never_a_clip_twice() -> None:
    features, truth = blobs()
    found = learn(features, {**QUICK, "pseudo_rounds": 3, "pseudo_per_class": 4}, folds=3)
    told = account(found)
    assert [one["round"] for one in told["rounds"]] == [0, 1, 2, 3]
    for one in told["rounds"][:-1]:
        for own in one["given"]:
            assert max(np.bincount(list(own.values()), minlength=3)) <= 4
    for fold in range(3):
        given = [name for one in told["rounds"][:-1] for name in one["given"][fold]]
        assert len(given) == len(set(given)) == len(told["labels"][fold])
        assert {features.ids.index(name) for name in given} <= set(range(36, len(features.ids)))
    right = [truth[features.ids.index(name)] == label for own in told["labels"] for name, label in own.items()]
    assert np.mean(right) > 0.9
    assert all(11 <= count <= 12 for count in told["rounds"][-1]["learnt"].values())


def test_the_same_seed_gives_the_same_labels_and_another_machine_order_too() -> None:
    features, _ = blobs(unlabelled=60)
    wanted = {**QUICK, "pseudo_rounds": 2}
    one, two = (learn(features, wanted, folds=2) for _ in range(2))
    assert account(one)["labels"] == account(two)["labels"]
    assert one.evaluation is not None
    assert two.evaluation is not None
    assert one.evaluation.scores.waf == two.evaluation.scores.waf


def test_it_says_when_the_modalities_agreed_on_nothing() -> None:
    asked = CvOptions(pseudo_agreement="all")
    assert why_none({"agreement": None, "left": 0.0}, asked) == "every unlabelled clip has a label"
    assert why_none({"agreement": 0.0, "left": 2.0}, asked).endswith(
        "agreed on no clip that was left (cv.pseudo_agreement=all)"
    )
    assert why_none({"agreement": 0.5}, asked) == "no prediction could become a label"
    assert why_none({"agreement": 0.0}, CvOptions(pseudo_agreement="off")) == "no prediction could become a label"


def test_confidence_is_that_of_all_labels_and_agreement_that_of_clips_without_one() -> None:
    none, many, one = (
        {"added": added, "confidence": sure, "agreement": agree}
        for added, sure, agree in ((0.0, None, None), (4.0, 0.9, 0.5), (1.0, 0.4, 0.2))
    )
    found = over_members([none, many, one])
    assert found == {"added": pytest.approx(5 / 3), "confidence": pytest.approx(0.8), "agreement": pytest.approx(0.35)}
    assert over_members([none, none])["confidence"] is None


@pytest.mark.parametrize(
    "asked", [{"pseudo_from": "ensemble"}, {"pseudo_patience": 2}, {"pseudo_final": "best"}, {"pseudo_relabel": True}]
)
def test_options_of_rounds_are_refused_where_there_are_none(asked: dict[str, Any]) -> None:
    features, _ = blobs(unlabelled=6)
    with pytest.raises(OptionError, match="is about rounds of labels, and flexmatch has none") as caught:
        learn(features, {**QUICK, "self_training": "flexmatch", **asked}, folds=2)
    assert ("--pseudo-from fold" in caught.value.hint) == ("pseudo_from" in asked)


def test_it_ends_when_no_clip_is_left() -> None:
    features, _ = blobs(unlabelled=12)
    told = account(learn(features, {**QUICK, "pseudo_rounds": 9, "pseudo_agreement": "off"}, folds=2))
    assert told["stopped"] == "every unlabelled clip has a label"
    assert [one["left"] for one in told["rounds"]][-1] == 0
    assert told["rounds"][0]["agreement"] is None, "it was not asked for"
    assert all(one["confidence"] is None or one["confidence"] > 1 / 3 for one in told["rounds"])
    assert len(told["rounds"]) < 9
    nothing, _ = blobs(unlabelled=0)
    told = account(learn(nothing, {**QUICK, "pseudo_rounds": 2}, folds=2))
    assert (told["pool"], told["stopped"], len(told["rounds"])) == (0, "there is no unlabelled clip", 1)


def test_patience_and_the_best_round_look_at_an_inner_part() -> None:
    features, _ = blobs(labelled=60, unlabelled=60)
    wanted = {**QUICK, "pseudo_rounds": 4, "select": "inner", "pseudo_patience": 1, "pseudo_final": "best"}
    told = account(learn(features, wanted, folds=2))
    assert told["stopped"].startswith("no better on the inner part")
    assert told["kept"] < len(told["rounds"]) - 1
    with pytest.raises(OptionError, match="look at an inner part"):
        learn(features, {**QUICK, "pseudo_final": "best"}, folds=2)


def test_warm_start_relabelling_and_thresholds_run() -> None:
    features, truth = blobs(unlabelled=60)
    wanted = {**QUICK, "pseudo_rounds": 2, "pseudo_warm_start": True, "pseudo_relabel": True, "stacked": False}
    wanted |= {"self_training": "per-class-threshold", "pseudo_thresholds": {"*": 0.6}}
    told = account(learn(features, wanted, folds=2))
    right = [truth[features.ids.index(name)] == label for own in told["labels"] for name, label in own.items()]
    assert np.mean(right) > 0.9


def test_own_fold_labels_leave_chance_alone_and_ensemble_labels_do_not() -> None:
    """Random labels, and unlabelled near-copies of every labelled clip: nothing can be learnt of a held-out clip."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(np.arange(6), 16))
    clips = rng.normal(size=(96, 32))
    copies = [clips + 0.05 * rng.normal(size=clips.shape) for _ in range(2)]
    values = np.concatenate([clips, *copies]).astype(np.float32)
    features = compose({"audio": values}, [f"c{label}" for label in labels] + [None] * 192)
    wanted = {**QUICK, "epochs": 40, "pseudo_rounds": 3}
    scores = {}
    for source in ("fold", "ensemble"):
        found = learn(features, {**wanted, "pseudo_from": source}, folds=3)
        assert found.evaluation is not None
        scores[source] = found.evaluation.scores.waf
        assert found.model.summary["contaminated"] is (source == "ensemble")
    assert scores["fold"] < 0.3
    assert scores["ensemble"] > 0.5


# in a run


def test_a_run_reports_rounds_audits_them_and_marks_the_published_way(
    tmp_path: Path, sample_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from rich.console import Console

    from mer_core.cli.summary import print_summary

    space, out = open_workspace(sample_cache), tmp_path / "sample"
    first = run(
        "sample",
        modalities=["text"],
        options={"sample": {"clips": 48}},
        trainer_options={"epochs": 1},
        out=out,
        space=space,
    )
    manifest = tmp_path / "clips.csv"
    with manifest.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["id", "text", "label", "speaker", "split", "truth"])
        for number, clip in enumerate(first.extraction.table.clips):
            split = "unlabelled" if number % 3 == 0 else clip.split
            shown = "" if split == "unlabelled" else clip.label
            table.writerow([clip.id, clip.text, shown, clip.speaker, split, clip.label])
    wanted = {"epochs": 5, "self_training": "class-balanced", "pseudo_rounds": 2, "pseudo_per_class": 2}
    wanted |= {"pseudo_from": "ensemble"}
    settings: dict[str, Any] = {"modalities": ["text"], "trainer_options": wanted, "audit_labels": "truth"}
    settings |= {"folds": 2, "space": space}
    report = run(manifest, out=tmp_path / "run", **settings).report
    told = report.self_training
    assert told is not None
    assert told.pool > 0
    assert [one.round for one in told.rounds] == [0, 1, 2]
    assert all(one.audit is not None for one in told.rounds[:-1])
    assert told.rounds[0].waf.low is not None
    assert told.gain is not None
    section = report.metrics.cv
    assert section is not None
    assert (section.contaminated, section.contaminated_by) == (section.n, ("pseudo-labels",))
    findings = " ".join(report.findings())
    assert "Pseudo-labels came from all folds together" in findings
    assert "Self-training" in findings
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "<h2>Self-training</h2>" in page
    table = page.partition("<h2>Self-training</h2>")[2].partition("</table>")[0]
    assert all(f">{name}</th>" in table for name in told.rounds[0].given)
    assert words.bounds(told.rounds[0].waf) in table
    assert sum(value or 0 for value in told.rounds[0].given.values()) == pytest.approx(told.rounds[0].added)
    assert all(0 <= (value or 0) <= 2 for value in told.rounds[0].given.values())
    lines = (tmp_path / "run" / "pseudo_labels.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "id,fold,label"
    assert len(lines) > 1
    assert "pseudo_labels.csv" in json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))["files"]
    print_summary(report, tmp_path / "run", Console(width=120))
    assert "Self-training on" in capsys.readouterr().out
    settings |= {"trainer_options": {"epochs": 1}, "audit_labels": None}
    plain = run(manifest, out=tmp_path / "t", transductive=True, **settings)
    tested = [row for row, clip in enumerate(plain.extraction.table.clips) if clip.split == "test"]
    rows = plain.training.rows.tolist()
    assert set(tested) <= set(rows)
    assert all(plain.training.data.labels[rows.index(row)] == -1 for row in tested)
    assert any("at hand in training, without their labels (--transductive)" in line for line in plain.report.findings())
    assert not (tmp_path / "t" / "pseudo_labels.csv").exists()


def feature_table(file: Path, labelled: int = 24, unlabelled: int = 36) -> Path:
    """A feature table whose later clips are of the split ``unlabelled``, though it holds their labels."""
    features, truth = blobs(labelled, unlabelled)
    streams = {name: data.values for name, data in features.table.items()}
    split = ["train"] * labelled + ["unlabelled"] * unlabelled
    labels = [CLASSES[one] for one in truth]
    np.savez(file, labels=labels, split=split, audio=streams["audio"], video=streams["video"])
    return file


def test_the_published_protocol_labels_with_all_folds_and_says_so_beside_its_choice_of_epochs(tmp_path: Path) -> None:
    wanted = {"self_training": "class-balanced", "pseudo_rounds": 2, "pseudo_per_class": 2, "epochs": 6, "lr": 0.01}
    table: dict[str, Any] = {"features": feature_table(tmp_path / "clips.npz"), "streams": "audio,video"}
    settings = {**table, "labels": "labels", "folds": 2, "space": open_workspace(tmp_path / "cache")}
    found = run(protocol="mer2024", trainer_options=wanted, out=tmp_path / "run", audit_labels="label", **settings)
    told = found.report.self_training
    assert told is not None
    assert told.source == "ensemble"
    assert [one.audit is not None for one in told.rounds] == [True, True, False]
    given = found.training.model.summary["self_training"]["rounds"][0]["given"]
    assert given[0] == given[1], "every fold learns the labels that all of them gave"
    for curve in found.training.model.summary["curves"]:
        assert curve["chosen_epoch"] == curve["checked_epochs"][int(np.argmax(curve["selection_waf"]))]
    score = found.report.metrics.cv
    assert score is not None
    assert (score.optimistic, score.contaminated, score.n) == (True, 24, 24)
    assert not (tmp_path / "run" / "work").exists()
    with pytest.raises(UsageError, match="nothing in 'truth'"):
        run(trainer_options=wanted, audit_labels="truth", **settings)


def few_labels(source: Path, file: Path) -> Path:
    """One clip in twenty of each class keeps its label; a quarter of the speakers is kept out."""
    table = dict(np.load(source))
    rng = np.random.default_rng(0)
    speakers = rng.permutation(np.unique(table["speaker"]))
    test = np.isin(table["speaker"], speakers[: len(speakers) // 4])
    few = np.full(len(test), "unlabelled")
    for label in np.unique(table["labels"]):
        rows = np.flatnonzero((table["labels"] == label) & ~test)
        few[rng.choice(rows, max(2, round(0.05 * len(rows))), replace=False)] = "train"
    few[test] = "test"
    np.savez(file, few=few, **table)
    return file


def test_on_real_features_with_few_labels_the_report_states_the_gain_and_its_interval(
    real_data: Path, tmp_path: Path
) -> None:
    table = few_labels(real_data / "features" / "ravdess_av.npz", tmp_path / "few.npz")
    report = run(
        features=table,
        streams="audio,video",
        labels="labels",
        split="few",
        audit_labels="labels",
        folds=2,
        trainer_options={**QUICK, "epochs": 10, "pseudo_rounds": 1, "pseudo_per_class": 1},
        out=tmp_path / "run",
        space=open_workspace(tmp_path / "cache"),
    ).report
    told = report.self_training
    assert told is not None
    assert told.rounds[0].audit is not None
    said = [line for line in report.findings() if line.startswith("Self-training ")]
    assert len(said) == 1
    assert re.search(r"WAF .\d?\.\d+ beside no self-training, interval .?\d?\.\d+ to .?\d?\.\d+", said[0]), said
    assert report.metrics.test is not None


def test_labels_to_audit_with_are_spelt_as_the_classes_are() -> None:
    clips = [Clip(id="a", meta={"truth": "fearful"}), Clip(id="b", label="fear", meta={"truth": "angry"}), Clip(id="c")]
    config = RunConfig(
        data=DataChoice(source="x"), streams={}, fusion=PluginChoice(name="f"), trainer=PluginChoice(name="t")
    )
    asked = config.model_copy(update={"audit_labels": "truth"})
    assert audit_labels(clips, asked) == {"a": "fear", "b": "angry"}
    assert audit_labels(clips, config.model_copy(update={"audit_labels": "label"})) == {"b": "fear"}
    assert audit_labels(clips, config) == {}


def test_labels_of_test_clips_stay_hidden_in_folds_of_ones_own() -> None:
    features, _ = blobs(unlabelled=0)
    splits = tuple("test" if row >= 30 else None for row in range(36))
    found = learn(replace(features, splits=splits), {**QUICK, "self_training": "off"}, folds=2)
    assert not (found.held_out.fold[30:] >= 0).any()


@pytest.mark.parametrize(
    ("asked", "flag"), [({"audit_labels": "truth"}, "audit-labels"), ({"pseudo_from": "ensemble"}, "pseudo-from")]
)
def test_flags_of_self_training_want_self_training(asked: dict[str, str], flag: str) -> None:
    trainer = {key: value for key, value in asked.items() if key == "pseudo_from"}
    settings = {key: value for key, value in asked.items() if key != "pseudo_from"}
    with pytest.raises(UsageError, match=f"--{flag} is about self-training") as caught:
        make_config(discover(), trainer_options=trainer, **settings)  # type: ignore[arg-type]
    assert "--self-training class-balanced" in caught.value.hint
    make_config(discover(), trainer_options={**trainer, "self_training": "class-balanced"}, **settings)  # type: ignore[arg-type]
