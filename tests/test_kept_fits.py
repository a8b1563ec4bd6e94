"""Fits of supervised extractors that the cache keeps: listed, pruned by name and age, never under a process's feet."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from learners import Learners, write_texts

from mer_core import open_workspace, run
from mer_core.cli.app import run_app
from mer_core.fitted import FACTS, save_state
from mer_core.store.locks import locked
from mer_core.workflows.fits import LOCK, WORK
from mer_core.workflows.kept_fits import kept_fits, prune_fits

DAY = 86400.0


def keep(states: Path, digest: str, extractor: str, used: float) -> Path:
    folder = states / digest
    save_state(folder, {"weights": np.ones(3, np.float32)}, {"schema": 1, "extractor": extractor, "clips": 12})
    os.utime(folder / FACTS, (used, used))
    return folder


@pytest.fixture
def states(own_cache: Path) -> Path:
    """An old fit, one from the far future, and one that was begun and left."""
    folder = own_cache / "fits" / "states"
    keep(folder, "aa11", "emovclip", 1000.0)
    keep(folder, "bb22", "memory@mine", 9e9)
    (folder / "cc33" / WORK / "digest").mkdir(parents=True)
    (folder / "cc33" / WORK / "digest" / "tuning.pt").write_bytes(b"half")
    return folder


def test_what_is_kept_is_described(states: Path) -> None:
    found = kept_fits(states)
    assert [(fit.digest, fit.name, fit.clips) for fit in found] == [
        ("cc33", "", 0),
        ("aa11", "emovclip", 12),
        ("bb22", "memory@mine", 12),
    ]
    assert found[0].bytes == 4
    assert found[1].used == 1000.0
    assert kept_fits(states / "nowhere") == []


@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        ([], ["aa11", "bb22", "cc33"]),
        (["emovclip"], ["bb22", "cc33"]),
        (["memory"], ["aa11", "cc33"]),
        (["cc3"], ["aa11", "bb22"]),
        (["--days", "30"], ["bb22", "cc33"]),
        (["memory", "--days", "30"], ["aa11", "bb22", "cc33"]),
        (["emovclip", "--dry-run"], ["aa11", "bb22", "cc33"]),
    ],
)
def test_pruning_by_name_and_age(states: Path, arguments: list[str], left: list[str]) -> None:
    assert run_app(["features", "prune", *arguments]) == 0
    assert sorted(path.name for path in states.iterdir()) == left


def test_what_is_said(states: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["features", "list"]) == 0
    assert "beside it: 3 fits of supervised extractors" in capsys.readouterr().out
    assert run_app(["features", "prune", "emovclip", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "fit of emovclip to 12 clips aa11" in out
    assert "Would remove 0 tables, 1 fit and 0 leftover files" in out
    assert run_app(["features", "prune", "emovclip", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [(one["digest"], one["extractor"]) for one in document["fits"]] == [("aa11", "emovclip")]
    assert document["bytes"] > 12
    assert run_app(["features", "prune", "emovclip"]) == 2
    assert "the store has no table 'emovclip'" in capsys.readouterr().err


def test_what_is_being_fitted_stays(states: Path) -> None:
    with locked(states / "cc33" / WORK / LOCK):
        assert prune_fits(states, lambda fit: fit.digest == "cc33") == []
    assert (states / "cc33").is_dir()
    assert [fit.digest for fit in prune_fits(states, lambda fit: fit.digest == "cc33")] == ["cc33"]
    assert not (states / "cc33").exists()


def test_a_fit_that_a_run_finds_again_counts_as_used(tmp_path: Path) -> None:
    space = open_workspace(tmp_path / "cache", plugins=[Learners()])
    data = write_texts(tmp_path / "data", ["a", "b", "c"] * 6)
    small = {"modalities": ["text"], "extractors": {"text": "memory"}, "folds": 2, "trainer_options": {"epochs": 1}}
    run(data, out=tmp_path / "one", space=space, **small)
    first = kept_fits(space.cache.states)
    assert [(fit.name, fit.clips) for fit in first] == [("memory@extra", 9)] * 2
    for fit in first:
        os.utime(fit.folder / FACTS, (1000.0, 1000.0))
    run(data, out=tmp_path / "two", space=space, **small)
    assert all(fit.used > 1000.0 + DAY for fit in kept_fits(space.cache.states))
