"""What plugins have to say about a run's clips before anything is extracted."""

from __future__ import annotations

from collections.abc import Sequence

from mer_core.types import Clip
from mer_core.workflows.jobs import Jobs
from mer_core.workflows.workspace import Workspace


def find_remarks(built: Jobs, clips: Sequence[Clip]) -> tuple[str, ...]:
    """Sentences of the plugins whose options define ``remarks(clips)``, each once.

    The clips are all of the run, those included whose answers are stored: what is lacking is lacking still.

    Raises:
        MerError: where a plugin refuses such clips.
    """
    jobs, derivers = built
    found: list[str] = []
    for job in (*jobs, *derivers.values()):
        remarks = getattr(job.options, "remarks", None)
        told = remarks(clips) if callable(remarks) else ()
        found += [told] if isinstance(told, str) else told
    return tuple(dict.fromkeys(found))


def announce_remarks(built: Jobs, clips: Sequence[Clip], space: Workspace) -> tuple[str, ...]:
    """Tell them while there is time to stop, and return them.

    Raises:
        MerError: as :func:`find_remarks`.
    """
    found = find_remarks(built, clips)
    for told in found:
        if space.notice:
            space.notice(told)
    return found
