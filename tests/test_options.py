"""Options: what is saved of them, and what is said of those that are missing or point nowhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import DirectoryPath, FilePath

from mer_core.errors import OptionError
from mer_core.options import Options, validate


class Files(Options):
    """Options that name files."""

    weights: FilePath
    """A file."""
    folder: DirectoryPath | None = None
    """A folder."""
    extra: tuple[Path, ...] = ()
    """Other paths."""
    rate: float = 0.5
    """Not a path."""


def test_paths_are_saved_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "w.bin").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    found = validate(Files, {"weights": "w.bin", "folder": "."}, "mine")
    saved = found.model_dump(mode="json")
    assert saved == {"weights": str(tmp_path / "w.bin"), "folder": str(tmp_path), "extra": [], "rate": 0.5}
    assert json.loads(json.dumps(saved)) == saved
    assert found.model_dump()["weights"] == Path("w.bin")


def test_what_is_required_or_not_there_is_named_with_the_flag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionError, match=r"mine: the option weights is required: -o mine.weights=VALUE\. See"):
        validate(Files, {}, "mine")
    with pytest.raises(OptionError, match=rf"there is no file {tmp_path}/w.bin: -o mine.weights=FILE\. See"):
        validate(Files, {"weights": "w.bin"}, "mine")
    (tmp_path / "w.bin").write_bytes(b"")
    with pytest.raises(OptionError, match=rf"there is no folder {tmp_path}/gone: -o mine.folder=FOLDER\. See"):
        validate(Files, {"weights": "w.bin", "folder": "gone"}, "mine")
