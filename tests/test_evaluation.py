"""Scores equal scikit-learn's; intervals resample what they say they resample."""

from __future__ import annotations

import numpy as np
import pytest

from mer_core.errors import DataError
from mer_core.evaluation import (
    bootstrap,
    confusion,
    evaluate_predictions,
    evaluate_subsets,
    paired_difference,
    per_group,
    scores,
    weighted_f1,
)

GOLDEN_Y = [0, 0, 0, 1, 1, 2, 3, 4, 5, 5]
GOLDEN_PRED = [0, 0, 1, 1, 2, 2, 3, 3, 5, 0]


def noisy(n: int, n_classes: int = 6, right: float = 0.6, seed: int = 0):
    rng = np.random.default_rng(seed)
    y = rng.integers(n_classes, size=n)
    return y, np.where(rng.random(n) < right, y, rng.integers(n_classes, size=n))


def test_golden_waf_is_17_thirtieths():
    found = scores(GOLDEN_Y, GOLDEN_PRED, 6)
    assert found.waf == pytest.approx(17 / 30, abs=1e-15)
    assert weighted_f1(GOLDEN_Y, GOLDEN_PRED, 6) == found.waf
    assert found.accuracy == pytest.approx(0.6)
    assert found.f1 == pytest.approx([2 / 3, 1 / 2, 2 / 3, 2 / 3, 0, 2 / 3])
    assert found.support.tolist() == [3, 2, 1, 1, 1, 2]


def test_confusion_has_truth_in_rows():
    assert confusion([0, 0, 1], [1, 1, 0], 2).tolist() == [[0, 2], [1, 0]]


@pytest.mark.parametrize("case", range(12))
def test_equals_scikit_learn(case):
    from sklearn import metrics

    rng = np.random.default_rng(case)
    n_classes, n = int(rng.integers(2, 9)), int(rng.integers(1, 60))
    y = rng.integers(rng.integers(1, n_classes + 1), size=n)  # some classes may not occur at all
    pred = rng.integers(n_classes, size=n)
    found, labels = scores(y, pred, n_classes), list(range(n_classes))
    precision, recall, f1, support = metrics.precision_recall_fscore_support(y, pred, labels=labels, zero_division=0)
    for mine, theirs in [
        (found.precision, precision),
        (found.recall, recall),
        (found.f1, f1),
        (found.support, support),
    ]:
        np.testing.assert_allclose(mine, theirs, atol=1e-12)
    np.testing.assert_array_equal(found.confusion, metrics.confusion_matrix(y, pred, labels=labels))
    assert found.waf == pytest.approx(metrics.f1_score(y, pred, average="weighted", zero_division=0), abs=1e-12)
    assert found.macro_f1 == pytest.approx(metrics.f1_score(y, pred, average="macro", zero_division=0), abs=1e-12)
    assert found.accuracy == pytest.approx(metrics.accuracy_score(y, pred), abs=1e-12)
    present = np.unique(y)
    assert found.uar == pytest.approx(metrics.recall_score(y, pred, labels=present, average="macro"), abs=1e-12)


def test_wrong_input_is_refused():
    with pytest.raises(DataError, match="3 labels but 2 predictions"):
        confusion([0, 1, 1], [0, 1], 2)
    with pytest.raises(DataError, match="prediction is outside the 2 classes"):
        scores([0, 1], [0, 2], 2)
    with pytest.raises(DataError, match="label is outside"):
        scores([0, -1], [0, 1], 2)
    with pytest.raises(DataError, match="labelled"):
        evaluate_predictions([-1, -1], [0, 1], ["a", "b"])


def slow_bootstrap(y, pred, n_classes, groups, n, rng):
    """Draws groups, gathers their clips, scores them: what the fast one must agree with."""
    names = sorted(set(groups))
    members = {name: np.flatnonzero(np.asarray(groups) == name) for name in names}
    drawn = []
    for _ in range(n):
        rows = np.concatenate([members[names[i]] for i in rng.integers(len(names), size=len(names))])
        drawn.append(weighted_f1(y[rows], pred[rows], n_classes))
    return np.quantile(drawn, [0.025, 0.975])


@pytest.mark.parametrize("unit", ["speaker", "clip"])
def test_bootstrap_agrees_with_plain_resampling(unit):
    y, pred = noisy(200)
    speakers = [f"s{i % 20}" for i in range(200)]
    pred = np.where(np.arange(200) % 20 < 5, y, pred)  # five speakers are always right: groups matter
    found = bootstrap(y, pred, 6, speakers if unit == "speaker" else None, n=4000, seed=1)["waf"]
    groups = speakers if unit == "speaker" else [f"{i:03}" for i in range(200)]
    low, high = slow_bootstrap(y, pred, 6, groups, 1500, np.random.default_rng(2))
    assert found.value == pytest.approx(weighted_f1(y, pred, 6))
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.012)


def test_interval_covers_the_truth_about_as_often_as_it_says():
    """200 data sets whose true accuracy is .7: the 95% interval holds it in at least 88% of them."""
    covered = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        y = rng.integers(4, size=150)
        pred = np.where(rng.random(150) < 0.7, y, (y + 1) % 4)
        found = bootstrap(y, pred, 4, n=300, seed=seed)["accuracy"]
        covered += found.low <= 0.7 <= found.high
    assert 176 <= covered <= 200


def test_alike_clips_of_a_speaker_widen_the_interval():
    y = np.repeat(np.arange(6), 50)
    pred = np.where(np.repeat(np.arange(30), 10) % 3 == 0, (y + 1) % 6, y)
    by_clip = bootstrap(y, pred, 6)["waf"]
    by_speaker = bootstrap(y, pred, 6, [f"s{i // 10}" for i in range(300)])["waf"]
    assert by_speaker.high - by_speaker.low > 2 * (by_clip.high - by_clip.low)


def test_bootstrap_is_seeded_and_survives_many_groups():
    y, pred = noisy(5000)
    groups = [f"s{i % 2500}" for i in range(5000)]
    assert bootstrap(y, pred, 6, groups, seed=3) == bootstrap(y, pred, 6, groups, seed=3)
    assert bootstrap(y, pred, 6, groups, seed=3) != bootstrap(y, pred, 6, groups, seed=4)


def test_one_clip_has_no_interval():
    found = bootstrap([1], [1], 2)["waf"]
    assert found.value == 1
    assert np.isnan(found.low)
    assert np.isnan(found.high)


def test_paired_difference():
    y, a = noisy(400, right=0.8)
    _, b = noisy(400, right=0.5)
    found = paired_difference(y, a, b, n_classes=6)
    assert found.value == pytest.approx(weighted_f1(y, a, 6) - weighted_f1(y, b, 6))
    assert 0 < found.low < found.value < found.high
    same = paired_difference(y, a, a, [f"s{i % 7}" for i in range(400)])
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_a_pair_is_closer_than_two_separate_intervals():
    """Predictions that differ on few clips: pairing knows it, separate intervals do not."""
    y, a = noisy(300)
    b = a.copy()
    b[:6] = (b[:6] + 1) % 6
    pair, alone = paired_difference(y, a, b, n_classes=6), bootstrap(y, a, 6)["waf"]
    assert pair.high - pair.low < 0.5 * (alone.high - alone.low)


def test_groups_are_listed_in_natural_order():
    found = per_group([0, 1, 0, 1], [0, 1, 1, 1], 2, ["10", "2", "10", "x"])
    assert [one.name for one in found] == ["2", "10", "x"]
    assert found[1].accuracy == 0.5


def test_evaluation_resamples_speakers_and_lists_few():
    y, pred = noisy(80)
    found = evaluate_predictions(y, pred, "abcdef", [f"{i % 8}" for i in range(80)], folds=[i % 4 for i in range(80)])
    assert (found.unit, found.n_units, found.note) == ("speaker", 8, "")
    assert len(found.per_group) == 8
    assert [one.name for one in found.folds] == ["1", "2", "3", "4"]
    assert sum(one.n for one in found.folds) == 80
    assert found.chance == pytest.approx(sum((np.bincount(y, minlength=6) / 80) ** 2))
    many = evaluate_predictions(y, pred, "abcdef", [f"{i % 10}" for i in range(80)], unit="show")
    assert (many.unit, many.n_units, many.per_group) == ("show", 10, ())


@pytest.mark.parametrize(
    ("groups", "note"),
    [(None, "No speaker is given"), (["a", None, "b", "b"], "1 of 3 clips have no"), (["a"] * 4, "share one speaker")],
)
def test_evaluation_says_why_clips_were_resampled(groups, note):
    found = evaluate_predictions([0, 1, -1, 1], [0, 1, 0, 0], ["a", "b"], groups)
    assert found.scores.n == 3
    assert (found.unit, found.n_units) == ("clip", 3)
    assert note in found.note


def test_subsets_are_compared_with_all_modalities():
    y, both = noisy(300, right=0.8)
    _, speech = noisy(300, right=0.5, seed=5)
    y[:20] = -1
    found = evaluate_subsets(y, {("speech",): speech, ("speech", "text"): both, ("text",): both}, 6)
    assert found[0].modalities == ("speech", "text")
    assert found[0].n == 280
    by_name = {one.modalities: one for one in found}
    assert by_name["text",].gain.value == 0
    assert by_name["speech",].gain.low > 0
