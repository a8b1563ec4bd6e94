"""``mer train`` from stored features, where some clips could not be extracted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mer_core.cli.app import run_app


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Forty tones of two classes, and one file that holds no sound."""
    rng = np.random.default_rng(0)
    rows = ["id,audio,label"]
    for number in range(40):
        tone = 0.2 * np.sin(np.arange(8000) * (0.1 + 0.1 * (number % 2))) + 0.01 * rng.standard_normal(8000)
        soundfile.write(tmp_path / f"{number}.wav", tone, 16000)
        rows.append(f"{number},{number}.wav,{('happy', 'sad')[number % 2]}")
    (tmp_path / "bad.wav").write_bytes(b"no sound at all")
    (tmp_path / "clips.csv").write_text("\n".join([*rows, "bad,bad.wav,sad"]) + "\n", encoding="utf-8")
    return tmp_path / "clips.csv"


def test_a_clip_that_cannot_be_read_does_not_keep_others_from_training(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--data", str(table), "-m", "speech"]
    training = ["train", *common, "--epochs", "1", "--out", str(tmp_path / "r"), "--json"]
    assert run_app(training) == 2
    assert "not extracted yet" in capsys.readouterr().out
    assert run_app(["extract", *common]) == 0
    capsys.readouterr()
    assert run_app(training) == 0
    assert [failure["id"] for failure in json.loads(capsys.readouterr().out)["failures"]] == ["bad"]
