"""Streams that no clip has because something failed everywhere: which plugin it was, and how to look at it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from mer_core.blame import check_line
from mer_core.config import RunConfig
from mer_core.engine import ClipFailure, ExtractReport
from mer_core.registry import Catalogue, Entry
from mer_core.spec import DeriverSpec, ExtractorSpec


def failed_streams(failure: ClipFailure, config: RunConfig) -> list[str]:
    """The streams that a failure cost its clip; all of them where it names none."""
    return [name.strip() for name in failure.stream.split(",")] if failure.stream else list(config.streams)


def failures_of(stream: str, report: ExtractReport, config: RunConfig) -> list[ClipFailure]:
    """What cost clips this stream."""
    return [one for one in report.failures if stream in failed_streams(one, config)]


def culprit(stream: str, failures: Sequence[ClipFailure], config: RunConfig, catalogue: Catalogue) -> Entry | None:
    """The plugin that most of a stream's failures happened in; None where media could not be read."""
    stages = Counter(failure.stage for failure in failures)
    stage = stages.most_common(1)[0][0] if stages else ""
    if stage in config.derivers:
        return catalogue.entry(DeriverSpec, config.derivers[stage].name)
    return None if stage in ("", "decode", "data") else catalogue.entry(ExtractorSpec, config.streams[stream].extractor)


def why_empty(stream: str, report: ExtractReport, config: RunConfig, catalogue: Catalogue) -> tuple[str, str]:
    """Why no clip has a stream, as half a sentence, and what to do; empty where none failed."""
    failures = failures_of(stream, report, config)
    plugin = culprit(stream, failures, config, catalogue)
    clips = len({failure.id for failure in failures})
    if not clips:
        return "", ""
    every = "the only clip" if clips == 1 else f"all {clips:,} clips"
    if plugin is None:
        return f"{every} that might have {stream} failed", "Run 'mer dataset check'."
    return f"{every} given to {plugin.spec.name} failed", f"{check_line(plugin)}."
