"""Nothing leaves the machine unannounced: what an extraction would send is told, and refused unless permitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mer_core.engine import EngineSettings, unanswered
from mer_core.engine.lookup import order_derivers
from mer_core.engine.types import Job
from mer_core.store import FeatureStore
from mer_core.types import Clip
from mer_core.uploads import PERMISSION, Outlook, Upload, refuse_uploads, sends
from mer_core.workflows.jobs import Jobs
from mer_core.workflows.workspace import Workspace


def find_uploads(
    built: Jobs, clips: Sequence[Clip], store: FeatureStore, settings: EngineSettings
) -> tuple[Upload, ...]:
    """What every plugin of an extraction that sends something would send for the clips that ``store`` lacks."""
    jobs, derivers = built
    readers = [job for job in jobs if any(sends(one.options) for one in (job, *order_derivers([job], derivers)))]
    if not readers:
        return ()
    waiting = unanswered(clips, readers, derivers, store, settings)
    asked = [job for job in (*readers, *derivers.values()) if sends(job.options) and job.name in waiting]
    part, parts = settings.shard or (1, 1)
    own = clips[part - 1 :: parts]
    return tuple(upload for job in asked if (upload := _upload(job, waiting[job.name], own)))


def _upload(job: Job, clips: Sequence[Clip], own: Sequence[Clip]) -> Upload | None:
    """What it sends for ``clips``, those of its ``own`` that it has to answer still."""
    outlook, whole = job.options.outlook(clips), job.options.outlook([clip for clip in own if job.wants(clip)])
    if outlook is None or whole is None:
        return None
    outlook = _counted(outlook, whole)
    permitted = bool(getattr(job.options, PERMISSION, False))
    unheard = sum(job.of(clip).heard for clip in clips)
    return Upload(plugin=job.spec.name, outlook=outlook, permitted=permitted, unheard=unheard)


def _counted(outlook: Outlook, whole: Outlook) -> Outlook:
    """With all that need not be sent as cached: answers may be known to the plugin, or be stored as features."""
    return replace(outlook, cached=max(outlook.cached, whole.new + whole.cached - outlook.new))


def announce_uploads(uploads: Sequence[Upload], space: Workspace) -> None:
    """Tell what will be sent.

    Raises:
        UsageError: something of it is not permitted.
        EnvironmentProblem: something that sending needs is not there.
    """
    refuse_uploads(uploads)
    for upload in uploads:
        if upload.any and space.notice:
            space.notice(f"{upload.told('sends')}.")
