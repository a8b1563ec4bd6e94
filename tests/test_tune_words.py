"""What ``mer tune`` says: of a gap that shows nothing, of trials that were done before, of flags that it has not."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from test_tune import table

import mer_core
from mer_core.cli.app import run_app
from mer_core.report.parts import Score
from mer_core.report.tuning import Tuning, tuning_findings
from mer_core.workflows.workspace import open_workspace


def searched(folder: Path, trials: int) -> tuple[Tuning, list[str]]:
    """A search over two folds, and its notices."""
    said: list[str] = []
    found = mer_core.tune(
        features=table(folder, 2.0, 48),
        streams=["speech", "text"],
        out=folder / "run",
        space=dataclasses.replace(open_workspace(folder / "cache"), notice=said.append),
        folds=2,
        trials=trials,
        search=["cv.lr=2e-3..3e-2"],
        fusion_options={"hidden": 4},
        trainer_options={"epochs": 1},
    ).report.tuning
    assert found is not None
    return found, said


def test_a_search_says_once_how_many_trials_it_goes_on_from(tmp_path: Path) -> None:
    assert searched(tmp_path, 2)[1] == []
    assert searched(tmp_path, 5)[1] == ["2 of 5 trials were done before; going on with 3."]
    found, said = searched(tmp_path, 5)
    assert (found.reused, said) == (5, ["All 5 trials were done before."])
    below = found.model_copy(update={"gap": Score(value=-0.013, low=-0.037, high=0.011)})
    told = " ".join(tuning_findings(below))
    assert "which brought it nothing here: −0.013 (interval −0.037 to 0.011). Quote the nested score." in told
    assert "optimistic" not in told
    above = found.model_copy(update={"gap": Score(value=0.02, low=-0.01, high=0.05)})
    assert "optimistic, by +0.020 (interval −0.010 to 0.050); do not quote it" in " ".join(tuning_findings(above))


@pytest.mark.parametrize(
    ("flags", "hint"), [(["--calibrate"], "-o cv.calibrate=true"), (["--seeds", "3"], "config.toml --seeds 3")]
)
def test_flags_that_a_search_has_not_say_where_to_go(
    flags: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_app(["tune", *flags]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"mer tune takes no {flags[0]}" in said
    assert hint in said
