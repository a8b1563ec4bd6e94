"""Files that are there whole or not at all, and errors of writing that name the file and what to do."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mer_core.errors import EnvironmentProblem

PART = ".part-"
"""Begins the name of a file that is being written."""

AGAIN = "Free some space, or choose other --out and --cache, and run the same command again: it goes on from there."


def disk_full(error: BaseException) -> bool:
    """Whether an error says that there is no space, or no quota, left; libraries raise errors of their own."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return "no space left on device" in str(error).lower()


def cannot_write(place: Path | str, error: OSError) -> EnvironmentProblem:
    """The error for a file or folder that cannot be written."""
    if disk_full(error):
        return EnvironmentProblem(f"the disk is full: {place} cannot be written.", AGAIN)
    reason = error.strerror or str(error)
    return EnvironmentProblem(f"{place} cannot be written: {reason}.", "Check the path and its permissions.")


@contextmanager
def writing(place: Path | str) -> Iterator[None]:
    """Name ``place`` in errors of the operating system while it is written.

    Raises:
        EnvironmentProblem: the disk is full, or the file cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise cannot_write(place, error) from error


def write_text(file: Path, text: str) -> Path:
    """Write ``text`` as UTF-8, its line ends as they are; the file is the old one until all of the new is written.

    Raises:
        EnvironmentProblem: as :func:`writing`.
    """
    part = file.with_name(f"{PART}{secrets.token_hex(4)}-{file.name}")
    with writing(file):
        try:
            part.write_bytes(text.encode())
            os.replace(part, file)
        finally:
            part.unlink(missing_ok=True)
    return file
