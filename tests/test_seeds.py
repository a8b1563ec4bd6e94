"""Several seeds: the same folds, scores averaged and never counted as samples, all members saved."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mer_core import FeatureSet, Fit, fit, load_fit, open_workspace
from mer_core.cli.app import run_app
from mer_core.confusions import scores
from mer_core.evaluation import bootstrap, evaluate_predictions, evaluate_subsets, paired_difference, weighted_f1
from mer_core.report.build import section
from mer_core.report.words import each_group
from mer_core.testing.tables import feature_set
from mer_core.workflows.pseudo_labels import self_training, write_pseudo_labels
from mer_core.workflows.seeds import SeveralSeeds
from mer_core.workflows.train import Training


def guesses(n: int = 120, seeds: int = 3, right: float = 0.7) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = rng.integers(4, size=n)
    return y, np.stack([np.where(rng.random(n) < right, y, rng.integers(4, size=n)) for _ in range(seeds)])


GROUPS = [f"s{i % 12}" for i in range(120)]


def test_the_score_is_the_mean_of_the_seeds_scores() -> None:
    y, each = guesses()
    found = evaluate_predictions(y, each, "abcd", GROUPS, folds=[i % 3 for i in range(120)])
    alone = [evaluate_predictions(y, one, "abcd", GROUPS, folds=[i % 3 for i in range(120)]) for one in each]
    assert found.scores.waf == pytest.approx(np.mean([one.scores.waf for one in alone]))
    assert found.scores.recall == pytest.approx(np.mean([one.scores.recall for one in alone], axis=0))
    assert found.scores.confusion == pytest.approx(np.mean([one.scores.confusion for one in alone], axis=0))
    assert (found.scores.n, found.n_units) == (120, 12)
    assert found.folds[1].waf == pytest.approx(np.mean([one.folds[1].waf for one in alone]))
    assert found.intervals["uar"].value == pytest.approx(np.mean([one.intervals["uar"].value for one in alone]))


def test_seeds_are_no_samples() -> None:
    """Seeds that say the same give the interval of one."""
    y, each = guesses()
    same, one = bootstrap(y, np.stack([each[0]] * 3), 4, GROUPS), bootstrap(y, each[0], 4, GROUPS)
    for name, found in same.items():
        assert (found.value, found.low, found.high) == pytest.approx((one[name].value, one[name].low, one[name].high))


def test_a_resample_is_the_same_for_all_seeds() -> None:
    """By hand: draw speakers, score each seed on the draw, average, take percentiles."""
    y, each = guesses()
    found = bootstrap(y, each, 4, GROUPS, n=400, seed=5)["waf"]
    rng, drawn = np.random.default_rng(1), []
    rows = [np.flatnonzero([group == f"s{k}" for group in GROUPS]) for k in range(12)]
    for _ in range(400):
        picked = np.concatenate([rows[k] for k in rng.integers(12, size=12)])
        drawn.append(np.mean([weighted_f1(y[picked], one[picked], 4) for one in each]))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=0.015)


def test_differences_and_subsets_are_averaged_too() -> None:
    y, each = guesses()
    other = np.roll(each, 1, axis=1)
    found = paired_difference(y, each, other[:2], GROUPS, n_classes=4)
    wafs = [[weighted_f1(y, one, 4) for one in part] for part in (each, other[:2])]
    assert found.value == pytest.approx(np.mean(wafs[0]) - np.mean(wafs[1]))
    scored = evaluate_subsets(y, {("a", "b"): each, ("a",): other}, 4, GROUPS)
    assert scored[1].waf.value == pytest.approx(scores(y, other, 4).waf)
    assert scored[0].gain.value == 0


OPTIONS = {"epochs": 8, "lr": 3e-3, "batch_size": 128}


@pytest.fixture(scope="module")
def data() -> FeatureSet:
    made = feature_set(60, signal=1.2, folds=3)
    return replace(made, groups=tuple(f"s{i % 6}" for i in range(60)))


@pytest.fixture(scope="module")
def several(data: FeatureSet) -> Fit:
    return fit(data, seeds=2, seed=4, fusion="concat", trainer_options=OPTIONS)


@pytest.fixture(scope="module")
def singles(data: FeatureSet) -> list[Fit]:
    return [fit(data, seed=seed, fusion="concat", trainer_options=OPTIONS) for seed in (4, 5)]


def test_each_seed_is_a_training_of_its_own_over_the_same_folds(several: Fit, singles: list[Fit]) -> None:
    assert several.held_out.seeds == (4, 5)
    for number, one in enumerate(singles):
        assert several.held_out.each[number] == pytest.approx(one.held_out.probabilities)
        assert several.evaluation.seeds.each[number].waf == pytest.approx(one.evaluation.scores.waf)
    wafs = [one.evaluation.scores.waf for one in singles]
    assert several.evaluation.scores.waf == pytest.approx(np.mean(wafs))
    assert several.evaluation.seeds.mean == several.evaluation.intervals["waf"]
    assert several.evaluation.seeds.spread["waf"] == pytest.approx(np.std(wafs, ddof=1)) != 0
    assert (several.evaluation.unit, several.evaluation.n_units, several.evaluation.scores.n) == ("speaker", 6, 60)


def test_subsets_are_averaged_over_the_seeds(several: Fit, singles: list[Fit]) -> None:
    for number, one in enumerate(several.subsets):
        assert one.waf.value == pytest.approx(np.mean([single.subsets[number].waf.value for single in singles]))


def test_the_model_averages_the_members_of_all_seeds_and_is_saved_whole(
    several: Fit, singles: list[Fit], data: FeatureSet, tmp_path: Path
) -> None:
    table = data.table
    mean = np.mean([one.model.logits(table, 1) for one in singles], axis=0)
    assert several.model.logits(table, 1) == pytest.approx(mean)
    rows = data.folds[1].val
    assert several.held_out.labels[rows].tolist() == mean[rows].argmax(axis=1).tolist()
    assert (several.model.summary["members"], several.model.summary["seeds"]) == (6, [4, 5])
    several.save(tmp_path / "model")
    again = load_fit(tmp_path / "model")
    assert again.predict(data) == pytest.approx(several.predict(data))
    assert again.model.summary["curves"] == several.model.summary["curves"]


def test_progress_counts_all_trainings(data: FeatureSet) -> None:
    seen: list[tuple[int, int, str]] = []
    space = replace(open_workspace(), progress=lambda _, done, total, note: seen.append((done, total, note)))
    fit(data, seeds=2, fusion="concat", trainer_options={"epochs": 2}, space=space)
    assert [done for done, _, _ in seen] == sorted({done for done, _, _ in seen})
    assert seen[-1][0] == seen[-1][1] == seen[0][1]
    assert seen[0][2].startswith("seed 1/2, ")
    assert seen[-1][2].startswith("seed 2/2, ")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with three seeds over a feature table with a test split."""
    folder = tmp_path_factory.mktemp("seeds")
    made = feature_set(72, signal=1.2)
    splits = np.where(np.arange(72) < 54, "train", "test")
    arrays = {name.replace(":", "_"): part.values for name, part in made.table.items()}
    names = np.asarray(made.targets.classes)[made.labels]
    np.savez(folder / "t.npz", labels=names, split=splits, speaker=[f"s{i % 9}" for i in range(72)], **arrays)
    command = ["train", "--features", str(folder / "t.npz"), "--streams", "speech=speech_a,text=text_c"]
    options = ["--epochs", "3", "--folds", "3", "--fusion", "concat", "--seeds", "3"]
    assert run_app([*command, *options, "--out", str(folder / "run"), "--cache", str(folder / "cache")]) == 0
    return folder / "run"


def test_the_report_has_a_line_per_seed_and_their_spread(trained: Path) -> None:
    found = json.loads((trained / "report.json").read_text(encoding="utf-8"))
    for part in ("cv", "test"):
        told = found["metrics"][part]["seeds"]
        wafs = [line["waf"] for line in told["lines"]]
        assert [line["seed"] for line in told["lines"]] == [0, 1, 2]
        assert told["spread"]["waf"] == pytest.approx(np.std(wafs, ddof=1))
        assert told["mean"]["value"] == pytest.approx(np.mean(wafs))
    assert found["metrics"]["cv"]["waf"] == found["metrics"]["cv"]["seeds"]["mean"]
    assert found["metrics"]["test"]["waf"] == found["metrics"]["test"]["seeds"]["together"]
    assert found["metrics"]["cv"]["n"] == 54
    assert (found["model"]["members"], found["model"]["seeds"]) == (9, [0, 1, 2])
    assert {curve["seed"] for curve in found["model"]["curves"]} == {0, 1, 2}
    assert sum(map(sum, found["metrics"]["cv"]["confusion"])) == pytest.approx(54, abs=0.01)
    page = (trained / "report.html").read_text(encoding="utf-8")
    assert "Each of 3 seeds" in page
    assert "Standard deviation over the seeds" in page


def test_predictions_are_those_of_the_saved_model_and_of_all_seeds_together(trained: Path) -> None:
    found = json.loads((trained / "report.json").read_text(encoding="utf-8"))["metrics"]
    with (trained / "predictions.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    for part, kept in (("cv", "train"), ("test", "test")):
        pairs = [(row["label"], row["prediction"]) for row in rows if row["split"] == kept]
        classes = sorted({label for label, _ in pairs})
        y, pred = ([classes.index(one) for one in column] for column in zip(*pairs, strict=True))
        assert weighted_f1(y, pred, 3) == pytest.approx(found[part]["seeds"]["together"]["value"])
    assert sorted(path.name for path in (trained / "model").iterdir()) == [
        "pipeline.json",
        "seed-0",
        "seed-1",
        "seed-2",
    ]


def test_rounds_of_self_training_are_averaged_and_every_seeds_labels_kept(tmp_path: Path) -> None:
    made = feature_set(30, signal=1.2, folds=2, unlabelled=12)
    options = {**OPTIONS, "epochs": 3, "self_training": "class-balanced", "pseudo_rounds": 2, "pseudo_per_class": 2}
    found = fit(made, seeds=2, fusion="concat", trainer_options=options)
    training = Training(found.model, made, np.arange(42), found.plan)
    report = self_training(training, {}, 0)
    assert len(report.rounds) == 3
    each = [SeveralSeeds({seed: model}) for seed, model in found.model.models.items()]
    alone = [self_training(Training(one, made, np.arange(42), found.plan), {}, 0) for one in each]
    for number, one in enumerate(report.rounds):
        assert one.waf.value == pytest.approx(np.mean([own.rounds[number].waf.value for own in alone]))
    assert report.gain.value == pytest.approx(np.mean([own.gain.value for own in alone]))
    assert write_pseudo_labels(tmp_path / "p.csv", training)
    with (tmp_path / "p.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert {row["seed"] for row in rows} == {"0", "1"}
    assert {row["fold"] for row in rows} == {"1", "2"}


def test_leaving_one_speaker_out_lists_every_speaker_by_name() -> None:
    made = feature_set(56, signal=1.2)
    data = replace(made, groups=tuple(f"s{i % 14}" for i in range(56)))
    found = fit(data, folds="loo", fusion="concat", trainer_options={"epochs": 2}).evaluation
    assert [one.name for one in found.per_group] == [f"s{k}" for k in range(14)]
    assert {one.n for one in found.per_group} == {4}
    assert found.folds == ()
    told = each_group(section(found).per_group)
    low, high = (pick(one.waf for one in found.per_group) for pick in (min, max))
    assert told.startswith(f"from {low:.2f} (s")
    assert f"to {high:.2f} (s" in told
    assert each_group(section(found).per_group[:2]).count(",") == 1


def test_the_plan_says_that_it_takes_as_many_times_the_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "".join(f"c{i},so {'good' if i % 2 else 'bad'},{'happy' if i % 2 else 'sad'},s{i % 4}\n" for i in range(12))
    (tmp_path / "few.csv").write_text(f"id,text,label,speaker\n{rows}")
    command = ["run", "--data", str(tmp_path / "few.csv"), "-m", "text", "--plan", "--seeds", "3", "--seed", "5"]
    assert run_app([*command, "--cache", str(tmp_path / "cache")]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "seeds 5 to 7: 3 trainings, 3 times the time of one" in told
