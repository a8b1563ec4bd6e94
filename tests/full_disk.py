"""A disk that fills: what is written below a folder finds no room after so many bytes."""

from __future__ import annotations

import builtins
import errno
import io
import os
from pathlib import Path
from typing import Any

import pytest


def no_space(file: Any = None) -> OSError:
    """What the operating system raises."""
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *([] if file is None else [str(file)]))


class FullDisk:
    """Limits what Python writes below ``folder`` to ``room`` bytes; :meth:`free` takes the limit away.

    As on a disk, the part that fits is written, and a file that is removed leaves room again.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, room: int) -> None:
        self.folder, self.room = folder.resolve(), room
        self._last = ""
        self._open, self._os_open, self._os_write = builtins.open, os.open, os.write
        self._handles: dict[int, str] = {}
        monkeypatch.setattr(builtins, "open", self.open)
        monkeypatch.setattr(io, "open", self.open)
        monkeypatch.setattr(os, "open", self.os_open)
        monkeypatch.setattr(os, "write", self.os_write)

    def free(self) -> None:
        """As if somebody had removed large files."""
        self.room, self._last = 10**12, ""

    def stop_at(self, name: str) -> None:
        """No room for the first file that has ``name`` in its name, and for none after it."""
        self._last = name

    def open(self, file: Any, mode: str = "r", *args: Any, **more: Any) -> Any:
        opened = self._open(file, mode, *args, **more)
        if self._last and self._below(file) and set(mode) & set("wxa+") and self._last in Path(file).name:
            self.room = 0
        return _Limited(opened, self) if set(mode) & set("wxa+") and self._below(file) else opened

    def os_open(self, path: Any, *args: Any, **more: Any) -> int:
        handle = self._os_open(path, *args, **more)
        self._handles[handle] = str(path) if self._below(path) else ""
        return handle

    def os_write(self, handle: int, content: bytes) -> int:
        """The part that fits, as the system call does."""
        path = self._handles.get(handle, "")
        left = self.left() if path else len(content)
        if left <= 0 and content:
            raise no_space()
        return self._os_write(handle, content[:left])

    def left(self) -> int:
        """Bytes of room."""
        return self.room - sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file())

    def _below(self, file: Any) -> bool:
        return isinstance(file, str | os.PathLike) and Path(file).absolute().is_relative_to(self.folder)


class _Limited:
    """A file that is written through a :class:`FullDisk`."""

    def __init__(self, file: Any, disk: FullDisk) -> None:
        self._file, self._disk = file, disk

    def write(self, content: Any) -> int:
        data = content.encode() if isinstance(content, str) else bytes(content)
        self._file.flush()
        left = self._disk.left()
        if len(data) > left:
            self._file.write(content[: max(left, 0)])
            self._file.flush()
            raise no_space()
        return int(self._file.write(content))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _Limited:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()
