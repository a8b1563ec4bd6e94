"""Digest of a file or folder, for the fingerprint of options that name weights."""

from __future__ import annotations

import hashlib
from pathlib import Path


def content_digest(path: str | Path) -> str:
    """SHA-256 (hexadecimal) of a file's content, or of all files in a folder with their relative names.

    Raises:
        OSError: it is not there or cannot be read.
    """
    top = Path(path)
    if not top.is_dir():
        return _file(top)
    whole = hashlib.sha256()
    for file in sorted(found for found in top.rglob("*") if found.is_file()):
        whole.update(f"{file.relative_to(top).as_posix()} {_file(file)}\n".encode())
    return whole.hexdigest()


def _file(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
