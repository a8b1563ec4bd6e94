"""Long clips in windows: their spans, their clips, and answers put back into place."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from mer_core.engine import ClipFailure
from mer_core.errors import MediaError, UsageError
from mer_core.types import Clip, Prediction


def cut_windows(clips: Iterable[Clip], window: float, hop: float | None) -> tuple[list[Clip], list[ClipFailure]]:
    """Each clip's windows, without text and label, and the clips of which no length is known."""
    if not (window > 0 and (hop is None or hop > 0)):
        raise UsageError("--window and --hop must be positive seconds.", "For example --window 5 --hop 2.5.")
    found, failures = [], []
    for clip in clips:
        try:
            spans = window_spans(*_extent(clip), window, hop or window / 2)
        except MediaError as error:
            failures.append(ClipFailure(id=clip.id, stage="decode", reason=str(error)))
            continue
        found += [replace(clip, id=f"{clip.id}@{a:g}-{b:g}", start=a, end=b, text=None, label=None) for a, b in spans]
    return found, failures


def _extent(clip: Clip) -> tuple[float, float]:
    """Start and end of the clip in its file, seconds."""
    from mer_core.media.probe import probe

    start = clip.start or 0.0
    if clip.end is not None:
        return start, clip.end
    path = clip.video or clip.audio
    if path is None:
        raise MediaError(f"clip {clip.id} has no media to cut into windows.", "Predict it without --window.")
    duration = probe(path).duration
    if duration is None:
        raise MediaError(f"{path} does not say how long it is.", "Give start and end in a manifest.")
    return start, duration


def window_spans(start: float, end: float, window: float, hop: float) -> list[tuple[float, float]]:
    """Windows over [start, end] seconds; the last one is cut at the end and kept if half a window long."""
    count = max(1, math.ceil((end - start) / hop - 1e-9))
    spans = [(round(start + i * hop, 3), round(min(start + i * hop + window, end), 3)) for i in range(count)]
    kept = [span for span in spans if span[1] - span[0] >= window / 2]
    unique: Sequence[tuple[float, float]] = kept or spans[:1]
    return [span for i, span in enumerate(unique) if i == 0 or span[1] > unique[i - 1][1]]


def place(prediction: Prediction, clip: Clip, windowed: bool) -> Prediction:
    """A window's answer under the name of its clip, with its start and end."""
    if not windowed:
        return prediction
    return replace(prediction, id=clip.id.rpartition("@")[0], start=clip.start, end=clip.end)
