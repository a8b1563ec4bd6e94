"""Real clips, where there are any: features where a face is found, and nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from mer_core import extract

REAL = os.environ.get("MER_REAL_DATA", "")
CLIPS = {"01-01-01-01-01-01-01": True, "sample_00000167": True, "no_face": False}
"""Clips, and whether a face is found in them."""


@pytest.mark.skipif(not REAL, reason="MER_REAL_DATA names no folder of real clips")
def test_real_clips(model: Path, tmp_path: Path) -> None:
    table = tmp_path / "clips.csv"
    rows = [f"{name},{Path(REAL).resolve()}/clips/{name}.mp4,0,1.5" for name in CLIPS]
    table.write_text("\n".join(["id,video,start,end", *rows]), encoding="utf-8")
    found = extract(
        table,
        modalities=["image"],
        extractors={"image": "onnx-face"},
        options={"onnx-face": {"model": str(model), "size": 16, "output": "features"}, "haar": {"fps": 2}},
    )
    data = found.features.table["image:onnx-face"]
    assert not found.report.failures
    assert dict(zip(found.features.ids, data.present.tolist(), strict=True)) == CLIPS
    assert np.isfinite(data.values[data.present]).all()
    assert data.values[data.present].std(axis=0).max() > 0
