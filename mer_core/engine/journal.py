"""The crash journal: which clips were being worked on when a process died, and which it died of.

A process notes a clip before it does anything risky with it and again when that is over. Both are
plain writes, which survive the death of the process (not of the machine; nothing is synced). The
file is locked while its writer lives and removed when it ends in good order, Ctrl-C included: a
journal that can be locked belongs to a dead process, and the clips begun in it are suspects.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mer_core.errors import EnvironmentProblem
from mer_core.files import writing
from mer_core.spec import digest
from mer_core.store.digests import append_line
from mer_core.store.locks import locked, try_lock
from mer_core.types import Clip

FOLDER = "journals"
CHILD = "-child"
CRASHES = "crashes.jsonl"
FORGOTTEN_SECONDS = 30 * 86400.0
"""Journals of dead processes whose clips no run has asked for since are removed after this."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A clip that was begun and never finished.

    ``deaths`` counts the processes that died while working on this clip alone; ``limit`` is how many
    of them convict it. ``stage`` and ``works`` (fingerprint -> source digest) say what was running.
    """

    number: int
    clip: str
    id: str
    deaths: int = 0
    limit: int = 0
    stage: str = ""
    works: Mapping[str, str] = field(default_factory=dict)

    @property
    def convicted(self) -> bool:
        """It has killed often enough to be skipped."""
        return bool(self.works) and 0 < self.limit <= self.deaths


@dataclass(frozen=True, slots=True)
class Crash:
    """A piece of work that kills the process: plugin ``job`` (fingerprint) on content ``key``."""

    job: str
    key: str
    id: str
    stage: str

    @property
    def reason(self) -> str:
        """For the report."""
        return f"the process died during {self.stage} of this clip; it is skipped (--retry tries it again)"


def clip_identity(clip: Clip) -> str:
    """Recognises a clip of a manifest from one run to the next."""
    return digest([clip.id, str(clip.video), str(clip.audio), clip.start, clip.end])


class Journal:
    """The journal of this process. Safe to use from several threads.

    Args:
        state_dir: folder of the engine's state, made if absent.
        path: write to this file instead of a new one.
        jobs: fingerprints of what is worked on; suspects are only taken over where they concern one of them.

    Raises:
        EnvironmentProblem: the folder cannot be written.
    """

    def __init__(self, state_dir: Path, path: Path | None = None, jobs: Iterable[str] | None = None) -> None:
        self.path = path or state_dir / FOLDER / f"{os.getpid()}-{secrets.token_hex(6)}.jsonl"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._handle: int | None = _create_locked(self.path)
        except OSError as error:
            raise EnvironmentProblem(
                f"{self.path.parent} cannot be written: {error.strerror}.", "Choose another --cache FOLDER."
            ) from None
        self._lock = threading.Lock()
        self._count = 0
        self.jobs = None if jobs is None else frozenset(jobs)
        self._head = b"" if self.jobs is None else _line({"n": 0, "jobs": sorted(self.jobs)})

    def begin(self, clip: Clip, deaths: int = 0, limit: int = 0) -> int:
        """Note that something risky begins with ``clip``; returns the number to :meth:`end` it with.

        ``limit`` above 0 says that no other clip is begun meanwhile, and how many such deaths convict.
        """
        with self._lock:
            self._count += 1
            number = self._count
        self._write({"n": number, "clip": clip_identity(clip), "id": clip.id, "deaths": deaths, "limit": limit})
        return number

    def stage(self, number: int, stage: str, works: Mapping[str, str]) -> None:
        """Note what is about to happen: ``works`` maps a job's fingerprint to the clip's source digest."""
        self._write({"n": number, "stage": stage, "works": dict(works)})

    def end(self, number: int) -> None:
        """The process has survived what :meth:`begin` announced. A full disk stops what follows, not this."""
        with suppress(EnvironmentProblem):
            self._write({"n": number, "end": True})

    @contextmanager
    def during(self, clips: Iterable[Clip]) -> Iterator[None]:
        """Something risky happens with ``clips`` together."""
        numbers = [self.begin(clip) for clip in clips]
        try:
            yield
        finally:
            for number in numbers:
                self.end(number)

    def close(self) -> None:
        """The process ends in good order: nothing that was begun is suspect."""
        with self._lock:
            handle, self._handle = self._handle, None
            if handle is not None:
                self.path.unlink(missing_ok=True)
                os.close(handle)

    def _write(self, entry: Mapping[str, Any]) -> None:
        """Append a line; the first one comes behind what says whose journal it is."""
        with self._lock, writing(self.path):
            if self._handle is not None:
                os.write(self._handle, self._head + _line(entry))
                self._head = b""


def _line(entry: Mapping[str, Any]) -> bytes:
    return json.dumps(entry, ensure_ascii=False).encode() + b"\n"


def _create_locked(path: Path) -> int:
    """Create a file that nobody ever sees unlocked."""
    hidden = path.with_suffix(".new")
    handle = os.open(hidden, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    try_lock(handle)
    os.replace(hidden, path)
    return handle


def read_journal(path: Path) -> list[Begun]:
    """The clips begun in a journal and not ended; a clip worked on alone counts this death."""
    open_entries: dict[int, dict[str, Any]] = {}
    for line in path.read_bytes().splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if entry.get("end"):
            open_entries.pop(entry["n"], None)
        else:
            open_entries.setdefault(entry["n"], {}).update(entry)
    return [_begun(entry) for entry in open_entries.values() if "clip" in entry]


def _begun(entry: Mapping[str, Any]) -> Begun:
    deaths = entry["deaths"] + (entry["limit"] > 0)
    return Begun(
        entry["n"], entry["clip"], entry["id"], deaths, entry["limit"], entry.get("stage", ""), entry.get("works", {})
    )


def take_over(journal: Journal, state_dir: Path, clips: Mapping[str, Clip]) -> list[Begun]:
    """Suspects among ``clips`` (by identity) that dead processes left; from now on ``journal`` has them,
    under the numbers given here, until they are ended.

    What was begun for clips of other manifests stays where it is, and what was begun for other jobs alone.
    """
    found: dict[str, Begun] = {}
    for path in sorted((state_dir / FOLDER).glob("*.jsonl")):
        for begun in _take(journal, path, clips):
            worse = found.get(begun.clip)
            if worse is None or (begun.convicted, begun.deaths) > (worse.convicted, worse.deaths):
                found[begun.clip] = begun
    return list(found.values())


def _take(journal: Journal, path: Path, clips: Mapping[str, Clip]) -> list[Begun]:
    try:
        handle = os.open(path, os.O_RDWR | os.O_APPEND)
    except OSError:
        return []
    try:
        if path == journal.path or _owner_lives(path) or not try_lock(handle):
            return []
        begun = read_journal(path)
        mine = [entry for entry in begun if entry.clip in clips] if _concerns(journal, path) else []
        taken = [replace(entry, number=journal.begin(clips[entry.clip], entry.deaths)) for entry in mine]
        if len(mine) == len(begun) or time.time() - path.stat().st_mtime > FORGOTTEN_SECONDS:
            path.unlink(missing_ok=True)
            path.with_suffix(".done").unlink(missing_ok=True)
        for entry in mine:
            os.write(handle, b"\n" + json.dumps({"n": entry.number, "end": True}).encode() + b"\n")
        return taken
    finally:
        os.close(handle)


def _concerns(journal: Journal, path: Path) -> bool:
    """The two have a job in common, as far as both say what theirs are."""
    if journal.jobs is None:
        return True
    with suppress(ValueError, IndexError):
        first = json.loads(path.read_bytes().splitlines()[0])
        if isinstance(first, dict) and "jobs" in first:
            return not journal.jobs.isdisjoint(first["jobs"])
    return True


def child_path(journal: Journal) -> Path:
    """The file a child of this process keeps its journal in."""
    return journal.path.with_name(f"{journal.path.stem}{CHILD}.jsonl")


def _owner_lives(path: Path) -> bool:
    """The journal is of a child, and its parent lives to draw the conclusions."""
    stem, child, _ = path.stem.partition(CHILD)
    owner = path.with_name(f"{stem}.jsonl")
    if not child or not owner.exists():
        return False
    with locked(owner) as free:
        return not free


def record_crash(state_dir: Path, begun: Begun) -> dict[tuple[str, str], Crash]:
    """Remember what a clip was convicted of; returns it as :func:`read_crashes` does."""
    found = {(job, key): Crash(job, key, begun.id, begun.stage) for job, key in begun.works.items()}
    for crash in found.values():
        line = json.dumps(asdict(crash), ensure_ascii=False).encode()
        with writing(state_dir / CRASHES):
            append_line(state_dir / CRASHES, b"\n%s\n" % line)  # on a line of its own even after a torn one
    return found


def read_crashes(state_dir: Path) -> dict[tuple[str, str], Crash]:
    """Work that is to be skipped, by (job fingerprint, source digest)."""
    path = state_dir / CRASHES
    found: dict[tuple[str, str], Crash] = {}
    for line in path.read_bytes().splitlines() if path.exists() else []:
        try:
            crash = Crash(**json.loads(line))
        except (ValueError, TypeError):
            continue
        found[crash.job, crash.key] = crash
    return found
