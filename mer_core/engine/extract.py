"""The extraction engine: every clip is opened once, whatever stops is taken up again.

Threads decode (and run what is cheap) while the extractors that work in batches compute in the
calling thread; answers go to the feature store through asynchronous writers. A run begins with the
clips that an earlier process died on (:mod:`mer_core.engine.suspects`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from mer_core.engine.journal import Crash, Journal, child_path, clip_identity, read_crashes, take_over
from mer_core.engine.ledger import Ledger
from mer_core.engine.lookup import Lookup, Tables, check_jobs, order_derivers, state_folder
from mer_core.engine.plan import estimate, waiting
from mer_core.engine.run import PATIENCE_SECONDS, Extraction, Item
from mer_core.engine.suspects import CHILD_DEATHS, Order, Suspects, suspects_again
from mer_core.engine.types import (
    ClipFailure,
    DeriverJob,
    EngineSettings,
    ExtractorJob,
    ExtractPlan,
    ExtractReport,
    Job,
    StreamPlan,
)
from mer_core.errors import DataError, StoreError, UsageError
from mer_core.protocols import Progress
from mer_core.store import FeatureStore
from mer_core.store.digests import ContentHasher
from mer_core.types import Clip


def extract(
    clips: Sequence[Clip],
    jobs: Sequence[ExtractorJob],
    derivers: Mapping[str, DeriverJob],
    store: FeatureStore,
    settings: EngineSettings | None = None,
    progress: Progress | None = None,
) -> ExtractReport:
    """Extract what ``store`` lacks of ``jobs`` for ``clips``.

    Args:
        derivers: by the artefact they make; used where an extractor reads it.
        progress: stages ``recover`` (clips an earlier run died on), an artefact's name,
            ``extract``, or a stream's name, with clips done and a note on speed.

    Raises:
        MerError: before or instead of the work: a plugin that cannot start, a store that cannot be
            written, two clips of one id. A bad clip never raises; it is in the report's failures.
        KeyboardInterrupt: within about a second of Ctrl-C, with all finished clips stored.
    """
    settings, progress = settings or EngineSettings(), progress or (lambda stage, done, total, note: None)
    items, ordered = _share(clips, settings.shard), _check(clips, jobs, derivers)
    with store.using() as free:
        if not free:
            raise StoreError(f"the feature store {store.root} is being pruned.", "Try again in a moment.")
        tables = Tables(store, (*ordered, *jobs), settings.keep_frames)
        journal = Journal(state_folder(settings.state_dir, store), jobs=[job.fingerprint for job in (*ordered, *jobs)])
        patience: float | None = None
        try:
            hasher = ContentHasher(state_folder(settings.state_dir, store), settings.verify)
            lookup = Lookup(jobs, ordered, tables, hasher)
            ledger = Ledger(clips, jobs, ordered, tables)
            crashes = _recover(items, lookup, store, settings, journal, progress)
            Extraction(items, lookup, ledger, journal, crashes, settings, progress).run()
            return ledger.report()
        except KeyboardInterrupt:
            patience = PATIENCE_SECONDS / 2
            raise
        finally:
            try:
                tables.close(patience)
            finally:
                journal.close()


def plan(
    clips: Sequence[Clip],
    jobs: Sequence[ExtractorJob],
    derivers: Mapping[str, DeriverJob],
    store: FeatureStore,
    settings: EngineSettings | None = None,
) -> ExtractPlan:
    """What :func:`extract` would do, by stream, with an estimate of the disk it needs.

    Opens no media and starts no plugin, but hashes files that are not known yet.

    Raises:
        MerError: where :func:`extract` would refuse to start.
    """
    settings = settings or EngineSettings()
    own, lookup = _look(clips, jobs, derivers, store, settings)
    return estimate(own, lookup, store)


def unanswered(
    clips: Sequence[Clip],
    jobs: Sequence[ExtractorJob],
    derivers: Mapping[str, DeriverJob],
    store: FeatureStore,
    settings: EngineSettings,
) -> dict[str, list[Clip]]:
    """By job and by artefact, the clips that :func:`extract` would ask its plugin about; works like :func:`plan`."""
    return waiting(*_look(clips, jobs, derivers, store, settings))


def _look(
    clips: Sequence[Clip],
    jobs: Sequence[ExtractorJob],
    derivers: Mapping[str, DeriverJob],
    store: FeatureStore,
    settings: EngineSettings,
) -> tuple[list[Clip], Lookup]:
    """This process's share of the clips, and what compares them with the store."""
    items, ordered = _share(clips, settings.shard), _check(clips, jobs, derivers)
    tables = Tables(store, (*ordered, *jobs), settings.keep_frames)
    hasher = ContentHasher(state_folder(settings.state_dir, store), settings.verify)
    return [clip for _, clip in items], Lookup(jobs, ordered, tables, hasher)


def _recover(
    items: Sequence[Item],
    lookup: Lookup,
    store: FeatureStore,
    settings: EngineSettings,
    journal: Journal,
    progress: Progress,
) -> dict[tuple[str, str], Crash]:
    """Deal with the clips that dead processes left; returns the work that is to be skipped."""
    state_dir = state_folder(settings.state_dir, store)
    identified = {clip_identity(clip): clip for _, clip in items}
    suspects = take_over(journal, state_dir, identified)
    crashes = read_crashes(state_dir)
    if settings.retry and crashes:
        suspects = suspects_again(suspects, identified, crashes, lookup, journal)
    if suspects:
        order = Order(
            clips=(),
            jobs=tuple(lookup.jobs),
            derivers=tuple(lookup.derivers),
            store=store.root,
            settings=settings,
            state_dir=state_dir,
            journal=child_path(journal),
            crashes={} if settings.retry else crashes,
            deaths={},
            alone=CHILD_DEATHS,
        )
        Suspects(order, journal, progress).clear(suspects, identified)
        lookup.tables.refresh()
    return read_crashes(state_dir)


def _share(clips: Sequence[Clip], shard: tuple[int, int] | None) -> list[Item]:
    """The numbered clips that are this process's to work on."""
    numbered = list(enumerate(clips))
    if shard is None:
        return numbered
    part, parts = shard
    if not 1 <= part <= parts:
        raise UsageError(f"there is no shard {part}/{parts}.", "Write --shard 1/4 to --shard 4/4.")
    return numbered[part - 1 :: parts]


def _check(clips: Sequence[Clip], jobs: Sequence[ExtractorJob], derivers: Mapping[str, DeriverJob]) -> list[DeriverJob]:
    """Refuse what cannot work; the derivers needed, in order."""
    twice = [name for name, count in Counter(clip.id for clip in clips).items() if count > 1]
    if twice:
        raise DataError(f"two clips are called {twice[0]!r}.", "Make the ids unique.")
    check_jobs(jobs)
    return order_derivers(jobs, derivers)


__all__ = [
    "ClipFailure",
    "DeriverJob",
    "EngineSettings",
    "ExtractPlan",
    "ExtractReport",
    "ExtractorJob",
    "Job",
    "StreamPlan",
    "extract",
    "plan",
]
