"""One table of a feature store: the answers of one extractor or deriver, by clip digest."""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
from safetensors import safe_open

from mer_core.errors import StoreError
from mer_core.pooling import Pooling, pool_statistics
from mer_core.store.packs import FOLDER, Pack, pack_table
from mer_core.store.room import make_room
from mer_core.store.shards import SUFFIX, Kind, RowInfo, read_rows
from mer_core.store.writer import ShardLimits, TableWriter
from mer_core.types import Derived, Features, Missing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mer_core.aliases import BoolArray, FloatArray

OPEN_SHARDS = 32
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Location:
    """Where a digest's answer lies."""

    shard: Path
    row: RowInfo

    @property
    def kind(self) -> Kind:
        """What kind of answer it is."""
        return self.row.kind

    @property
    def has_frames(self) -> bool:
        """Nothing of the answer was thrown away when it was stored."""
        return self.kind != "frame" or bool(self.row.arrays)


class Table:
    """Answers by clip digest. Reading is safe from several threads; see :meth:`writer`.

    What other processes add becomes visible with :meth:`refresh`. Made by
    :meth:`mer_core.store.FeatureStore.table`.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any], limits: ShardLimits | None = None) -> None:
        self.folder, self.about = folder, dict(about)
        self.damaged: list[Path] = []
        self._limits = limits
        self._rows: dict[str, Location] = {}
        self._shards: dict[Path, int] = {}
        self._handles: OrderedDict[Path, Any] = OrderedDict()
        self._lock = threading.RLock()
        self.refresh()

    def __len__(self) -> int:
        return len(self._rows)

    def refresh(self) -> set[str]:
        """Look for new shards and drop those that have gone; returns the digests newly known."""
        with self._lock:
            before = set(self._rows)
            there = {path for path in self.folder.glob(f"*{SUFFIX}") if not path.name.startswith(".")}
            self._forget(set(self._shards) - there)
            for path in sorted(there - set(self._shards) - set(self.damaged)):
                self._index(path)
            return set(self._rows) - before

    def find(self, digest: str) -> Location | None:
        """Where the answer for ``digest`` lies, without reading it."""
        return self._rows.get(digest)

    def known(self, digests: Iterable[str], frames: bool = False) -> set[str]:
        """Those of ``digests`` that have an answer; with ``frames`` only those kept frame by frame."""
        found = ((digest, self._rows.get(digest)) for digest in digests)
        return {digest for digest, place in found if place and (place.has_frames or not frames)}

    def reason(self, digest: str) -> str | None:
        """Why the clip is missing here; None if it is not, or not known."""
        place = self._rows.get(digest)
        return str(place.row.facts["reason"]) if place and place.kind == "missing" else None

    def content(self, digest: str) -> str | None:
        """Content digest of a derived artefact, or of its absence; None if not known."""
        place = self._rows.get(digest)
        return None if place is None else str(place.row.facts["content"])

    def kinds(self) -> dict[Kind, int]:
        """How many answers there are of each kind."""
        counts: dict[Kind, int] = defaultdict(int)
        for place in list(self._rows.values()):
            counts[place.kind] += 1
        return dict(counts)

    def kept_frames(self) -> int:
        """How many answers hold frame-level values."""
        return sum(place.kind == "frame" and place.has_frames for place in list(self._rows.values()))

    def shard_count(self) -> int:
        """How many readable files the table consists of."""
        return len(self._shards)

    def nbytes(self) -> int:
        """Size on disk."""
        files = (*self.folder.glob(f"*{SUFFIX}"), *(self.folder / FOLDER).glob("*.npy"))
        return sum(path.stat().st_size for path in files if path.exists())

    def writer(self, keep_frames: bool = False, limits: ShardLimits | None = None) -> TableWriter:
        """An asynchronous writer; close it (or use ``with``) to be sure that all is on disk."""
        return TableWriter(self.folder, keep_frames, limits or self._limits)

    def get(self, digest: str) -> Features | Missing | Derived | None:
        """The whole answer for ``digest``; None if there is none.

        Raises:
            StoreError: only the statistics of a frame-level answer were kept.
        """
        return self._retry(lambda: self._get(digest))

    def pooled(self, digests: Sequence[str | None], pooling: str) -> tuple[FloatArray, BoolArray]:
        """One vector per digest, from the stored statistics.

        Clip-level vectors are returned as they are, whatever ``pooling`` says.

        Returns:
            ``values`` float32 [N, D'] and ``present`` bool [N]; rows that are unknown, missing or
            None are zero and not present. D' is 0 if no row is present.
        """
        return self._retry(lambda: self._pooled(digests, pooling))

    def framed(self, digests: Sequence[str | None], pooling: str) -> Pack:
        """The frames of each clip, of all in one file that is mapped into memory; see :func:`.packs.pack_table`.

        Args:
            pooling: ``frames``, or ``frames:N`` for at most N frames a clip.
        """
        return pack_table(self, digests, pooling)

    def _retry(self, read: Callable[[], _T]) -> _T:
        """``read``, once more after a refresh if a shard was replaced meanwhile."""
        with self._lock:
            try:
                return read()
            except FileNotFoundError:
                self.refresh()
                return read()

    def _get(self, digest: str) -> Features | Missing | Derived | None:
        place = self._rows.get(digest)
        if place is None:
            return None
        row = place.row
        if row.kind == "missing":
            return Missing(str(row.facts["reason"]))
        if not place.has_frames:
            raise StoreError(f"{self.folder} keeps no frame-level features.", "Extract them with --frames.")
        shard = self._handle(place.shard)
        if row.kind == "clip":
            return Features(shard.get_slice("mean")[row.at : row.at + 1][0])
        arrays = {name: shard.get_tensor(f"{row.number}/{name}") for name in row.arrays}
        if row.kind == "derived":
            return Derived(arrays, row.facts["info"])
        return Features(arrays["values"].astype(np.float32), arrays["times"])

    def _pooled(self, digests: Sequence[str | None], pooling: str) -> tuple[FloatArray, BoolArray]:
        wanted: dict[Path, list[tuple[int, RowInfo]]] = defaultdict(list)
        for number, digest in enumerate(digests):
            place = self._rows.get(digest) if digest else None
            if place is not None and place.kind in ("frame", "clip"):
                wanted[place.shard].append((number, place.row))
        values = np.zeros((len(digests), 0), dtype=np.float32)
        present = np.zeros(len(digests), dtype=np.bool_)
        for path, rows in wanted.items():
            vectors = self._vectors(path, [row for _, row in rows], pooling)
            if not values.shape[1]:
                values = make_room((len(digests), vectors.shape[1]), np.float32, self.folder)
            if vectors.shape[1] != values.shape[1]:
                raise StoreError(f"{self.folder} holds features of several widths.", "Run: mer features prune")
            numbers = [number for number, _ in rows]
            values[numbers], present[numbers] = vectors, True
        return values, present

    def _vectors(self, path: Path, rows: Sequence[RowInfo], pooling: str) -> FloatArray:
        shard, at = self._handle(path), [row.at for row in rows]
        mean: FloatArray = shard.get_tensor("mean")[at]
        if all(row.kind == "clip" for row in rows):
            return mean
        count: NDArray[np.int64] = shard.get_tensor("count")[at]
        return pool_statistics(count, mean, shard.get_tensor("std")[at], cast("Pooling", pooling))

    def _handle(self, path: Path) -> Any:
        if path not in self._handles:
            self._handles[path] = safe_open(path, framework="numpy")
        self._handles.move_to_end(path)
        while len(self._handles) > OPEN_SHARDS:
            self._handles.popitem(last=False)
        return self._handles[path]

    def _forget(self, gone: set[Path]) -> None:
        if not gone:
            return
        self._rows = {digest: place for digest, place in self._rows.items() if place.shard not in gone}
        for path in gone:
            self._shards.pop(path)
            self._handles.pop(path, None)

    def _index(self, path: Path) -> None:
        try:
            rows = read_rows(path)
        except FileNotFoundError:
            return
        except StoreError:
            self.damaged.append(path)
            return
        self._shards[path] = len(rows)
        for row in rows:
            place, before = Location(path, row), self._rows.get(row.digest)
            if before is None or place.has_frames or not before.has_frames:
                self._rows[row.digest] = place
