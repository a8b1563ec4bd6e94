"""What is made of the flags that several commands share."""

from __future__ import annotations

import inspect
import os
from pathlib import Path

import pytest

from mer_core.cli import extract, gather, run, train, tune
from mer_core.cli.app import run_app
from mer_core.config import read_config


@pytest.mark.parametrize("command", [run, train, tune, extract], ids=lambda module: module.NAME)
def test_every_flag_goes_somewhere(command: object) -> None:
    flags = set(inspect.signature(command.command).parameters) - {"ctx"}  # type: ignore[attr-defined]
    known = [*gather.SETTINGS, *gather.TRAINER_OPTIONS, *gather.ELSEWHERE]
    assert len(known) == len(set(known))
    assert flags <= set(known)


def test_no_name_is_of_no_flag() -> None:
    flags = {name for module in (run, train, tune, extract) for name in inspect.signature(module.command).parameters}
    assert {*gather.SETTINGS, *gather.TRAINER_OPTIONS, *gather.ELSEWHERE} <= flags


def test_flags_reach_the_configuration(tmp_path: Path, sample_cache: Path) -> None:
    """All that no other test gives on a command line, in one run."""
    line = ["run", "--modalities", "text", "--cache", str(sample_cache), "--out", str(tmp_path / "run"), "--json"]
    line += ["--epochs", "1", "--folds", "3", "--group", "speaker", "--seed", "5", "--seeds", "2", "--calibrate"]
    line += ["--modality-dropout", "0.1", "--self-training", "class-balanced", "--pseudo-from", "ensemble"]
    line += ["-o", "cv.pseudo_rounds=1", "--transductive", "--audit-labels", "label", "--deploy", "refit"]
    line += ["--retry-crashed", "--verify", "--no-listeners", "--device", "cpu", "--pooling", "mean"]
    assert run_app(line) == 0
    config = read_config(tmp_path / "run" / "config.toml")
    assert (config["seed"], config["seeds"], config["device"]) == (5, 2, "cpu")
    assert (config["transductive"], config["audit_labels"]) == (True, "label")
    assert config["folds"]["k"] == 3
    assert config["fitting"]["deploy"] == "refit"
    assert config["streams"]["text:ngram"]["pooling"] == "mean"
    own = config["trainer"]["options"]
    assert (own["epochs"], own["modality_dropout"], own["calibrate"]) == (1, 0.1, True)
    assert (own["self_training"], own["pseudo_from"]) == ("class-balanced", "ensemble")


def test_the_cache_is_told_to_plugins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What they keep, answers of a language model say, lies beside the features."""
    assert run_app(["features", "list", "--cache", str(tmp_path / "own")]) == 0
    assert os.environ["MER_CACHE"] == str(tmp_path / "own")
