"""A disk that fills while a run is saved: each file is whole or not there, and the same command goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from checkpoints import Mer, Shelf
from full_disk import FullDisk
from safetensors import SafetensorError

CLIPS = 8
FULL = SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


@pytest.fixture
def mer(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Mer:
    monkeypatch.setenv("COLUMNS", "1000")
    return Mer(capsys)


def run_line(shelf: Shelf, out: Path) -> list[str]:
    streams = ["--modalities", "text", "--device", "cpu", "--workers", "1"]
    return ["run", "--data", str(shelf.clips(CLIPS)), *streams, "--folds", "2", "--epochs", "2", "--out", str(out)]


def whole(out: Path) -> None:
    """Everything that a run leaves is there and can be read."""
    assert json.loads((out / "report.json").read_text())["schema"]
    assert json.loads((out / "folds.json").read_text())["folds"]
    assert len((out / "predictions.csv").read_text().splitlines()) == CLIPS + 1
    assert json.loads((out / "model" / "pipeline.json").read_text())["classes"]
    assert not list(out.rglob("*.part*"))


@pytest.mark.parametrize("last", ["config.toml", "log.jsonl", "folds.json", "predictions.csv", "report"])
def test_a_disk_that_fills_at_any_file(
    mer: Mer, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    """``last`` is what finds no room; the features are stored by then, and used again."""
    out = tmp_path / "out"
    line = run_line(shelf, out)
    disk = FullDisk(monkeypatch, out, 10**12)
    disk.stop_at(last)
    mer(*line).refuses(3, f"the disk is full: {out / last}", "Free some space, or choose other --out")
    assert not list(out.rglob("*.part*"))
    disk.free()
    said = mer(*line, "--json")
    assert said.code == 0
    reused = [stream["reused"] for stream in json.loads(said.out)["streams"]]
    assert reused == [0 if last in ("config.toml", "log.jsonl") else CLIPS]
    whole(out)


def test_a_disk_that_fills_while_the_model_is_saved(
    mer: Mer, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An earlier model in the same folder does not pass for the new one."""
    out = tmp_path / "out"
    assert mer(*run_line(shelf, out)).code == 0
    whole(out)

    def refuse(*args: object, **more: object) -> None:
        raise FULL

    with monkeypatch.context() as full:
        full.setattr("mer_plugins.trainers.model.save_file", refuse)
        said = mer(*run_line(shelf, out))
    said.refuses(3, "No space left on device", "Free some space")
    assert "traceback" not in said.err
    mer("predict", "--model", str(out / "model"), str(shelf.clips(CLIPS))).refuses(2, "is not a model folder")
    assert mer(*run_line(shelf, out)).code == 0
    assert mer("predict", "--model", str(out / "model"), str(shelf.clips(CLIPS))).code == 0


def test_a_log_that_cannot_be_written_does_not_hide_the_error(
    mer: Mer, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    disk = FullDisk(monkeypatch, out, 10**12)

    def fail(*args: object, **more: object) -> None:
        disk.room = 0
        raise FULL

    monkeypatch.setattr("mer_plugins.trainers.model.save_file", fail)
    mer(*run_line(shelf, out)).refuses(3, "trainer cv@mer-toolkit", "No space left on device")
