"""The conformance kit of mer, on the tiny model."""

from __future__ import annotations

from pathlib import Path

from mer_core.testing import BoundCheck, conformance


@conformance("onnx-face")
def test_contract(check: BoundCheck, model: Path) -> None:
    check(options={"model": str(model), "size": 16})
