"""Where self-training and modality dropout help, they do: one case each, with a fixed seed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from mer_core import compose, fit, open_workspace, run
from mer_core.evaluation import weighted_f1

CLASSES = ("a", "b", "c")
BOTH = ("audio", "video")


def test_of_nine_labels_and_many_clips_self_training_makes_more() -> None:
    """Three Gaussian blobs in two streams; scored on 150 clips that no round learns from."""
    rng = np.random.default_rng(0)
    splits = ("train",) * 9 + ("val",) * 150 + ("unlabelled",) * 150
    truth = np.arange(len(splits)) % 3
    centres = rng.normal(size=(3, 16)) * 0.6
    streams = {name: (centres[truth] + rng.normal(size=(len(truth), 16))).astype(np.float32) for name in BOTH}
    labels = [None if split == "unlabelled" else CLASSES[one] for split, one in zip(splits, truth, strict=True)]
    features = replace(compose(streams, labels), splits=splits)
    wanted = {"epochs": 25, "lr": 0.005, "modality_dropout": 0, "self_training": "class-balanced"}
    wanted |= {"pseudo_rounds": 3, "pseudo_per_class": 15}
    found = fit(features, fusion_options={"hidden": 32}, trainer_options=wanted)
    told = found.model.summary["self_training"]
    guesses = told["rounds"][0]["held_out"], told["rounds"][told["kept"]]["held_out"]
    rows = [features.ids.index(name) for name in guesses[0]]
    first, kept = (weighted_f1(truth[rows], np.asarray([one[features.ids[row]] for row in rows]), 3) for one in guesses)
    assert len(rows) == 150
    assert told["kept"] == 3
    assert kept >= first + 0.08, (first, kept)


def subsets(table: Path, folder: Path, rate: float) -> dict[frozenset[str], float]:
    """WAF of each subset of modalities, of a model trained with modality dropout ``rate``."""
    report = run(
        features=table,
        streams=list(BOTH),
        labels="labels",
        group="speaker",
        seed=0,
        trainer_options={"modality_dropout": rate, "epochs": 60},
        out=folder / f"run{rate}",
        space=open_workspace(folder / "cache"),
    ).report
    return {frozenset(one.modalities): one.waf for one in report.subsets}


def test_modality_dropout_helps_where_video_is_missing_and_costs_little_where_not(
    real_data: Path, tmp_path: Path
) -> None:
    without, dropped = (subsets(real_data / "features" / "ravdess_av.npz", tmp_path, rate) for rate in (0.0, 0.5))
    audio, both = frozenset(BOTH[:1]), frozenset(BOTH)
    assert dropped[audio] > without[audio] + 0.05
    assert abs(dropped[both] - without[both]) < 0.05
