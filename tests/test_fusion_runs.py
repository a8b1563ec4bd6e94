"""`mer run --fusion NAME` on a small sample, for every fusion."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from mer_core.cli.app import run_app
from mer_plugins.fusion.specs import FUSIONS

SMALL = ["-o", "sample.clips=48", "--modalities", "speech,text", "--epochs", "2", "--folds", "2"]
NARROW = {"misa": ["-o", "misa.feedforward=16"], "mult": ["-o", "mult.heads=2", "-o", "mult.layers=1"]}
CHOICES = [
    *((spec.name, "") for spec in FUSIONS if spec.name != "mult"),
    ("mult", "frames:4"),
    ("attention", "frames:4"),
]
"""Fusions that read frames only get them without being asked; fewer make it quick."""


@pytest.mark.parametrize(("name", "pooling"), CHOICES)
def test_a_run_of_each_fusion(name: str, pooling: str, sample_cache: Path, tmp_path: Path) -> None:
    chosen = ["--fusion", name, "-o", f"{name}.hidden=8", *NARROW.get(name, [])]
    chosen += ["--pooling", pooling] if pooling else []
    assert run_app(["run", *SMALL, *chosen, "--cache", str(sample_cache), "--out", str(tmp_path / "run")]) == 0
    report = json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))
    assert report["model"]["fusion"] == name
    framed = bool(pooling) or name == "ef-lstm"
    assert report["model"]["stacked"] == (name == "mult" or not framed)
    assert {stream["level"] for stream in report["streams"]} == {"frame" if framed else "clip"}
    assert 0 <= report["metrics"]["cv"]["waf"]["value"] <= 1
    with (tmp_path / "run" / "predictions.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 48
    assert all(
        sum(float(v) for k, v in row.items() if k.startswith("p_")) == pytest.approx(1, abs=1e-4) for row in rows
    )
