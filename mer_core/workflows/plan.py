"""What a run would do, with its disk use, before it does anything."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mer_core.config import RunConfig
from mer_core.engine import Unreadable
from mer_core.errors import DataError
from mer_core.frame_pooling import keeps_frames
from mer_core.report.words import count
from mer_core.workflows.data import load_data
from mer_core.workflows.extract import plan_extraction
from mer_core.workflows.plan_fits import plan_fits
from mer_core.workflows.preflight import check_start, protocol_gaps
from mer_core.workflows.pseudo_labels import audit_labels
from mer_core.workflows.train import refuse_untrainable
from mer_core.workflows.workspace import Workspace, pick_device


def plan_run(config: RunConfig, space: Workspace) -> dict[str, Any]:
    """Clips, streams and artefacts to make or reuse, bytes on disk, folds, fusion and trainer; JSON-able.

    Raises:
        MerError: as the run would before it extracts anything.
    """
    table = load_data(config.data, space)
    labelled = [c for c in table.clips if c.label and c.split not in ("test", "unlabelled")]
    folds = refuse_untrainable(table, config)
    audit_labels(table.clips, config)  # refuses a column that is not there
    check_start(config, table.targets, space.catalogue)
    found, uploads, remarks = plan_extraction(config, table, space)
    fits = plan_fits(config, table, space, folds)
    lost = unreadable_clips(found.unreadable, table.source)
    return {
        "data": {
            "source": config.data.source,
            "clips": len(table.clips),
            "labelled": len(labelled),
            "test": sum(c.split == "test" for c in table.clips),
            "classes": list(table.targets.classes),
            "values": list(table.targets.values),
            "votes": table.targets.votes,
            "notes": list(table.notes),
        },
        "streams": {
            name: {
                "extractor": choice.extractor,
                "pooling": choice.pooling,
                "extract": found.streams[name].extract,
                "reuse": found.streams[name].reuse,
                "again": found.streams[name].again,
                "unreadable": found.streams[name].unreadable,
            }
            for name, choice in config.streams.items()
            if name in found.streams
        },
        "fits": [fit.document() for fit in fits],
        "derivers": {
            name: {"deriver": config.derivers[name].name, "derive": part.extract, "reuse": part.reuse}
            for name, part in found.derived.items()
        },
        "unreadable": lost,
        "uploads": [upload.document() for upload in uploads],
        "disk": {
            "needed_bytes": found.bytes + sum(fit.bytes for fit in fits),
            "free_bytes": shutil.disk_usage(space.cache.root).free,
            "cache": str(space.cache.root),
        },
        "training": {
            "fusion": config.fusion.model_dump(),
            "trainer": config.trainer.model_dump(),
            "folds": {**config.folds.model_dump(), "planned": len(folds.folds), "reason": folds.reason},
            "seed": config.seed,
            "seeds": config.seeds,
            "device": pick_device(config.device),
        },
        "warnings": [*_told(lost), *remarks, *protocol_gaps(config, space.catalogue)],
    }


FIRST = 5
"""So many clips that cannot be read are named."""


def unreadable_clips(found: Sequence[Unreadable], source: Path) -> dict[str, Any]:
    """How many ``clips`` cannot be read, how many of them not even in part, and the ``first`` few with the reason.

    Args:
        source: the manifest or folder; files below it are named from there.
    """
    base = source if source.is_dir() else source.parent
    return {
        "clips": len(found),
        "whole": sum(one.whole for one in found),
        "first": [
            {"id": one.id, "file": str(_below(one.file, base)), "reason": _reason(one.file)} for one in found[:FIRST]
        ],
    }


def _below(file: Path, base: Path) -> Path:
    return file.relative_to(base) if file.is_relative_to(base) else file


def _reason(file: Path) -> str:
    if file.is_dir():
        return "the file is a folder"
    return "the file cannot be opened" if file.exists() else "the file does not exist"


def _told(lost: Mapping[str, Any]) -> list[str]:
    """The sentence about clips that cannot be read, if there are any."""
    first = lost["first"]
    if not first:
        return []
    names = [f"{one['id']}: {one['file']}" for one in first if one["reason"] == first[0]["reason"]]
    named = ", ".join([*names, "…"] if lost["clips"] > len(names) else names)
    part = "" if lost["whole"] == lost["clips"] else ", wholly or in part"
    what = f"{count(lost['clips'], 'clip')} cannot be read{part}: {first[0]['reason']} ({named})"
    return [f"{what}; 'mer dataset check' names every row."]


FEW = 0.05
"""Share of clips without stored features that training puts up with: they failed before, and are tried again."""


def refuse_unextracted(config: RunConfig, space: Workspace) -> None:
    """Raise if training would have to extract features first, but for a few clips that could not be extracted.

    Raises:
        DataError: naming the streams and how many clips lack them.
    """
    found, _, _ = plan_extraction(config, load_data(config.data, space), space)
    open_streams = [
        f"{name} ({count(part.extract, 'clip')})"
        for name, part in found.streams.items()
        if part.extract > FEW * (part.extract + part.reuse)
    ]
    if open_streams:
        frames = " --frames" if any(keeps_frames(own.pooling) for own in config.streams.values()) else ""
        raise DataError(
            f"features are not extracted yet: {', '.join(open_streams)}.",
            f"Run 'mer extract{frames}' with the same data and streams first, or 'mer run' for both.",
        )
