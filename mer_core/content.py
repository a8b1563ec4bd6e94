"""Digest of a file or folder, for the fingerprint of options that name weights."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from pathlib import Path

LARGE = 16_000_000
"""Files of so many bytes are hashed once and remembered by path, size, time and inode."""
SETTLE_SECONDS = 2.0
"""A file changed less than this ago may change again within one time stamp; it is hashed again."""


def content_digest(path: str | Path) -> str:
    """SHA-256 (hexadecimal) of a file's content, or of all files in a folder with their relative names.

    The digests of large files are remembered in the cache folder (``MER_CACHE``), so that weights of many
    gigabytes are read once and not at every start.

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
    stat = path.stat()
    if stat.st_size < LARGE:
        return _hash(path)
    stamp: list[str | int] = [os.path.realpath(path), stat.st_size, stat.st_mtime_ns, stat.st_ino]
    memory = _memory()
    known = _recall(memory, stamp)
    if known:
        return known
    value = _hash(path)
    if time.time() - stat.st_mtime > SETTLE_SECONDS and path.stat().st_mtime_ns == stat.st_mtime_ns:
        _remember(memory, [*stamp, value])
    return value


def _hash(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _memory() -> Path:
    from platformdirs import user_cache_path

    return Path(os.environ.get("MER_CACHE") or user_cache_path("mer")) / "state" / "weights.jsonl"


def _recall(memory: Path, stamp: list[str | int]) -> str:
    """The digest that was remembered for a file with this stamp; empty if none was."""
    with contextlib.suppress(OSError):
        for line in reversed(memory.read_text(encoding="utf-8").splitlines()):
            with contextlib.suppress(ValueError):
                found = json.loads(line)
                if found[:-1] == stamp:
                    return str(found[-1])
    return ""


def _remember(memory: Path, entry: list[str | int]) -> None:
    """Append a line in one write; a cache that cannot be written is done without."""
    with contextlib.suppress(OSError):
        memory.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(memory, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(handle, json.dumps(entry).encode() + b"\n")
        finally:
            os.close(handle)
