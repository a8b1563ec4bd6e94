"""Arrays that may be larger than memory: beyond a size they are files that are mapped into it."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from mer_core.files import PART, writing

LARGE = 2**30
"""Bytes from which on an array lies in a file."""


def make_room(shape: tuple[int, ...], dtype: DTypeLike, folder: Path | None) -> NDArray[Any]:
    """An array of zeros; a large one in a file below ``folder``, which is gone when nobody holds the array any more.

    Raises:
        EnvironmentProblem: the disk is full, or the folder cannot be written.
    """
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    if folder is None or size < LARGE:
        return np.zeros(shape, dtype)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=PART, dir=folder)
        try:
            _reserve(handle, size)
            return np.memmap(name, dtype, "r+", shape=shape)
        finally:
            os.close(handle)
            with suppress(OSError):  # where an open file cannot be removed it stays
                os.unlink(name)


def _reserve(handle: int, size: int) -> None:
    """Make the file as long as it will be: a disk that is full says so now, not when the array is written."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(handle, 0, size)
    else:
        os.truncate(handle, size)
