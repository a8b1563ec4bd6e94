"""Shared by all tests: no network, a cache of their own, and the real clips where there are any."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # small steps; pytest's own processes use the cores

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as a shell starts what it runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)


LONG = ("preset_mer2024", "scoring", "finetune_sample", "docs", "scaffold", "installed_plugins", "engine_death")
"""Files whose tests take longest: begun first, so that no process is left alone with one of them at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those of the longest files first, all others as they are."""
    items.sort(key=lambda item: item.path.stem.removeprefix("test_") not in LONG)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test touches the user's cache, none goes to a hub, and none sees the weights of another."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("MER_CACHE", str(folder))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("MER_WEIGHTS", "")  # which --weights-dir sets for the whole process
    return folder


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real clips; tests that need it are skipped elsewhere."""
    folder = os.environ.get("MER_REAL_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("MER_REAL_DATA names no folder of real clips")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def sample_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all tests that need the sample; the clips in it are made once for all of pytest's processes."""
    cache, base = tmp_path_factory.mktemp("shared-cache"), tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        made = base.parent / "shared-datasets"
        made.mkdir(exist_ok=True)
        (cache / "datasets").symlink_to(made, target_is_directory=True)
    return cache


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Tiny checkpoints of all families and clips, made once for all tests that break them."""
    from checkpoints import Shelf

    return Shelf(tmp_path_factory.mktemp("checkpoints"))
