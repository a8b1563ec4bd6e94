"""Whether a fusion can read the streams of a run: one vector per clip, a row of frames, or either."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mer_core.errors import UsageError
from mer_core.frame_pooling import FRAMES, SOME_FRAMES, check_pooling, keeps_frames, level_of
from mer_core.registry import Catalogue
from mer_core.spec import FusionSpec

MOST_NAMES = 3


def fusion_levels(catalogue: Catalogue, fusion: str) -> tuple[str, ...]:
    """The levels of streams that the fusion reads."""
    return catalogue.find(FusionSpec, fusion).levels


def fitting_poolings(streams: Mapping[str, Mapping[str, Any]], levels: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Saved ``streams`` without poolings that a fusion of ``levels``, which is chosen anew, could not read."""
    return {
        name: {key: value for key, value in own.items() if key != "pooling" or level_of(check_pooling(value)) in levels}
        for name, own in streams.items()
    }


def refuse_levels(catalogue: Catalogue, fusion: str, poolings: Mapping[str, str]) -> None:
    """Make sure that the fusion reads what ``poolings``, by stream, make of frames.

    Raises:
        UsageError: naming stream, pooling and what to write instead.
    """
    levels, called = fusion_levels(catalogue, fusion), fusion_called(catalogue, fusion)
    for name, pooling in poolings.items():
        if level_of(check_pooling(pooling)) in levels:
            continue
        if keeps_frames(pooling):
            what = f"the fusion {called} reads one vector per clip, and {name} is pooled to {pooling}."
            raise UsageError(what, vectors_wanted(catalogue))
        what = f"the fusion {called} reads frames, and {name} is pooled to one vector per clip ({pooling})."
        raise UsageError(what, f"Write --pooling {SOME_FRAMES}, or --pooling {FRAMES} for all of them.")


def fusion_called(catalogue: Catalogue, fusion: str) -> str:
    """The fusion's name as it is written."""
    return catalogue.shortest(catalogue.entry(FusionSpec, fusion))


def vectors_wanted(catalogue: Catalogue) -> str:
    """What to do about frames that a fusion cannot read."""
    found = catalogue.of_kind(FusionSpec)
    names = sorted(catalogue.shortest(entry) for entry in found if "frame" in getattr(entry.spec, "levels", ()))
    shown = ", ".join(names[:MOST_NAMES]) + (" ..." if len(names) > MOST_NAMES else "")
    other = f", or choose a fusion that reads frames: {shown}" if names else ""
    return f"Pool them, with --pooling mean_std say{other}."
