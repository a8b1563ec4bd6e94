"""Jobs in a fitted state, and whether a state belongs to a job."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from mer_core.engine import ExtractorJob
from mer_core.errors import DataError, UsageError
from mer_core.fitted import SCHEMA, FittedState
from mer_core.names import readable
from mer_core.spec import digest, plain


def describe(job: ExtractorJob) -> dict[str, Any]:
    """What is fitted: the part of a state's facts that does not depend on the clips."""
    return {
        "schema": SCHEMA,
        "extractor": job.about["extractor"],
        "version": job.about["version"],
        "options": job.options.model_dump(mode="json"),
        "content": plain(job.options.fingerprint()),
    }


def with_state(
    job: ExtractorJob, state: FittedState, name: str = "", only: frozenset[str] | None = None
) -> ExtractorJob:
    """``job`` in a fitted state: another fingerprint, the same instance.

    Args:
        name: of the new job; the old one's if empty.
        only: ids of the clips to answer; None for all.

    Raises:
        DataError: the state is another plugin's, or was fitted on other weights.
    """
    refuse_strange(job, state)
    about = {**job.about, "fitted": state.content}
    return replace(
        job,
        name=name or job.name,
        fingerprint=digest(about),
        about=about,
        fitted=state.file,
        base=job.shared,
        only=only,
    )


def refuse_strange(job: ExtractorJob, state: FittedState) -> None:
    """Raise where ``state`` does not belong to ``job``.

    Raises:
        DataError: naming what differs.
    """
    now = describe(job)
    for key in ("extractor", "version"):
        if state.facts[key] != now[key]:
            then, wanted = (f"{readable(one['extractor'])} version {one['version']}" for one in (state.facts, now))
            raise DataError(f"{state.folder} holds a state of {then}, not of {wanted}.", "Run 'mer finetune' again.")
    other = [key for key, value in state.facts["content"].items() if now["content"].get(key, value) != value]
    if other:
        raise DataError(
            f"{state.folder} was fitted with another {other[0]} ({state.facts['options'].get(other[0])}).",
            f"Give that one with -o {job.spec.name}.{other[0]}=..., or run 'mer finetune' again.",
        )


def refuse_other_options(job: ExtractorJob, state: FittedState) -> None:
    """Raise where ``job`` has other options than ``state`` was fitted with, which nothing would heed.

    Those may differ that change no result, that stand for content which :func:`refuse_strange` compares, and that the
    options' class names in ``free_once_fitted``.

    Raises:
        UsageError: naming the options, what was asked for and what there is.
    """
    now, then = describe(job)["options"], state.facts["options"]
    free = {*job.options.fingerprint(), *state.facts["content"], *getattr(type(job.options), "free_once_fitted", ())}
    other = [key for key in then if key in now and key not in free and now[key] != then[key]]
    if other:
        asked, held = (
            ", ".join(f"{key} = {json.dumps(one[key], ensure_ascii=False)}" for key in other) for one in (now, then)
        )
        raise UsageError(
            f"{job.name} is to have {asked}, and {state.folder} was fitted with {held}.",
            f"Leave out -o {job.spec.name}.{other[0]}, or run 'mer finetune' with it.",
        )
