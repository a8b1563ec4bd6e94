"""Self-training that is killed goes on after its last round, and ends as if nothing had happened."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mer_core import compose, fit, open_workspace
from mer_core.feature_set import FeatureSet
from mer_core.workflows.fit import Fit

QUICK: dict[str, Any] = {"epochs": 4, "lr": 0.05, "self_training": "class-balanced", "pseudo_rounds": 3}
QUICK |= {"pseudo_per_class": 2, "pseudo_agreement": "off", "stacked": False}
CARRIED: dict[str, Any] = {**QUICK, "pseudo_rounds": 2, "pseudo_agreement": "any", "select": "inner"}
CARRIED |= {"pseudo_warm_start": True, "pseudo_final": "best", "pseudo_relabel": True}


def blobs(moved: float = 0) -> FeatureSet:
    rng = np.random.default_rng(0)
    truth = np.arange(60) % 2
    streams = {name: (3 * truth[:, None] + rng.normal(size=(60, 4))).astype(np.float32) for name in ("audio", "video")}
    streams["audio"][-1] += moved
    return compose(streams, [f"c{label}" if row < 24 else None for row, label in enumerate(truth)])


class Killed(BaseException):
    """Not an error of the trainer's."""


def learn(
    wanted: Mapping[str, Any], work: Path | None = None, kill: int | None = None, seed: int = 0, moved: float = 0
) -> tuple[Fit, set[str]]:
    """Train, interrupted in round ``kill``; the rounds that were trained."""

    def progress(stage: str, done: int, total: int, note: str) -> None:
        seen.add(note.partition(",")[0])
        if kill is not None and note.startswith(f"round {kill}/"):
            raise Killed

    seen: set[str] = set()
    space = open_workspace(progress=progress, work=work)
    features = blobs(moved)
    return fit(features, folds=2, seed=seed, fusion_options={"hidden": 8}, trainer_options=wanted, space=space), seen


def left(found: Fit, folder: Path) -> dict[str, bytes]:
    """Everything that a training leaves, as bytes."""
    found.save(folder)
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    return {**files, "held out": found.held_out.probabilities.tobytes()}


@pytest.mark.parametrize("wanted", [QUICK, CARRIED], ids=["from scratch", "carried over"])
def test_killed_in_any_round_it_ends_as_the_unbroken_one(wanted: Mapping[str, Any], tmp_path: Path) -> None:
    whole = left(learn(wanted)[0], tmp_path / "whole")
    last = wanted["pseudo_rounds"]
    for kill in range(1, last + 1):
        work = tmp_path / f"work {kill}"
        with pytest.raises(Killed):
            learn(wanted, work, kill)
        found, rounds = learn(wanted, work)
        assert rounds == {f"round {one}/{last}" for one in range(kill, last + 1)}
        assert left(found, tmp_path / f"again {kill}") == whole
        assert not work.exists()


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import test_rounds as own
from mer_core import fit, open_workspace
def progress(stage, done, total, note):
    if note.startswith("round 2/"):
        os.kill(os.getpid(), signal.SIGKILL)
space = open_workspace(progress=progress, work=Path(sys.argv[2]))
fit(own.blobs(), folds=2, fusion_options={"hidden": 8}, trainer_options=own.QUICK, space=space)
"""


def test_sigkill(tmp_path: Path) -> None:
    line = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(tmp_path / "work")]
    killed = subprocess.run(line, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    found, rounds = learn(QUICK, tmp_path / "work")
    assert rounds == {"round 2/3", "round 3/3"}
    assert left(found, tmp_path / "again") == left(learn(QUICK)[0], tmp_path / "whole")


def test_what_belongs_to_other_data_or_options_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        learn(QUICK, tmp_path, 1)
    for wanted, change in (({}, {"seed": 1}), ({}, {"moved": 1}), ({"lr": 0.02}, {})):
        with pytest.raises(Killed):
            learn({**QUICK, **wanted}, tmp_path, 0, **change)
    assert len(list(tmp_path.iterdir())) == 4


def test_a_damaged_round_is_learnt_again(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        learn(QUICK, tmp_path, 2)
    (state,) = tmp_path.glob("*/round-0001/rounds.json")
    state.write_text(json.dumps({"pseudo": []}))
    assert "round 0/3" in learn(QUICK, tmp_path)[1]
    assert not tmp_path.exists()
