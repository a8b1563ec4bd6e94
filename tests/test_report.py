"""report.json has the keys it promises, report.html says what a reader must know, both stand alone."""

from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser
from itertools import combinations

import numpy as np
import pytest

from mer_core.data.folds import FoldPlan
from mer_core.errors import DataError
from mer_core.evaluation import evaluate_predictions, evaluate_subsets
from mer_core.feature_set import Fold
from mer_core.report import RunReport, headline, render_html
from mer_core.report import build as b
from mer_core.report import model as m
from mer_core.report.parts import Score
from mer_core.report.rounds import Round, SelfTraining
from mer_core.report.svg import cut, line_chart
from mer_core.report.words import bounds, duration, moment, number, wilson

CLASSES = ("neutral", "angry", "happy", "sad", "worried", "surprise")
MODALITIES = ("speech", "text", "image", "video")


def answers(y, right: float, seed: int):
    rng = np.random.default_rng(seed)
    return np.where(rng.random(len(y)) < right, y, rng.integers(len(CLASSES), size=len(y)))


def labels(n: int):
    return np.random.default_rng(0).permutation(np.arange(n) % len(CLASSES))


def scored(n=104, right=0.6, groups=8, selection="last", optimistic=False, folds=5):
    y = labels(n)
    names = [f"S{i % groups}" for i in range(n)] if groups else None
    found = evaluate_predictions(
        y, answers(y, right, 1), CLASSES, names, folds=[i % folds for i in range(n)] if folds else None
    )
    return b.section(found, selection, optimistic)


def subset_scores(modalities=MODALITIES, right=None):
    y = labels(104)
    right = right or {"speech": 0.3, "text": 0.15, "image": 0.15, "video": 0.0}
    subsets = [s for k in range(len(modalities), 0, -1) for s in combinations(modalities, k)]
    predictions = {s: answers(y, min(0.95, sum(right[m] for m in s)), 1) for s in subsets}
    return b.subsets(evaluate_subsets(y, predictions, len(CLASSES), [f"S{i % 8}" for i in range(104)]))


def streams():
    names = {"speech": ("acoustic", 528), "text": ("ngram", 1024), "image": ("hog", 1800), "video": ("motion", 96)}
    return tuple(
        m.Stream(
            name=f"{modality}:{extractor}",
            modality=modality,
            extractor=extractor,
            version="1",
            dim=dim,
            level="frame",
            pooling="mean_std",
            present=117,
            missing=3,
            extracted=120,
            fingerprint="9c1f2ab3d4e5f60718293a4b",
        )
        for modality, (extractor, dim) in names.items()
    )


def curves(folds=5, epochs=90, wafs=False):
    found = []
    for fold in range(folds):
        one = {
            "train_loss": [1.8 * math.exp(-e / (20 + 3 * fold)) + 0.05 for e in range(epochs)],
            "chosen_epoch": epochs,
        }
        if wafs:
            checked = list(range(1, epochs + 1, 3))
            waf = [0.6 - 0.4 * math.exp(-e / 15) - 0.001 * e for e in checked]
            one.update(checked_epochs=checked, selection_waf=waf, chosen_epoch=40)
        found.append(one)
    return b.curves(found)


def report(**changes) -> RunReport:
    """A normal run: grouped cross-validation, a test split, unlabelled clips, missing modalities."""
    ids = [f"clip{i:03}" for i in range(120)]
    present = {modality: [i % (17 + k) > 0 for i in range(120)] for k, modality in enumerate(MODALITIES)}
    reasons = {"image": dict.fromkeys(ids, "no face found"), "speech": dict.fromkeys(ids, "no audio stream")}
    fields = {
        "name": "first-run",
        "created": "2025-01-02T03:04:05+00:00",
        "seed": 7,
        "n_clips": 120,
        "classes": CLASSES,
        "modalities": MODALITIES,
        "metrics": m.Metrics(cv=scored(), test=scored(36, 0.55, 3, folds=0)),
        "subsets": subset_scores(),
        "failures": (m.FailedClip(id="clip007", stage="decode", reason="moov atom not found", stream="video:motion"),),
        "data": m.Data(
            source="my.csv",
            n_labelled=104,
            n_unlabelled=10,
            n_test=6,
            class_counts=dict.fromkeys(CLASSES, 17),
            splits={"train": 104, "unlabelled": 10, "test": 6},
            group="speaker",
            n_groups=8,
            media_seconds=251.5,
        ),
        "presence": b.presence(ids, present, reasons),
        "streams": streams(),
        "folds": m.FoldFacts(kind="grouped", group=True, sizes=((78, 26), (78, 26), (78, 26), (91, 13), (91, 13))),
        "model": m.ModelFacts(
            fusion="attention",
            trainer="cv",
            parameters=1_067_657,
            members=5,
            epochs=90,
            steps=1080,
            curves=curves(),
            options={"lr": 1e-3, "standardise": True, "modality_dropout": 0.3},
        ),
        "unlabelled": m.Unlabelled(n=10, predicted={"neutral": 4, "angry": 3, "sad": 3}),
        "provenance": m.Provenance(
            command="mer run --modalities speech,text,image,video --data my.csv",
            preset="lite",
            device="cpu",
            threads=2,
            platform="Linux x86_64, Python 3.12",
            versions={"mer-toolkit": "0.1.0", "torch": "2.15.0"},
            fingerprints={"config": "5f0a", "folds": "77b1"},
        ),
        "timing": {"extract": 31.2, "train": 9.9},
        "files": {"report.json": "the numbers of this page", "predictions.csv": "an answer for every clip"},
    }
    return RunReport(**{**fields, **changes})


SEVEN = m.Data(
    source="clips.csv",
    n_labelled=7,
    n_unlabelled=4,
    class_counts={"neutral": 2, "angry": 1, "happy": 1, "sad": 1, "worried": 1, "surprise": 1},
)


def seven() -> RunReport:
    reason = "Five classes have one labelled clip each, so no fold could train on them and score them."
    return report(
        name="r1",
        n_clips=11,
        metrics=m.Metrics(cv_reason=reason),
        subsets=(),
        folds=None,
        data=SEVEN,
        model=m.ModelFacts(fusion="attention", trainer="cv", parameters=99, epochs=1000, steps=1000, curves=curves(1)),
        unlabelled=m.Unlabelled(n=4, predicted={"neutral": 3, "sad": 1}),
        presence=(m.Presence(modality="image", present=10, missing=1, reasons={"no face found": 1}),),
    )


def optimistic() -> RunReport:
    facts = report().model.model_copy(
        update={"selection": "val", "optimistic": True, "curves": curves(wafs=True), "epochs": 90}
    )
    metrics = m.Metrics(cv=scored(selection="val", optimistic=True), test=scored(36, groups=0, folds=0))
    folds = m.FoldFacts(kind="shuffle", sizes=((83, 21), (83, 21), (83, 21), (83, 21), (84, 20)))
    return report(name="mer2024", metrics=metrics, model=facts, folds=folds)


def val_split() -> RunReport:
    reason = "The data have a val split, so there are no folds."
    return report(name="fixed", metrics=m.Metrics(cv_reason=reason, val=scored(folds=0)), subsets_of="val", folds=None)


SAMPLES = {"normal": report, "seven": seven, "optimistic": optimistic, "val": val_split}


class Page(HTMLParser):
    """Collects the visible text, and complains about tags that do not nest."""

    VOID = frozenset({"meta", "br", "hr", "img", "link", "input"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.parts: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.parts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.parts))


def text_of(report: RunReport) -> str:
    return Page(render_html(report)).text


@pytest.mark.parametrize("name", SAMPLES)
def test_saved_and_loaded_report_is_the_same(name, tmp_path):
    first = SAMPLES[name]()
    files = first.save(tmp_path / "run")
    assert [file.name for file in files] == ["report.json", "report.html"]
    assert sorted(file.name for file in (tmp_path / "run").iterdir()) == ["report.html", "report.json"]
    assert RunReport.load(tmp_path / "run") == first
    assert render_html(RunReport.load(tmp_path / "run" / "report.json")) == files[1].read_text(encoding="utf-8")


def test_json_has_the_promised_keys():
    found = report().document()
    for metric in ("waf", "uar", "accuracy", "macro_f1"):
        for part in ("cv", "test"):
            score = found["metrics"][part][metric]
            assert set(score) == {"value", "low", "high"}
            assert 0 <= score["low"] <= score["value"] <= score["high"] <= 1
    assert found["metrics"]["cv"]["selection"] == "last"
    assert found["metrics"]["cv"]["optimistic"] is False
    assert found["subsets"][0]["modalities"] == list(MODALITIES)
    assert isinstance(found["subsets"][0]["waf"], float)
    assert len(found["subsets"]) == 15
    assert found["failures"][0] == {
        "id": "clip007",
        "stage": "decode",
        "reason": "moov atom not found",
        "stream": "video:motion",
    }
    assert {"n_clips", "classes", "modalities", "seed", "schema", "findings"} <= set(found)
    assert (found["seed"], found["n_clips"], found["schema"]) == (7, 120, "mer-report/1")


def test_nan_becomes_null(tmp_path):
    broken = report(
        timing={"extract": float("nan")},
        subsets=(m.Subset(modalities=("speech",), waf=float("nan"), low=float("inf")),),
        model=m.ModelFacts(
            fusion="attention",
            trainer="cv",
            curves=b.curves([{"train_loss": [1.0, float("nan"), 0.5]}]),
            options={"x": float("nan")},
        ),
    )
    broken.save(tmp_path)
    found = json.loads((tmp_path / "report.json").read_text(), parse_constant=pytest.fail)
    assert found["subsets"][0]["waf"] is None
    assert found["model"]["curves"][0]["loss"] == [1.0, None, 0.5]
    assert found["model"]["options"]["x"] is None
    assert RunReport.load(tmp_path).model.curves == broken.model.curves


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no report at"), ("{", "not JSON"), ("[]", "schema None"), ('{"schema": "mer-report/9"}', "mer-report/9"),
     ('{"schema": "mer-report/1", "name": "x"}', "damaged at seed")],
)  # fmt: skip
def test_what_is_not_a_report_is_refused(content, message, tmp_path):
    if content is not None:
        (tmp_path / "report.json").write_text(content)
    with pytest.raises(DataError, match=message) as raised:
        RunReport.load(tmp_path)
    assert raised.value.hint


@pytest.mark.parametrize("name", SAMPLES)
def test_page_stands_alone(name):
    html = render_html(SAMPLES[name]())
    page = Page(html)
    assert not page.tags & {"script", "img", "link", "iframe", "video", "object"}
    assert not re.search(r"https?:|//[a-z]|url\(|@import|\bsrc=|\bhref=", html)
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html
    assert "None" not in page.text
    assert "nan" not in page.text.split()
    assert html.startswith("<!doctype html>")


def test_page_shows_scores_intervals_and_what_was_resampled():
    first = report()
    page, waf = text_of(first), first.metrics.cv.waf
    assert f"{number(waf.value)}" in page
    assert (
        f"{bounds(waf)}: 95% interval from 1,000 resamples of 8 speakers. 104 clips scored, each by the model" in page
    )
    assert "with only 8 speakers the interval is rough" in page
    assert all(f"S{i}" in page for i in range(8))
    assert "Cross-validation, 5 folds" in page
    assert "Test split" in page
    assert "moov atom not found" in page
    assert "no face found" in page
    assert "No pretrained weights were used." in page
    assert "10 unlabelled clips, by predicted class" in page


def test_missing_modalities_are_counted_with_reasons():
    found = b.presence(["a", "b", "c"], {"image": [True, False, False]}, {"image": {"b": "no face found"}})
    assert found == (m.Presence(modality="image", present=1, missing=2, reasons={"no face found": 1, "not given": 1}),)


def test_seven_clips_are_told_what_they_are_worth():
    found, page = seven().document(), text_of(seven())
    assert found["metrics"]["cv"] is None
    assert found["metrics"]["test"] is None
    assert found["metrics"]["cv_reason"].startswith("Five classes")
    for text in (page, " ".join(found["findings"])):
        assert text.count("Seven labelled clips show that everything runs") == 1
        assert "Five of the six classes have a single labelled clip" in text
        assert "right on five of seven new clips could have a true accuracy anywhere from 36% to 92%" in text
    assert "No score" in page
    assert "4 unlabelled clips, by predicted class" in page
    assert headline(seven()) == ("No score. " + found["metrics"]["cv_reason"],)


def test_optimistic_selection_is_marked_everywhere():
    chosen = optimistic()
    found, html = chosen.document(), render_html(chosen)
    assert found["metrics"]["cv"]["selection"] == "val"
    assert found["metrics"]["cv"]["optimistic"] is True
    assert found["metrics"]["test"]["optimistic"] is False
    assert "optimistic" in found["findings"][0]
    assert "OPTIMISTIC" in headline(chosen)[0]
    assert "OPTIMISTIC" not in headline(chosen)[1]
    assert html.count('class="card score optimistic"') == 1
    assert "Score (optimistic)" in html
    assert "the best epoch was chosen on the very clips that are scored" in html
    assert "optimistic" not in render_html(report()).split("</style>")[1]


def test_shared_speakers_are_named():
    assert any("speaker are both in training and in the scored part" in line for line in optimistic().findings())
    assert not any("both in training" in line for line in report().findings())


def test_clips_as_unit_are_explained():
    lines = report(metrics=m.Metrics(cv=scored(groups=0))).findings()
    assert any("no speaker is given, so single clips were resampled." in line for line in lines)


def test_fixed_validation_split():
    found, page = val_split().document(), text_of(val_split())
    assert found["metrics"]["cv"] is None
    assert 0 < found["metrics"]["val"]["waf"]["value"] < 1
    assert "Validation split" in page
    assert "The data have a val split" in page
    assert "No score" not in page


def test_synthetic_data_are_called_so():
    made = report(data=report().data.model_copy(update={"synthetic": True}))
    assert made.findings()[0].startswith("These data are synthetic")
    assert "synthetic data" in text_of(made)


@pytest.mark.parametrize(
    ("right", "said"),
    [
        ({"speech": 0.3, "text": 0.3}, "Fusion beats the best single modality"),
        ({"speech": 0.6, "text": 0.0}, "Fusion does not beat the best single modality"),
        ({"speech": 0.60, "text": 0.015}, "by no more than chance could explain"),
    ],
)
def test_fusion_is_compared_with_the_best_single_modality(right, said):
    pair = ("speech", "text")
    found = report(modalities=pair, subsets=subset_scores(pair, right))
    assert sum(said in line for line in found.findings()) == 1


def test_a_modality_that_does_not_help_is_named():
    found = report(modalities=("speech", "text"), subsets=subset_scores(("speech", "text"), {"speech": 0.6, "text": 0}))
    assert any(line.startswith("Text does not help here") for line in found.findings())


def test_a_score_at_chance_is_called_that():
    lines = report(metrics=m.Metrics(cv=scored(right=0.0))).findings()
    assert any("do not show that the model has learnt anything" in line for line in lines)
    section = scored(right=0.0)
    for low, high, said in ((0.0, 0.9, "includes"), (0.0, 0.001, "lies below")):
        one = section.model_copy(update={"waf": Score(value=0.0, low=low, high=high)})
        lines = report(metrics=m.Metrics(cv=one)).findings()
        assert any(f") {said} what guessing gives" in line for line in lines)
    assert not any("learnt anything" in line for line in report(metrics=m.Metrics(cv=scored())).findings())


def test_self_training_that_labelled_nothing_is_told_apart_from_one_that_did_not_help():
    zero = Score(value=0.0, low=0.0, high=0.0)
    rounds = (Round(round=0, waf=zero, learnt={"a": 0, "b": 0}, added=0),)
    told = {"method": "class-balanced", "source": "fold", "pool": 9, "kept": 0, "stopped": "the modalities disagreed"}
    lines = report(self_training=SelfTraining(rounds=rounds, gain=zero, **told)).findings()
    assert "Self-training gave no clip a label and changed nothing: the modalities disagreed." in lines
    assert not any("Self-training helped" in line for line in lines)


def test_imputed_cells_failures_and_own_warnings_are_said():
    facts = report().model.model_copy(update={"imputed": {"speech:acoustic": 1, "text:ngram": 0}})
    lines = report(model=facts, warnings=("The disk is nearly full.",)).findings()
    assert (
        "speech:acoustic: 1 feature value was not finite and was replaced by the median of the training clips." in lines
    )
    assert "1 clip failed, wholly or in part, at: decode (1). The list is under Failures." in lines
    assert lines[-1] == "The disk is nearly full."


def test_a_class_never_predicted_is_named():
    found = evaluate_predictions([0, 0, 1, 1], [0, 0, 0, 0], ["a", "b", "c"])
    section = b.section(found)
    assert section.classes[1].precision is None
    assert section.classes[1].recall == 0
    assert section.classes[2].recall is None
    lines = report(metrics=m.Metrics(cv=section), classes=("a", "b", "c")).findings()
    assert any("never predicted: b." in line for line in lines)
    assert any("no scored clip is labelled c." in line for line in lines)


def test_names_from_outside_cannot_become_markup():
    bad = '<script>alert("x")</script> & co'
    y = [0, 1, 0, 1]
    found = report(
        name=bad,
        classes=(bad, "b"),
        metrics=m.Metrics(cv=b.section(evaluate_predictions(y, y, [bad, "b"], [bad, bad, "s", "s"], folds=y))),
        failures=(m.FailedClip(id=bad, stage=bad, reason=bad),),
        data=m.Data(source=bad, n_labelled=4, class_counts={bad: 2, "b": 2}, notes=(bad,)),
        presence=(m.Presence(modality=bad, present=1, missing=1, reasons={bad: 1}),),
        subsets=(m.Subset(modalities=(bad,), waf=0.5),),
        modalities=(bad,),
        warnings=(bad,),
        files={bad: bad},
    )
    html = render_html(found)
    assert "<script" not in html
    assert "script" not in Page(html).tags


def test_long_lists_are_cut_and_chinese_labels_shown():
    many = tuple(m.FailedClip(id=f"片段 {i}", stage="decode", reason=f"no {i}") for i in range(60))
    page = text_of(report(failures=many))
    assert "片段 49" in page
    assert "片段 50" not in page
    assert "And 10 more in report.json." in page
    assert cut("愤怒" * 12) == "愤怒" * 3 + "愤…"


def test_bare_report_renders():
    bare = RunReport(
        name="bare",
        seed=0,
        n_clips=3,
        classes=("a", "b"),
        modalities=("speech",),
        metrics=m.Metrics(),
        data=m.Data(source="x", n_labelled=0),
        model=m.ModelFacts(fusion="concat", trainer="cv"),
    )
    assert "No score" in text_of(bare)


def test_words():
    assert (number(-0.0501, 2), number(0.1, 2, sign=True), number(None), number(-0.0001)) == (
        "−0.05",
        "+0.10",
        "–",
        "0.000",
    )
    assert (duration(3.21), duration(200), duration(9000), duration(None)) == ("3.2 s", "3 min 20 s", "2.5 h", "–")
    assert (moment("2025-01-02T03:04:05+00:00"), moment("today")) == ("2 January 2025, 03:04 UTC", "today")
    assert wilson(5, 7) == pytest.approx((0.3589, 0.9178), abs=1e-4)


def test_curves_of_one_epoch_or_of_thousands():
    assert "polyline" in line_chart([[(1, 0.5)]], "one", "loss")
    long = line_chart([[(e + 1, 1 / (e + 1)) for e in range(5000)]], "long", "loss")
    assert len(long) < 6000
    assert "5,000" in long


def test_model_facts_come_from_any_summary():
    summary = {
        "selection": "inner",
        "optimistic": False,
        "members": 2,
        "epochs": 3,
        "steps": 30,
        "parameters": 12,
        "curves": [{"train_loss": [1.0], "chosen_epoch": 1}, {"train_loss": [1.0], "chosen_epoch": 1}],
        "imputed": {"speech:x": {"cells": 4, "columns": 2}},
        "notes": ["something small"],
        "options": {"lr": 0.1},
        "stacked": False,
        "stacked_reason": "a weight has two names",
    }
    found = b.model_facts(summary, "attention", "cv", fusion_options={"hidden": 64})
    assert (found.selection, found.members, found.imputed) == ("inner", 2, {"speech:x": 4})
    assert [one.fold for one in found.curves] == [1, 2]
    assert "Something small." in report(model=found).findings()
    assert "hidden = 64" in text_of(report(model=found))
    assert "trained one by one, because a weight has two names" in text_of(report(model=found))
    assert "as one stacked model" in text_of(report(model=b.model_facts({**summary, "stacked": True}, "a", "cv")))
    assert "one by one" not in text_of(report(model=b.model_facts({**summary, "members": 1}, "a", "cv")))
    assert b.model_facts({}, "concat", "other").stacked is None
    assert b.model_facts({}, "concat", "other").members == 1


def test_options_at_their_default_are_folded_away():
    facts = m.ModelFacts(fusion="attention", trainer="cv", options={"lr": 0.5, "hidden": 64}, usual=("hidden",))
    page = render_html(report(model=facts))
    before, folded = page.split("<details>")[0], page.split("<details>")[1].split("</details>")[0]
    assert "1 option at its default" in folded
    assert ("hidden" in folded, "lr" in folded) == (True, False)
    assert ">lr<" in before
    assert "at their default" not in render_html(report(model=facts.model_copy(update={"usual": ()})))


def test_fold_plans_become_facts():
    fold = Fold(np.arange(6), np.arange(6, 8))
    own = FoldPlan(folds=(fold,), kind="val", seed=0, group=True)
    none = FoldPlan(folds=(), kind="none", seed=0, group=False, reason="all clips are of one group")
    assert b.fold_facts(own).sizes == ((6, 2),)
    assert "val split of their own" in b.cv_reason(own)
    assert "none; trained on 6 clips, the val split's 2 scored" in text_of(report(folds=b.fold_facts(own)))
    page = text_of(report(folds=b.fold_facts(none), metrics=m.Metrics(cv_reason=b.cv_reason(none))))
    assert page.count("All clips are of one group.") == 1
