"""A cache of their own for all tests, and the tiny model."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_model


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("MER_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model for pictures of 16 x 16 pixels."""
    return tiny_model.write(tmp_path_factory.mktemp("models") / "tiny.onnx")
