"""The feature store: a folder with one table per fingerprint, each a heap of immutable shards.

There is no central index to lose or to lock: a table's content is what its shards say. Several
processes, on several machines, may write at once; pruning waits for nobody and refuses instead.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mer_core.errors import StoreError
from mer_core.store import packs
from mer_core.store.locks import locked
from mer_core.store.shards import TEMPORARY
from mer_core.store.table import Location, Table
from mer_core.store.writer import ShardLimits, TableWriter

ABOUT_FILE = "about.json"
STALE_SECONDS = 3600.0
"""A temporary file older than this belongs to no living writer."""


@dataclass(frozen=True, slots=True)
class TableInfo:
    """One table as ``mer features list`` shows it.

    ``rows`` counts answers, ``missing`` those of them that say that a clip has nothing of the kind.
    ``used`` is when a run last opened it (seconds since 1970). ``shards`` counts files, ``damaged``
    those of them that cannot be read; what they held is extracted again.
    """

    fingerprint: str
    about: Mapping[str, Any]
    rows: int
    missing: int
    frames: int
    shards: int
    damaged: int
    bytes: int
    used: float

    @property
    def name(self) -> str:
        """The plugin that made it."""
        return str(self.about.get("extractor") or self.about.get("deriver") or self.about.get("name") or "?")


@dataclass(frozen=True, slots=True)
class Pruned:
    """What :meth:`FeatureStore.prune` removed (or, on a dry run, would remove)."""

    tables: tuple[TableInfo, ...]
    files: int
    bytes: int


class FeatureStore:
    """Features and derived artefacts below ``root``, which is made if absent.

    Args:
        limits: when shards are closed; tests make them small.

    Raises:
        StoreError: the folder cannot be made or written.
    """

    def __init__(self, root: Path, limits: ShardLimits | None = None) -> None:
        self.root = Path(root)
        self._limits = limits
        try:
            (self.root / "tables").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"the feature store {self.root} cannot be made: {error.strerror}.", "Choose another --cache FOLDER."
            ) from None

    def table(self, fingerprint: str, about: Mapping[str, Any]) -> Table:
        """The table of ``fingerprint``, made if absent; ``about`` (JSON-able) says what it is.

        Marks the table as used now, which :meth:`prune` looks at.
        """
        folder = self.root / "tables" / fingerprint
        file = folder / ABOUT_FILE
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not file.exists():
                _write_about(file, about)
            os.utime(file)
        except OSError as error:
            raise StoreError(
                f"the table {folder} cannot be written: {error.strerror}.",
                "Free some disk, or choose another --cache.",
            ) from None
        return Table(folder, about, self._limits)

    @property
    def packed(self) -> Path:
        """Where frames that are not the store's own are packed."""
        return self.root / packs.FOLDER

    def using(self) -> AbstractContextManager[bool]:
        """Keep :meth:`prune` of other processes away for a ``with`` block."""
        return locked(self.root / "lock", shared=True)

    def tables(self) -> list[TableInfo]:
        """All tables, by plugin name and fingerprint."""
        folders = [path for path in (self.root / "tables").iterdir() if path.is_dir()]
        return sorted((_info(folder) for folder in folders), key=lambda info: (info.name, info.fingerprint))

    def prune(self, choose: Callable[[TableInfo], bool] | None = None, *, dry_run: bool = False) -> Pruned:
        """Remove the tables that ``choose`` picks, and always what dead or broken writers left.

        Args:
            choose: called with every table, e.g. ``lambda t: t.used < time.time() - 30 * 86400``.
            dry_run: remove nothing, only say what would go.

        Raises:
            StoreError: another process is extracting into this store.
        """
        with locked(self.root / "lock") as alone:
            if not alone:
                raise StoreError("another process is using this feature store.", "Prune it when that has finished.")
            chosen = [info for info in self.tables() if choose is not None and choose(info)]
            kept = [
                path for path in (self.root / "tables").iterdir() if path.name not in {c.fingerprint for c in chosen}
            ]
            litter = [file for folder in kept for file in _litter(folder)] + packs.litter(self.packed)
            size = sum(info.bytes for info in chosen) + sum(file.stat().st_size for file in litter)
            if not dry_run:
                for info in chosen:
                    shutil.rmtree(self.root / "tables" / info.fingerprint)
                for file in litter:
                    file.unlink(missing_ok=True)
            return Pruned(tuple(chosen), len(litter), size)


def _write_about(file: Path, about: Mapping[str, Any]) -> None:
    temporary = file.with_name(f"{TEMPORARY}{secrets.token_hex(6)}.json")
    try:
        temporary.write_text(json.dumps(dict(about), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)


def _read_about(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / ABOUT_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _info(folder: Path) -> TableInfo:
    table = Table(folder, _read_about(folder))
    kinds = table.kinds()
    file = folder / ABOUT_FILE
    return TableInfo(
        fingerprint=folder.name,
        about=table.about,
        rows=len(table),
        missing=kinds.get("missing", 0),
        frames=table.kept_frames(),
        shards=table.shard_count(),
        damaged=len(table.damaged),
        bytes=table.nbytes(),
        used=file.stat().st_mtime if file.exists() else 0.0,
    )


def _litter(folder: Path) -> list[Path]:
    """Temporary files of dead writers, damaged shards, and packs that were not used lately."""
    old = time.time() - STALE_SECONDS
    left = [file for file in folder.glob(f"{TEMPORARY}*") if file.stat().st_mtime < old]
    return left + Table(folder, {}).damaged + packs.litter(folder / packs.FOLDER)


__all__ = ["FeatureStore", "Location", "Pruned", "ShardLimits", "Table", "TableInfo", "TableWriter"]
