"""File locks between processes: released by the kernel when their holder dies, however it dies."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def try_lock(handle: int, *, shared: bool = False) -> bool:
    """Lock the open file descriptor ``handle`` without waiting; False if another process holds it.

    Two descriptors of one file exclude each other even within one process. Where the file system
    has no locks the answer is True: locking then protects nothing, and nothing breaks either.
    """
    if sys.platform == "win32":  # pragma: no cover
        import msvcrt

        try:
            os.lseek(handle, 0x7FFFFFFF, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return shared
        return True
    import fcntl

    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


@contextmanager
def locked(path: Path, *, shared: bool = False) -> Iterator[bool]:
    """Hold the lock file ``path`` (made if absent) for a ``with`` block; yields whether it was free."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield try_lock(handle, shared=shared)
    finally:
        os.close(handle)
