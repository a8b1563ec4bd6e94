"""Supervised extractors that misbehave, fits that are in each other's way, and folders that are not what they seem."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from learners import Learners, Memory, write_texts
from numpy.typing import NDArray
from odd_learners import Numbered, Odd, OddLearners
from safetensors.numpy import load_file, save_file

from mer_core import finetune, open_workspace, predict, run
from mer_core.engine.instances import States
from mer_core.engine.journal import Journal, clip_identity, take_over
from mer_core.errors import DataError, PluginError, TooLittleDataError, UsageError
from mer_core.fitted import load_state
from mer_core.plugin import Sample, Supervision
from mer_core.store.samples import SampleCache
from mer_core.types import Clip, Text
from mer_core.workflows.workspace import Workspace

LABELS = ["angry", "happy", "sad"] * 8
SMALL: dict[str, Any] = {"trainer_options": {"epochs": 3}, "modalities": ["text"], "folds": 3}


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    Memory.fitted.clear()
    Numbered.fits = 0
    Odd.returns, Odd.summary_of = dict, {}
    return open_workspace(tmp_path / "cache", plugins=[Learners(), OddLearners()])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_texts(tmp_path / "data", LABELS)


def go(space: Workspace, data: Path, out: Path, extractor: str, **settings: Any) -> Any:
    return run(data, out=out, space=space, extractors={"text": extractor}, **{**SMALL, **settings})


@pytest.mark.parametrize("crossfit", ["fold", "nested"])
def test_a_fit_that_answers_no_clip_leaves_its_fold_without_the_stream(
    tmp_path: Path, space: Workspace, data: Path, crossfit: str
) -> None:
    result = go(space, data, tmp_path / "run", "faint", crossfit=crossfit)
    present = [result.training.data.features("text:faint", fold).present.mean() for fold in range(3)]
    assert 0 < np.mean(present) < 1
    assert len(predict(tmp_path / "run" / "model", data, space=space).predictions) == len(LABELS)


def test_a_stream_that_no_clip_has_is_left_out_of_the_model(tmp_path: Path, space: Workspace, data: Path) -> None:
    result = go(space, data, tmp_path / "run", "memory,mute")
    assert "No clip has text:mute; the stream is left out." in result.report.warnings
    assert len(predict(tmp_path / "run" / "model", data, space=space).predictions) == len(LABELS)
    with pytest.raises(TooLittleDataError, match="no labelled clip has any modality") as caught:
        go(space, data, tmp_path / "alone", "mute")
    assert "No clip has text:mute" in (caught.value.hint or "")


def test_columns_that_depend_on_the_fit_are_refused(tmp_path: Path, space: Workspace, data: Path) -> None:
    with pytest.raises(PluginError, match="wide returned 1 columns after one fit and 3 after another"):
        go(space, data, tmp_path / "run", "wide")


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ([1], "fit returned list, not arrays by name"),
        ({"a": np.zeros(2, np.longdouble)}, "fit returned 'a' as float128"),
        ({"a": [1.0]}, "fit returned 'a' as list"),
        ({"__metadata__": np.zeros(2)}, "an array called '__metadata__'"),
    ],
)
def test_states_that_cannot_be_saved_are_refused_by_name(
    tmp_path: Path, space: Workspace, data: Path, returned: Any, said: str
) -> None:
    Odd.returns = lambda: returned
    with pytest.raises(PluginError, match=f"odd@extra: .*{said}"):
        finetune("odd", data, out=tmp_path / "fit", space=space)


def test_a_summary_with_numpys_numbers_costs_no_fit(tmp_path: Path, space: Workspace, data: Path) -> None:
    Odd.summary_of = {"loss": np.float32(0.5), "curve": np.arange(2), "kind": Path("a"), ("no", "text"): 1}
    assert finetune("odd", data, out=tmp_path / "fit", space=space).facts["summary"] == {
        "loss": 0.5,
        "curve": [0, 1],
        "kind": "a",
    }


def test_a_damaged_state_is_fitted_again(tmp_path: Path, space: Workspace, data: Path) -> None:
    first = go(space, data, tmp_path / "one", "memory")
    for file in (space.cache.fits / "states").rglob("state.safetensors"):
        file.write_bytes(file.read_bytes()[:-8])
    Memory.fitted.clear()
    assert go(space, data, tmp_path / "two", "memory").report.metrics == first.report.metrics
    assert len(Memory.fitted) == 3


def test_features_belong_to_the_very_state_that_made_them(tmp_path: Path, space: Workspace, data: Path) -> None:
    finetune("odd", data, out=tmp_path / "one", space=space)
    Odd.returns = lambda: {"texts": np.frombuffer(b"x", np.uint8), "labels": np.zeros(1, np.int64)}
    finetune("odd", data, out=tmp_path / "two", space=space)  # the same clips, labels and seed, another outcome
    found = [
        go(space, data, tmp_path / f"run {name}", "odd", fitted={"odd": tmp_path / name}) for name in ("one", "two")
    ]
    values = [one.extraction.features.table["text:odd"].values for one in found]
    assert np.abs(values[0]).max() > 2
    assert np.abs(values[1]).max() < 1


class Begins(Memory):
    """Dies and leaves a checkpoint, which it takes up again."""

    die = True

    def fit(self, samples: Sequence[Sample], supervision: Supervision) -> Mapping[str, NDArray[Any]]:
        assert supervision.folder is not None
        checkpoint = supervision.folder / "checkpoint"
        if Begins.die:
            checkpoint.write_text("learnt")
            raise RuntimeError("killed")
        assert not checkpoint.exists()
        return super().fit(samples, supervision)


def test_a_checkpoint_is_not_handed_to_a_fit_to_other_clips(
    tmp_path: Path, space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("learners.Memory", Begins)
    everything = write_texts(tmp_path / "all", LABELS)
    with pytest.raises(PluginError, match="killed"):
        finetune("memory", everything, out=tmp_path / "fit", space=space)
    Begins.die = False
    held_back = write_texts(tmp_path / "some", LABELS, ["train"] * 18 + ["test"] * 6)
    assert finetune("memory", held_back, out=tmp_path / "fit", space=space).facts["clips"] == 18
    assert {file.name for file in (tmp_path / "fit").iterdir()} == {"state.safetensors", "state.json"}


def test_a_folder_with_somebodys_work_is_left_alone(tmp_path: Path, space: Workspace, data: Path) -> None:
    (tmp_path / "project" / "work").mkdir(parents=True)
    with pytest.raises(UsageError, match="holds something that is not a fit"):
        finetune("memory", data, out=tmp_path / "project", space=space)


def test_a_fit_by_another_version_is_not_taken_for_this_one(tmp_path: Path, space: Workspace, data: Path) -> None:
    finetune("memory", data, out=tmp_path / "fit", space=space)
    file = tmp_path / "fit" / "state.json"
    file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), "version": "0"}), encoding="utf-8")
    with pytest.raises(UsageError, match="holds a fit of another version"):
        finetune("memory", data, out=tmp_path / "fit", space=space)


def test_of_two_that_fit_the_same_at_once_one_waits(
    tmp_path: Path, space: Workspace, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mer_core.workflows.fits.WAIT_SECONDS", 0.02)
    begun, go_on = threading.Event(), threading.Event()
    fit = Memory.fit

    def slowly(self: Memory, samples: Sequence[Sample], supervision: Supervision) -> Mapping[str, NDArray[Any]]:
        begun.set()
        assert go_on.wait(20)
        return fit(self, samples, supervision)

    monkeypatch.setattr(Memory, "fit", slowly)
    out = tmp_path / "fit"
    told: list[str] = []

    def listen(stage: str, done: int, total: int, note: str) -> None:
        told.append(stage)
        if stage == "wait":
            go_on.set()

    other = open_workspace(space.cache.root, plugins=[Learners()], progress=listen)
    first = threading.Thread(target=lambda: finetune("memory", data, out=out, space=space))
    first.start()
    assert begun.wait(20)
    finetune("memory", data, out=out, space=other)
    first.join(20)
    assert "wait" in told
    assert len(Memory.fitted) == 1
    assert load_state(out).facts["clips"] == len(LABELS)


def test_a_fit_that_does_not_say_what_it_knows_is_not_scored(tmp_path: Path, space: Workspace, data: Path) -> None:
    go(space, data, tmp_path / "run", "memory")
    with pytest.raises(DataError, match="does not say which clips it learnt from"):
        go(space, data, tmp_path / "two", "memory", fitted={"memory": tmp_path / "run" / "model" / "fitted" / "0-0"})


def test_samples_that_cannot_be_kept_cost_speed_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    cache = SampleCache(tmp_path / "file" / "below", 10**9)
    assert not cache.put("a", Sample("a", {"text": Text("hello")}))
    assert cache.get("a") is None


def test_states_are_read_from_disk_once_though_fits_take_turns(
    tmp_path: Path, space: Workspace, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    restored: list[int] = []
    restore = Memory.restore

    def noted(self: Memory, state: Mapping[str, NDArray[Any]]) -> None:
        restore(self, state)
        restored.append(state["labels"][0])
        state["labels"][:] = 99  # what a plugin gets is its own

    monkeypatch.setattr(Memory, "restore", noted)
    states, read = States(), list[Path]()
    monkeypatch.setattr("mer_core.engine.instances.STATES", states)

    def counted(file: Path) -> dict[str, NDArray[Any]]:
        read.append(file)
        return load_file(file)

    monkeypatch.setattr("safetensors.numpy.load_file", counted)
    go(space, data, tmp_path / "run", "turns")
    assert len(read) == len(set(read)) == 3
    assert len(restored) >= len(LABELS), "a thread works on one clip after the other, for all fits in turn"
    assert set(restored) <= {0, 1, 2}


def test_states_that_are_large_are_not_kept(tmp_path: Path) -> None:
    save_file({"a": np.ones(100)}, tmp_path / "a")
    states = States(limit=100)
    for _ in range(2):
        found = states.load(tmp_path / "a")["a"]
        assert found.tolist() == [1.0] * 100
        found[:] = 2
    with pytest.raises(FileNotFoundError):
        states.load(tmp_path / "b")


def test_suspects_wait_for_the_jobs_that_they_are_suspects_of(tmp_path: Path) -> None:
    clip = Clip(id="a", text="hello")
    dead = Journal(tmp_path, jobs=["fit0", "fit1"])
    dead.begin(clip)
    assert dead._handle is not None
    os.close(dead._handle)  # as the kernel does when a process dies
    clips = {clip_identity(clip): clip}
    for others in ([], ["decoding"]):
        assert take_over(Journal(tmp_path, jobs=others), tmp_path, clips) == []
    assert [begun.id for begun in take_over(Journal(tmp_path, jobs=["fit1"]), tmp_path, clips)] == ["a"]


def test_samples_that_a_failed_fit_left_go_after_a_week(tmp_path: Path, space: Workspace, data: Path) -> None:
    left = space.cache.fits / "samples" / "left"
    fresh = space.cache.fits / "samples" / "fresh"
    for folder in (left, fresh):
        folder.mkdir(parents=True)
    os.utime(left, (0, 0))
    finetune("memory", data, out=tmp_path / "fit", space=space)
    assert (left.exists(), fresh.exists()) == (False, True)


def test_a_fit_that_has_gone_is_missed_before_anything_is_extracted(
    tmp_path: Path, space: Workspace, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finetune("memory", data, out=tmp_path / "fit", space=space)
    go(space, data, tmp_path / "run", "memory,letters", fitted={"memory": tmp_path / "fit"})
    (tmp_path / "fit").rename(tmp_path / "moved")
    monkeypatch.setattr("mer_core.workflows.run.extract_clips", lambda *_, **__: pytest.fail("too late"))
    with pytest.raises(DataError, match="there is no fitted extractor in"):
        run(file=tmp_path / "run" / "config.toml", out=tmp_path / "again", space=space)
