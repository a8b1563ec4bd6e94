"""``mer finetune``: a supervised extractor fitted once, to keep and to share."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mer_core.config import RunConfig
from mer_core.configure import make_config
from mer_core.engine import ExtractorJob
from mer_core.errors import PluginError, TooLittleDataError, UsageError
from mer_core.feature_set import TargetSpec
from mer_core.files import PART
from mer_core.fitted import FACTS, STATE, FittedState
from mer_core.registry import Catalogue
from mer_core.spec import ExtractorSpec
from mer_core.store import FeatureStore
from mer_core.types import Clip
from mer_core.workflows.data import clip_groups, load_data
from mer_core.workflows.decoded import decoded
from mer_core.workflows.extract import engine_settings
from mer_core.workflows.features import label_indices
from mer_core.workflows.fit_progress import fit_progress
from mer_core.workflows.fits import LOCK, WORK, Lesson, fit_extractor
from mer_core.workflows.jobs import build_jobs
from mer_core.workflows.remarks import announce_remarks
from mer_core.workflows.workspace import Workspace, open_workspace, pick_device

HELD_BACK = ("val", "test", "unlabelled")
"""Splits that a fit does not learn from."""


def finetune(
    name: str,
    data: str | Path | None = None,
    *,
    out: str | Path,
    options: Sequence[str] | Mapping[str, Mapping[str, Any]] = (),
    columns: Mapping[str, str] | None = None,
    label_map: Mapping[str, str] | None = None,
    faces: str | None = None,
    derivers: Mapping[str, str] | None = None,
    group: str | None = None,
    seed: int | None = None,
    device: str | None = None,
    space: Workspace | None = None,
) -> FittedState:
    """Fit the supervised extractor ``name`` to the labelled clips of ``data``, for ``fitted={name: out}`` in runs.

    Clips of the splits val, test and unlabelled take no part. A fit that was killed goes on where its extractor
    kept a checkpoint; one that is finished is not fitted again.

    Args:
        data: manifest, folder or data set name; None for the built-in sample.
        out: the folder to write: the state, and a JSON file that says what it learnt from.
        group: column whose values stay together in what is held out inside.
        options: as for :func:`mer_core.run`; those of the extractor above all.

    Raises:
        UsageError: the extractor does not learn, or ``out`` holds something else.
        TooLittleDataError: fewer than two classes to learn from.
        PluginError: the extractor raised.
    """
    space = space or open_workspace()
    modality = _modality(name, space.catalogue)
    config = make_config(
        space.catalogue,
        data=data,
        columns=columns,
        label_map=label_map,
        modalities=[modality],
        extractors={modality: name},
        options=options,
        faces=faces,
        derivers=derivers,
        group=group,
        seed=seed,
        device=device,
    )
    return finetune_config(config, Path(out), space)


def finetune_config(config: RunConfig, out: Path, space: Workspace) -> FittedState:
    """Like :func:`finetune`, for a configuration with one stream."""
    refuse_other(out)
    rank = int(os.environ.get("RANK", "0"))
    table = load_data(config.data, space)
    jobs, derivers = built = build_jobs(config, space.catalogue, table.targets.classes)
    (job,) = jobs
    chosen = [clip for clip in table.clips if clip.label and clip.split not in HELD_BACK]
    if not chosen:
        raise TooLittleDataError("no clip of the training split is labelled.", "See 'mer dataset check'.")
    announce_remarks(built, chosen, space)
    lesson = _lesson(chosen, table.targets.classes, config)
    entry = space.catalogue.entry(ExtractorSpec, config.streams[job.name].extractor)
    store, settings = FeatureStore(space.cache.features), engine_settings(config, space)
    samples = space.cache.fits / f"samples-{rank}" if rank else space.cache.fits / "samples"
    progress, device = space.progress, _own_device(pick_device(config.device))
    with decoded(job, derivers, chosen, samples, store, settings, progress) as clips:
        tell = fit_progress(progress, space.notice)
        return fit_extractor(_able(job), entry, lesson, clips, out, device, tell, whole=True, keep=not rank)


def refuse_other(out: Path) -> None:
    """Make sure, before any work, that ``out`` can take the state.

    Raises:
        UsageError: it is a file, or holds something else.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file.", "Name a folder.")
    begun = {WORK} if (out / WORK / LOCK).is_file() else set[str]()
    strange = out.is_dir() and {path.name for path in out.iterdir() if not path.name.startswith(PART)} - begun - {STATE}
    if strange and not (out / FACTS).is_file():
        raise UsageError(f"--out {out} holds something that is not a fit.", "Name a new folder.")


def learners(catalogue: Catalogue) -> list[str]:
    """Names of the extractors that learn from labels."""
    entries = catalogue.of_kind(ExtractorSpec)
    return [catalogue.shortest(one) for one in entries if isinstance(one.spec, ExtractorSpec) and one.spec.supervised]


def _modality(name: str, catalogue: Catalogue) -> str:
    spec = catalogue.find(ExtractorSpec, name)
    if not spec.supervised:
        known = learners(catalogue)
        hint = f"Extractors that do: {', '.join(known)}." if known else "No installed extractor does."
        raise UsageError(f"the extractor {name!r} does not learn from labels.", hint)
    return spec.modality


def _lesson(clips: Sequence[Clip], classes: tuple[str, ...], config: RunConfig) -> Lesson:
    groups = clip_groups(clips, config.folds.group)
    return Lesson(
        rows=np.arange(len(clips)),
        labels=label_indices(clips, TargetSpec(classes)),
        classes=classes,
        groups=tuple(group or "" for group in groups) if any(groups) else None,
        seed=config.seed,
    )


def _able(job: ExtractorJob) -> ExtractorJob:
    """The job, refused where it cannot learn.

    Raises:
        PluginError: its class has no ``fit``.
    """
    if not callable(getattr(job.extractor_class, "fit", None)):
        raise PluginError(f"{job.spec.name} says that it learns and has no method fit.", "See 'SupervisedExtractor'.")
    return job


def _own_device(device: str) -> str:
    """Of several processes by the torch launcher, each has a GPU of its own."""
    local = os.environ.get("LOCAL_RANK")
    return f"cuda:{local}" if local and device.startswith("cuda") else device
