"""Tables that are larger than memory lie in files, and are copied no more often than they must be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mer_core import compose
from mer_core.errors import EnvironmentProblem
from mer_core.store import room
from mer_core.workflows.features import take

FEATURES = compose({"audio": np.arange(40, dtype=np.float32).reshape(10, 4)}, [f"c{row % 2}" for row in range(10)])


def test_neighbouring_rows_are_not_copied() -> None:
    values = FEATURES.table["audio"].values
    assert take(FEATURES, np.arange(10)).table["audio"].values is values
    part = take(FEATURES, np.arange(2, 9)).table["audio"]
    assert part.values.base is not None
    assert np.shares_memory(part.values, values)
    np.testing.assert_array_equal(part.values, values[2:9])
    assert not np.shares_memory(take(FEATURES, np.asarray([1, 3])).table["audio"].values, values)


def test_large_copies_lie_in_a_file_that_goes_with_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "LARGE", 64)
    rows = np.asarray([9, 0, 4, 5, 7])
    found = take(FEATURES, rows, room=tmp_path).table["audio"].values
    assert isinstance(found, np.memmap)
    np.testing.assert_array_equal(found, FEATURES.table["audio"].values[rows])
    assert not list(tmp_path.iterdir()), "the file has no name, so nothing is left behind after a kill"
    assert not isinstance(take(FEATURES, rows[:2], room=tmp_path).table["audio"].values, np.memmap)


def test_a_full_disk_is_told_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full, raising=False)
    with pytest.raises(EnvironmentProblem, match="disk is full"):
        room.make_room((2**15, 2**13), np.float32, tmp_path)
    assert not list(tmp_path.iterdir())
