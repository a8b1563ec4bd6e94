"""The decoded clips that a supervised extractor learns from: decoded once, in parallel, and kept while it learns."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, overload

import numpy as np

from mer_core.engine import DeriverJob, EngineSettings, ExtractorJob
from mer_core.engine import extract as run_engine
from mer_core.engine.answers import unusable
from mer_core.engine.clip import decode_together, forgiven, optional_inputs
from mer_core.engine.lookup import Lookup, Tables, order_derivers, state_folder
from mer_core.errors import MediaError
from mer_core.inputs import TRANSCRIPT, AudioInput
from mer_core.media.decode import ClipReader
from mer_core.protocols import Progress
from mer_core.spec import digest
from mer_core.store import FeatureStore
from mer_core.store.digests import ContentHasher, source_digest
from mer_core.store.samples import SampleCache
from mer_core.types import Clip, Derived, Failure, Features, Missing, Sample

KEPT_BYTES = 20 * 2**30
"""Decoded samples on disk, by default at most; the rest is decoded again when it is asked for."""

FORGOTTEN_SECONDS = 7 * 86400.0
"""Samples that a fit left which failed are removed if nothing was added for so long."""

FREE_SHARE = 0.5
"""Of the free disk, at most so much is taken for decoded samples."""


@dataclass(frozen=True)
class Keep:
    """Options of :class:`Decoding`: where to keep samples, and under which name, by clip id."""

    cache: SampleCache
    names: Mapping[str, str] = field(default_factory=dict)


class Decoding:
    """Stands for an extractor in a pass over the clips; keeps what the extractor would receive."""

    dim = 1

    def __init__(self, options: Keep, device: str) -> None:
        self.options = options

    def extract(self, batch: Sequence[Sample]) -> list[Features]:
        """Keep the samples; the answers say only that they can be decoded."""
        for sample in batch:
            self.options.cache.put(self.options.names.get(sample.id, sample.id), sample)
        return [Features(np.ones(1, np.float32)) for _ in batch]


@dataclass(frozen=True, slots=True)
class DecodedClips:
    """What a pass over the clips found for one extractor.

    ``keys`` are the digests of the clips' inputs, None where a clip cannot be decoded or has nothing of the kind.
    """

    clips: Sequence[Clip]
    keys: Sequence[str | None]
    job: ExtractorJob
    lookup: Lookup
    again: Callable[[Sequence[Clip]], None]

    @property
    def cache(self) -> SampleCache:
        """Where decoded samples are kept."""
        found: SampleCache = self.job.options.cache
        return found

    def name(self, clip: Clip) -> str:
        """The clip's name in the cache."""
        names: Mapping[str, str] = self.job.options.names
        return names.get(clip.id, clip.id)

    def fill(self) -> None:
        """Decode, in parallel, what an earlier pass saw and did not keep, as far as there is room."""
        left = [clip for clip, key in zip(self.clips, self.keys, strict=True) if key and not self._kept(clip)]
        if left and not self.cache.full:
            self.again(left)

    def _kept(self, clip: Clip) -> bool:
        return self.cache.has(self.name(clip))

    def samples(self, rows: Sequence[int]) -> LazySamples:
        """The samples of ``rows``, decoded when they are asked for."""
        return LazySamples(self, rows)

    def decode(self, clip: Clip) -> Sample:
        """Decode one clip now.

        Raises:
            MediaError: it can no longer be decoded.
        """
        needs = self.lookup.look(clip)
        stored = {job.name: self.lookup.tables[job].get(needs.keys.get(job.name, "")) for job in self.lookup.derivers}
        derived: dict[str, Derived | Missing | Failure] = {
            name: found if isinstance(found, Derived | Missing) else Failure("was not derived", name)
            for name, found in stored.items()
        }
        with ClipReader(clip) as reader:
            inputs = decode_together(reader, [self.job.of(clip)], derived)[self.job.name]
        inputs = forgiven(inputs, optional_inputs(self.job))
        wrong = unusable(inputs, optional_inputs(self.job))
        if wrong is not None:
            raise MediaError(f"clip {clip.id} can no longer be decoded: {wrong.reason}.", "Restore its file.")
        return Sample(clip.id, inputs)


class LazySamples(Sequence[Sample]):
    """Samples from the cache; those that had no room there are decoded each time."""

    def __init__(self, source: DecodedClips, rows: Sequence[int]) -> None:
        self._source, self._rows = source, list(rows)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> LazySamples: ...
    def __getitem__(self, index: int | slice) -> Sample | LazySamples:
        if isinstance(index, slice):
            return LazySamples(self._source, self._rows[index])
        clip = self._source.clips[self._rows[index]]
        found = self._source.cache.get(self._source.name(clip))
        if found is None:
            found = self._source.decode(clip)
            self._source.cache.put(self._source.name(clip), found)
        return Sample(clip.id, found.inputs)


@contextmanager
def decoded(
    job: ExtractorJob,
    derivers: Mapping[str, DeriverJob],
    clips: Sequence[Clip],
    folder: Path,
    store: FeatureStore,
    settings: EngineSettings,
    progress: Progress | None,
) -> Iterator[DecodedClips]:
    """Look at ``clips`` once for ``job``; what is kept of them goes when the block ends without an error.

    Args:
        folder: for decoded samples; below it everything is the decoder's own.
    """
    about = {"extractor": "decoding", **{key: job.about[key] for key in ("inputs", "derived", "decoder")}}
    _forget(folder)
    cache = SampleCache(folder / digest(about), _room(folder))
    hasher = ContentHasher(state_folder(settings.state_dir, store), settings.verify)
    names = {clip.id: name for clip in clips if (name := _name(clip, job, derivers, hasher))}
    look = _looking(job, Keep(cache, names), about)
    progress = _decoding(progress)
    report = run_engine(clips, [look], derivers, store, settings, progress)
    own = order_derivers([look], derivers)
    lookup = Lookup([look], own, Tables(store, (*own, look), False), hasher)
    missing = report.missing[job.name]
    keys = [None if clip.id in missing else key for clip, key in zip(clips, report.keys[job.name], strict=True)]

    def again(left: Sequence[Clip]) -> None:
        once = _looking(job, look.options, {**about, "once": secrets.token_hex(8)})
        run_engine(left, [once], derivers, store, settings, progress)
        shutil.rmtree(store.table(once.fingerprint, once.about).folder, ignore_errors=True)

    yield DecodedClips(clips, keys, look, lookup, again)
    shutil.rmtree(cache.folder, ignore_errors=True)


def _decoding(progress: Progress | None) -> Progress | None:
    """The engine's own pass under another name: nothing is extracted yet."""
    if progress is None:
        return None
    return lambda stage, done, total, note: progress("decode" if stage == "extract" else stage, done, total, note)


def _looking(job: ExtractorJob, options: Keep, about: Mapping[str, Any]) -> ExtractorJob:
    """``job`` with :class:`Decoding` in its place."""
    spec = replace(job.spec, name="decoding", level="clip", per_thread=True, supervised=False, inputs=job.inputs)
    return replace(
        job, spec=spec, options=options, extractor_class=Decoding, fingerprint=digest(about), about=about, base=""
    )


def _name(clip: Clip, job: ExtractorJob, derivers: Mapping[str, DeriverJob], hasher: ContentHasher) -> str:
    """Stands for what the job reads of the clip; for a text that is heard, the sound and what hears it do."""
    try:
        if not job.of(clip).heard:
            return source_digest(clip, job.inputs, hasher)
        sound = source_digest(clip, {**job.inputs, "heard": AudioInput()}, hasher)
        return digest([sound, derivers[TRANSCRIPT].fingerprint], 32)
    except MediaError:
        return ""


def _forget(folder: Path) -> None:
    """Remove what fits left that failed and that nobody took up again."""
    old = time.time() - FORGOTTEN_SECONDS
    for left in folder.glob("*/"):
        with suppress(OSError):
            if left.stat().st_mtime < old:
                shutil.rmtree(left, ignore_errors=True)


def _room(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    return min(KEPT_BYTES, int(shutil.disk_usage(folder).free * FREE_SHARE))
