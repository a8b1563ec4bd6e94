"""The winner's preset from end to end: stand-in checkpoints of the published widths, a language model on loopback."""

from __future__ import annotations

import json
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ranking_server import KEY, Server, serving

from mer_core.cli.app import run_app

SCRIPT = Path(__file__).parents[1] / "docs" / "examples" / "stand_ins.py"
WIDTHS = {"speech:hubert": 2048, "text:gpt4-baichuan": 10240, "image:clip": 1536, "video:emovclip": 768}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the documented script writes."""
    folder = tmp_path_factory.mktemp("weights")
    runpy.run_path(str(SCRIPT))["main"](folder)
    return folder


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving() as found:
        yield found


def mer(weights: Path, server: Server, out: Path, *more: str) -> dict[str, Any]:
    """The report of ``mer run --preset mer2024``."""
    line = ["run", "--preset", "mer2024", "--weights-dir", str(weights), "--out", str(out), "--allow-upload"]
    line += ["-o", f"gpt-ranking.base_url={server.url}", "-o", "emovclip.epochs=1", "--epochs", "2"]
    assert run_app([*line, *more]) == 0
    found: dict[str, Any] = json.loads((out / "report.json").read_text(encoding="utf-8"))
    return found


def test_on_the_sample(tmp_path: Path, weights: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    small = ["-o", "sample.clips=18", "-o", "clip.count=2", "-o", "emovclip.frames=2", "-o", "emovclip.jitter=1"]
    report = mer(weights, server, tmp_path / "run", "--modalities", "speech,image,video,text", "--folds", "2", *small)
    assert {one["name"]: one["dim"] for one in report["streams"]} == WIDTHS
    assert {one["name"]: one["fits"] for one in report["streams"]}["video:emovclip"] == 2
    assert report["metrics"]["cv"]["contaminated"] == 0
    assert [one["stream"] for one in report["baselines"]] == ["image:clip"]
    assert report["model"]["options"]["modality_dropout"] == 0.3
    assert report["self_training"]["method"] == "class-balanced"
    assert len(server.questions) > 0
    everything = "".join(path.read_text("utf-8", "ignore") for path in (tmp_path / "run").rglob("*") if path.is_file())
    assert KEY not in everything
    asked = len(server.questions)
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.setenv("MER_WEIGHTS", str(weights))
    again = mer(weights, server, tmp_path / "again", "--modalities", "speech,image,video,text", "--folds", "2", *small)
    assert len(server.questions) == asked, "a finished run needs neither key nor network"
    assert again["metrics"]["cv"]["waf"] == report["metrics"]["cv"]["waf"]


def test_on_real_clips(tmp_path: Path, weights: Path, server: Server, real_data: Path) -> None:
    data = ["--data", str(real_data / "clips.csv"), "-o", "clip.count=4", "-o", "emovclip.jitter=1"]
    report = mer(weights, server, tmp_path / "run", *data)
    assert {one["name"]: one["dim"] for one in report["streams"]} == WIDTHS
    assert report["metrics"]["cv"] is None
    assert report["failures"] == []
    assert report["self_training"]["pool"] == 4
    assert len(server.questions) == 7
    assert run_app(["predict", "--model", str(tmp_path / "run" / "model"), str(real_data / "clips.csv"), "--json"]) == 0
