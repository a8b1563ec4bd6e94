"""Digests: what a stored result depends on, as short hexadecimal strings.

A media file is hashed in full once; the hash is remembered by (path, size, modification time,
inode), so that a second run only looks at the file's metadata.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import threading
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mer_core.errors import EnvironmentProblem, MediaError
from mer_core.inputs import AudioInput, FramesInput, Input, TextInput, Transcribed, derived_names
from mer_core.spec import digest
from mer_core.types import Clip, Derived, Missing

"""Name of the derived artefact that ``FramesInput(faces=True)`` reads."""

SETTLE_SECONDS = 2.0
"""A file changed less than this before it was hashed may change again within the same time stamp
of a coarse file system: its hash is remembered by this process only."""

_Stamp = tuple[int, int, int]


class ContentHasher:
    """Content hashes of files, remembered below ``cache_root`` by any number of processes at once.

    Args:
        cache_root: folder of the memory, made if absent; None remembers within this object only.
        verify: hash every file again (once per object) instead of trusting size and times.

    Raises:
        EnvironmentProblem: the folder cannot be made or written.
    """

    def __init__(self, cache_root: Path | None, verify: bool = False) -> None:
        self._memory: dict[str, tuple[_Stamp, str]] = {}
        self._fresh: set[str] = set()
        self._verify = verify
        self._lock = threading.Lock()
        self._path = cache_root / "hashes.txt" if cache_root else None
        self._open()

    def file(self, path: Path) -> str:
        """Hash of everything in ``path``: 40 hexadecimal digits of BLAKE2b.

        Raises:
            MediaError: the file is missing or cannot be read.
        """
        name = os.path.abspath(path)
        try:
            stamp = _stamp(name)
            found = self._memory.get(name)
            if found and found[0] == stamp and (not self._verify or name in self._fresh):
                return found[1]
            value = _hash(name)
            changed = _stamp(name) != stamp
        except OSError as error:
            raise MediaError(f"{path} cannot be read: {error.strerror}.", "Check the path in the manifest.") from None
        if not changed:
            self._remember(name, stamp, value)
        return value

    def _open(self) -> None:
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            lines = self._path.read_bytes().split(b"\n") if self._path.exists() else []
        except OSError as error:
            raise EnvironmentProblem(
                f"the cache {self._path.parent} cannot be used: {error.strerror}.",
                "Choose another with --cache FOLDER.",
            ) from None
        for line in lines:
            entry = _parse(line)
            if entry:
                self._memory[entry[0]] = entry[1:]

    def _remember(self, name: str, stamp: _Stamp, value: str) -> None:
        with self._lock:
            known = self._memory.get(name) == (stamp, value)
            self._memory[name] = (stamp, value)
            self._fresh.add(name)
        settled = abs(time.time() - stamp[1] / 1e9) > SETTLE_SECONDS
        if self._path is not None and settled and not known:
            with contextlib.suppress(OSError):  # a full disk: hashed again next time
                append_line(self._path, _line(name, stamp, value))


def append_line(path: Path, line: bytes) -> None:
    """Append ``line`` in one write, so that processes do not cut into each other's lines.

    Raises:
        OSError: also where only a part of it found room.
    """
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        if os.write(handle, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    finally:
        os.close(handle)


def _stamp(name: str) -> _Stamp:
    found = os.stat(name)
    return found.st_size, found.st_mtime_ns, found.st_ino


def _hash(name: str) -> str:
    with open(name, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=20)).hexdigest()


def _line(name: str, stamp: _Stamp, value: str) -> bytes:
    text = json.dumps([name, *stamp, value]).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _parse(line: bytes) -> tuple[str, _Stamp, str] | None:
    """A remembered line; None where two writers or a full disk have damaged it."""
    check, _, text = line.partition(b" ")
    if check != b"%08x" % zlib.crc32(text):
        return None
    name, size, mtime, inode, value = json.loads(text)
    return name, (size, mtime, inode), value


def input_digest(
    clip: Clip, inputs: Mapping[str, Input], derived_digests: Mapping[str, str], hasher: ContentHasher
) -> str:
    """Digest of all that ``inputs`` read of ``clip`` and of nothing else.

    Sound and frames: the file's content, start and end. Text: transcript and language. Derived
    artefacts: their digest in ``derived_digests`` (see :func:`derived_digest`). How the inputs are
    decoded (rates, sizes) belongs to the extractor's fingerprint, not in here.

    Raises:
        MediaError: a file is missing or cannot be read.
        KeyError: a derived artefact has no digest yet.
    """
    facts: dict[str, Any] = {f"derived:{name}": derived_digests[name] for name in derived_names(inputs)}
    kinds = {type(item) for item in inputs.values()}
    if AudioInput in kinds:
        facts["sound"] = cut(clip.sound, clip, hasher)
    if FramesInput in kinds:
        facts["video"] = cut(clip.video, clip, hasher)
    if kinds & {TextInput, Transcribed}:
        facts["text"] = [clip.text, clip.language]
    return digest(facts, 32)


def source_digest(clip: Clip, inputs: Mapping[str, Input], hasher: ContentHasher) -> str:
    """Like :func:`input_digest`, over the clip's own files and text alone."""
    return input_digest(clip, inputs, dict.fromkeys(derived_names(inputs), ""), hasher)


def cut(path: Path | None, clip: Clip, hasher: ContentHasher) -> list[Any] | None:
    """What stands for the clip's part of a file: its content, start and end; None where there is no file."""
    if path is None:
        return None
    return [hasher.file(path), float(clip.start or 0), None if clip.end is None else float(clip.end)]


def derived_digest(answer: Derived | Missing) -> str:
    """Digest of an artefact's content, or of its absence and the reason."""
    if isinstance(answer, Missing):
        return digest({"absent": answer.reason}, 32)
    seal = hashlib.blake2b(digest_size=16)
    for name in sorted(answer.arrays):
        array = answer.arrays[name]
        seal.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        seal.update(array.tobytes())
    seal.update(digest(answer.info, 32).encode())
    return seal.hexdigest()
