"""A run's choice of a feature table: which file, which arrays are its streams, and what no longer applies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mer_core.errors import UsageError
from mer_core.feature_set import stream_order
from mer_core.spec import NAME_PATTERN

Streams = str | Sequence[str] | Mapping[str, str]
"""``"audio,video"``, ``["audio", "speech:hubert"]``, or stream -> array: ``{"speech": "audio"}``."""

EXAMPLE = "Write for example --streams audio,video, or --streams speech=audio,video=video."


def stream_arrays(streams: Streams) -> dict[str, str]:
    """Stream -> array, in saved order; an array that is given alone is a stream of its name.

    Raises:
        UsageError: no stream, one twice, or a name that cannot be a stream's.
    """
    items = [part.strip() for part in streams.split(",") if part.strip()] if isinstance(streams, str) else streams
    pairs = list(items.items()) if isinstance(items, Mapping) else [_pair(item) for item in items]
    found: dict[str, str] = {}
    for stream, array in pairs:
        _refuse_name(stream, array)
        if found.setdefault(stream, array) != array:
            raise UsageError(f"--streams: {stream!r} is there twice.", f"Name each once: {stream}:one={array}.")
    if not found:
        raise UsageError("--streams names no stream.", EXAMPLE)
    return {stream: found[stream] for stream in sorted(found, key=stream_order)}


def _pair(item: str) -> tuple[str, str]:
    """``"speech=audio"`` -> ``("speech", "audio")``; ``"Eye_Gaze"`` -> ``("eye-gaze", "Eye_Gaze")``."""
    stream, equals, array = (part.strip() for part in item.partition("="))
    return (stream, array) if equals else (stream.lower().replace("_", "-"), stream)


def _refuse_name(stream: str, array: str) -> None:
    modality, colon, alias = stream.partition(":")
    parts = [modality, alias] if colon else [modality]
    if not array or not all(NAME_PATTERN.fullmatch(part) for part in parts):
        what = f"--streams: {stream!r} is no name of a stream."
        raise UsageError(what, f"Write modality=ARRAY or modality:alias=ARRAY: speech={array or 'audio'}.")


def with_features(
    data: Mapping[str, Any],
    *,
    features: str | Path | None,
    streams: Streams | None,
    labels: str | None,
    split: str | None,
    group: str | None,
    manifest: bool,
) -> dict[str, Any]:
    """A run's ``data``, with the feature table that was asked for now, or that it had before.

    Args:
        manifest: the clips come from ``data["source"]``, which was given beside the table.

    Raises:
        UsageError: no streams are named, or streams of no table.
    """
    found = {"features": "", **data}
    if features is not None:
        found |= {"features": str(features), "source": found["source"] if manifest else str(features)}
    if not found["features"]:
        _refuse_alone(streams=streams, labels=labels, split=split)
        _refuse_table(str(found.get("source", "")))
        return found
    if streams is not None:
        found["streams"] = stream_arrays(streams)
    if not found.get("streams"):
        raise UsageError(f"--features {found['features']}: which of its arrays are the streams?", EXAMPLE)
    own = found["source"] == found["features"]
    asked = {"label": labels, "split": split, "group": group if own else None}
    return found | {"columns": found.get("columns", {}) | {key: name for key, name in asked.items() if name}}


def _refuse_alone(**flags: Any) -> None:
    for name, value in flags.items():
        if value is not None:
            raise UsageError(f"--{name} is for a feature table, and there is none.", "Add --features FILE.npz.")


def _refuse_table(source: str) -> None:
    if source.lower().endswith(".npz"):
        what = f"--data {source}: these are features, not clips to make features of."
        raise UsageError(what, f"Write mer train --features {source} --streams NAME,NAME.")


def refuse_extraction(features: str, **flags: Any) -> None:
    """Refuse what chooses or shapes extractors, where features are given.

    Args:
        features: the feature table; empty where there is none.

    Raises:
        UsageError: naming the flag.
    """
    for name, value in flags.items():
        if value and features:
            what = f"--{name}: the features are those of {features}, and nothing is extracted."
            raise UsageError(what, "Choose streams with --streams, or leave out --features.")
