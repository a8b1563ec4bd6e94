"""``mer finetune emovclip`` on clips of the sample, as it is typed: it learns, survives a kill, and serves a run."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from checkpoints import Mer, Said
from numpy.typing import NDArray
from sample_movements import EACH, SHOWN, movements, random_clip

from mer_core import extract, open_workspace
from mer_core.cli.app import run_app
from mer_core.feature_set import FeatureSet
from mer_core.plugin import ExtractorSpec, FloatArray
from mer_core.registry import discover
from mer_plugins.video.tuning_saved import Saved

LEARN: dict[str, Any] = {
    "frames": 3,
    "max_side": 64,
    "tokens": 8,
    "epochs": 25,
    "lr": 0.005,
    "select": "last",
    "crops": "false",
    "colour": 0,
    "grey": 0,
}
"""Prompts are few and weak here, so they get no harder pictures than they are scored on."""

FEW = 36
"""Clips where nothing has to be learnt; two thirds are to be learnt from."""

KEPT = ["state.json", "state.safetensors"]


class Bench(NamedTuple):
    """What all tests share: clips, a table of a few of them, the random CLIP, and a cache."""

    data: Path
    few: Path
    model: Path
    cache: Path

    @property
    def own(self) -> list[str]:
        return ["--cache", str(self.cache)]

    def line(self, command: str, *more: str, data: Path | None = None, **options: Any) -> list[str]:
        """Arguments of ``mer COMMAND`` with the data, the model and the options of ``emovclip``."""
        chosen = {**LEARN, "model": self.model, **options}
        told = [word for key, value in chosen.items() for word in ("-o", f"emovclip.{key}={value}")]
        return [
            *command.split(),
            "--data",
            str(data or self.data),
            *told,
            "--device",
            "cpu",
            "--workers",
            "1",
            *self.own,
            *more,
        ]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    top = tmp_path_factory.mktemp("bench")
    data = movements(top / "data")
    few = data.with_name("few.csv")
    few.write_text("".join(data.read_text(encoding="utf-8").splitlines(keepends=True)[: 1 + FEW]), encoding="utf-8")
    return Bench(data, few, random_clip(top / "clip"), top / "cache")


@pytest.fixture
def mer(capsys: pytest.CaptureFixture[str]) -> Mer:
    return Mer(capsys)


@pytest.fixture(scope="module")
def whole(bench: Bench) -> Path:
    """A fit that nobody disturbed."""
    out = bench.data.parent / "whole"
    assert run_app(bench.line("finetune emovclip", "--out", str(out))) == 0
    return out


def killed(arguments: list[str], enough: Callable[[], bool]) -> int:
    """Exit code of ``mer ARGUMENTS`` in a process of its own, which is killed as soon as it has done ``enough``."""
    program = [sys.executable, "-c", "from mer_core.cli import main; main()", *arguments]
    with subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not enough():
            time.sleep(0.02)
        process.kill()
    return process.returncode


def after_saves(folder: Path, count: int) -> Callable[[], bool]:
    """Whether the checkpoint below ``folder`` was written so often."""
    seen: set[int] = set()

    def enough() -> bool:
        seen.update(file.stat().st_mtime_ns for file in folder.glob("work/*/tuning.pt"))
        return len(seen) >= count

    return enough


def arrays(folder: Path) -> Mapping[str, NDArray[Any]]:
    from safetensors.numpy import load_file

    return load_file(folder / "state.safetensors")


# what it learns


def test_loss_falls(whole: Path) -> None:
    facts = json.loads((whole / "state.json").read_text(encoding="utf-8"))
    losses = facts["summary"]["losses"]
    assert len(losses) == LEARN["epochs"]
    assert losses[-1] < 0.7 * losses[0]
    assert (facts["clips"], facts["classes"]) == (2 * EACH, list(SHOWN))


def features(bench: Bench, extractor: str, **more: Any) -> FeatureSet:
    """The clips' features by one extractor of videos."""
    space = open_workspace(bench.cache)
    found = extract(
        bench.data, space=space, modalities=["video"], extractors={"video": extractor}, pooling="mean", **more
    )
    return found.features


def test_it_beats_clip_without_learning_on_held_out_clips(bench: Bench, whole: Path) -> None:
    """Forty clips that took no part. Beside it: the same CLIP, and the words of the classes."""
    probabilities = ["emovclip.output=probabilities"]
    found = features(bench, "emovclip", fitted={"emovclip": whole}, options=probabilities)
    held = np.asarray([split == "test" for split in found.splits or ()])
    assert held.sum() == EACH
    chances = found.table["video:emovclip"].values[held]
    np.testing.assert_allclose(chances.sum(axis=1), 1, atol=1e-5)
    learnt = chances.argmax(axis=1) == found.labels[held]

    plain = features(bench, "clip-video", options=[f"clip-video.model={bench.model}", "clip-video.count=9"])
    catalogue = discover()
    told = catalogue.options(ExtractorSpec, "clip-video", {"model": str(bench.model)})
    words = catalogue.load(ExtractorSpec, "clip-video")(told, "cpu").class_embeddings(SHOWN)
    videos = plain.table["video:clip-video"].values[held]
    zero_shot = (unit(videos) @ unit(words).T).argmax(axis=1) == plain.labels[held]

    assert abs(zero_shot.mean() - 1 / 3) < 0.2
    assert learnt.mean() > 0.65
    assert learnt.mean() > zero_shot.mean() + 0.25


def unit(values: FloatArray) -> FloatArray:
    found: FloatArray = values / np.linalg.norm(values, axis=-1, keepdims=True)
    return found


# kills


def test_killed_and_run_again_it_is_what_was_never_killed(bench: Bench, mer: Mer) -> None:
    """SIGKILL after three epochs. Then without the videos: their decoded frames are still there."""
    whole, out = bench.data.parent / "not-killed", bench.data.parent / "killed"
    assert run_app(bench.line("finetune emovclip", "--out", str(whole), epochs=12)) == 0
    line = bench.line("finetune emovclip", "--out", str(out), epochs=12)
    assert killed(line, after_saves(out, 3)) == -signal.SIGKILL
    assert [one.name for one in out.iterdir()] == ["work"]
    with Unreadable(bench.data.parent / "clips"):
        said = mer(*line)
    assert said.code == 0, said.err
    note = re.search(r"Note Going on after (\d+) of 12 epochs\.", said.err)
    assert note
    assert 3 <= int(note[1]) < 12
    one, other = arrays(whole), arrays(out)
    assert set(one) == set(other)
    for name, value in one.items():
        assert value.tobytes() == other[name].tobytes(), name
    assert sorted(file.name for file in out.iterdir()) == KEPT
    assert sum(file.stat().st_size for file in out.iterdir()) < 1e6
    assert not list((bench.cache / "fits" / "samples").rglob("*.safetensors"))


class Unreadable:
    """In the block, no video below ``folder`` can be decoded, though all seem untouched."""

    def __init__(self, folder: Path) -> None:
        self.whole = {file: (file.read_bytes(), file.stat()) for file in folder.glob("*.mp4")}

    def __enter__(self) -> None:
        for file, (content, _) in self.whole.items():
            self._write(file, bytes(len(content)))

    def __exit__(self, *_: object) -> None:
        for file, (content, _) in self.whole.items():
            self._write(file, content)

    def _write(self, file: Path, content: bytes) -> None:
        with file.open("r+b") as open_file:
            open_file.write(content)
        times = self.whole[file][1]
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_interrupted_it_says_how_to_go_on(bench: Bench, mer: Mer, monkeypatch: pytest.MonkeyPatch) -> None:
    save, saved = Saved.save, []

    def interrupted(self: Saved, state: Mapping[str, Any]) -> None:
        save(self, state)
        saved.append(state["place"]["epoch"])
        if len(saved) == 2:
            raise KeyboardInterrupt

    out = str(bench.data.parent / "interrupted")
    line = bench.line("finetune emovclip", "--out", out, data=bench.few, epochs=3)
    with monkeypatch.context() as patch:
        patch.setattr(Saved, "save", interrupted)
        said = mer(*line)
    assert said.code == 130
    hint = "Decoded clips are kept, and what was learnt up to the last checkpoint; run the same command again to go on."
    assert said.err.endswith(f"Interrupted. {hint}")
    said = mer(*line)
    assert said.code == 0
    assert "Note Going on after 2 of 3 epochs. " in said.err


# what it says


def test_the_summary_fits_a_terminal(bench: Bench, whole: Path, mer: Mer, monkeypatch: pytest.MonkeyPatch) -> None:
    """No loss of every epoch, no digest of 64 digits; a command that goes on. A finished fit is not fitted again."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(whole.parent)
    said = mer(*bench.line("finetune emovclip", "--out", whole.name))
    assert said.code == 0
    lines = {line[:14].strip(): line[14:].strip() for line in said.out.splitlines()}
    assert lines["Fitted"] == "emovclip to 80 clips, by an earlier command"
    assert lines["Classes"] == "neutral, angry, surprise"
    assert re.fullmatch(r"1\.\d+ → 0\.\d+ \(25 values\)", lines["Losses"])
    assert re.fullmatch(r"sha256:[0-9a-f]{12}\.\.\.", lines["Backbone"])
    assert "Inner accuracy" not in lines
    assert said.out.splitlines()[-1] == "  mer run --extractor video=emovclip --fitted emovclip=whole"
    assert max(map(len, said.out.splitlines())) <= 80


# in a run


def test_prompts_that_were_learnt_otherwise_are_not_passed_off(
    bench: Bench, whole: Path, mer: Mer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    streams = ["--modalities", "video", "--extractor", "video=emovclip", "--fitted", f"emovclip={whole}"]
    line = bench.line("run", *streams, "--plan", frames=2, output="frames")
    assert mer(*line).code == 0, "how clips are read and what is given out may be chosen anew"
    said = mer(*line, "-o", "emovclip.tokens=4", "-o", "emovclip.label_words=dataset")
    said.refuses(2, 'tokens = 4, label_words = "dataset"', 'was fitted with tokens = 8, label_words = "paper"')


def report(mer: Mer, bench: Bench, out: Path, *more: str) -> tuple[Said, dict[str, Any]]:
    line = bench.line("run", "--modalities", "video", "--extractor", "video=emovclip", data=bench.few, epochs=1)
    said = mer(*line, "--folds", "2", "--epochs", "2", "--out", str(out), *more)
    assert said.code == 0, said.err
    return said, json.loads((out / "report.json").read_text(encoding="utf-8"))


def test_a_run_fits_it_once_per_fold(bench: Bench, mer: Mer, tmp_path: Path) -> None:
    _, found = report(mer, bench, tmp_path / "run")
    (stream,) = found["streams"]
    assert (stream["name"], stream["dim"], stream["fits"], stream["fitted"]) == ("video:emovclip", 32, 2, "fold")
    assert (found["metrics"]["cv"]["contaminated"], found["metrics"]["test"]["contaminated"]) == (0, 0)
    assert found["failures"] == []
    states = list((tmp_path / "run" / "model").rglob("state.safetensors"))
    assert len(states) == 2
    said = mer("predict", "--model", str(tmp_path / "run" / "model"), str(bench.few), "--json", *bench.own)
    assert said.code == 0, said.err
    assert len(json.loads(said.out)["predictions"]) == FEW


def test_a_single_fit_for_all_folds_is_marked(bench: Bench, mer: Mer, tmp_path: Path) -> None:
    said, found = report(mer, bench, tmp_path / "run", "--crossfit", "single")
    assert found["streams"][0]["fits"] == 1
    assert (found["metrics"]["cv"]["contaminated"], found["metrics"]["test"]["contaminated"]) == (FEW * 2 // 3, 0)
    assert "contaminated: labels of these clips were learnt from" in " ".join(said.out.split())
