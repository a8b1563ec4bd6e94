"""What supervised extractors learnt in earlier runs, as the cache keeps it: to see it and to tidy it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mer_core.fitted import FACTS
from mer_core.store.locks import locked
from mer_core.workflows.fits import LOCK, WORK


@dataclass(frozen=True, slots=True)
class KeptFit:
    """A fit in the cache: of which extractor, to how many ``clips``, in bytes, and when it was last ``used`` (seconds).

    One that was begun and not finished has no name; what it saved on the way is there for whoever goes on with it.
    """

    folder: Path
    name: str
    clips: int
    bytes: int
    used: float

    @property
    def digest(self) -> str:
        """Of all that was fitted; the folder's name."""
        return self.folder.name

    def is_called(self, name: str) -> bool:
        """Whether ``name`` is its extractor, in short or in full, or the beginning of its digest."""
        own = (self.name, self.name.partition("@")[0]) if self.name else ()
        return name in own or self.digest.startswith(name)


def kept_fits(states: Path) -> list[KeptFit]:
    """All fits below ``states``, by extractor and digest."""
    folders = [path for path in states.iterdir() if path.is_dir()] if states.is_dir() else []
    return sorted(map(_described, folders), key=lambda fit: (fit.name, fit.digest))


def prune_fits(states: Path, goes: Callable[[KeptFit], bool], *, dry_run: bool = False) -> list[KeptFit]:
    """Remove the fits that ``goes`` picks, but for those that another process is at; which went (or would go)."""
    chosen = [fit for fit in kept_fits(states) if goes(fit)]
    return [fit for fit in chosen if _removed(fit.folder, dry_run)]


def _removed(folder: Path, dry_run: bool) -> bool:
    if not (folder / WORK).is_dir():
        if not dry_run:
            shutil.rmtree(folder, ignore_errors=True)
        return True
    with locked(folder / WORK / LOCK) as free:
        if free and not dry_run:
            shutil.rmtree(folder, ignore_errors=True)
    return free


def _described(folder: Path) -> KeptFit:
    facts, file = _facts(folder / FACTS), folder / FACTS
    sizes = [path.stat() for path in folder.rglob("*") if path.is_file()]
    used = file.stat().st_mtime if facts else max((one.st_mtime for one in sizes), default=folder.stat().st_mtime)
    size = sum(one.st_size for one in sizes)
    return KeptFit(folder, str(facts.get("extractor", "")), int(facts.get("clips", 0)), size, used)


def _facts(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
