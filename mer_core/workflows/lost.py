"""Streams that no clip has because something failed everywhere: which plugin it was, and how to look at it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from mer_core.blame import check_line
from mer_core.config import RunConfig
from mer_core.engine import ClipFailure, ExtractReport
from mer_core.errors import PluginError
from mer_core.inputs import AudioInput, DerivedInput, FramesInput, Input
from mer_core.registry import Catalogue, Entry
from mer_core.report.words import listed
from mer_core.spec import DeriverSpec, ExtractorSpec, declared_inputs


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


def refuse_failed(report: ExtractReport, config: RunConfig, catalogue: Catalogue, log: Path) -> None:
    """Refuse to go on without a stream whose extractor failed on every clip that it was given.

    Args:
        log: where the tracebacks are.

    Raises:
        PluginError: naming the extractor, what it said and how to check it.
    """
    for stream in config.streams:
        failures = [one for one in failures_of(stream, report, config) if one.stage == "extract"]
        if failures and not _answered(stream, report):
            raise _all_failed(stream, failures, config, catalogue, log)


def _answered(stream: str, report: ExtractReport) -> bool:
    """Whether any clip has features of a stream; a clip that has nothing of its kind is stored, too."""
    return sum(key is not None for key in report.keys[stream]) > len(report.missing.get(stream, {}))


def _all_failed(
    stream: str, failures: Sequence[ClipFailure], config: RunConfig, catalogue: Catalogue, log: Path
) -> PluginError:
    choice = config.streams[stream]
    entry = catalogue.entry(ExtractorSpec, choice.extractor)
    spec = catalogue.find(ExtractorSpec, choice.extractor)
    inputs = declared_inputs(spec, catalogue.options(ExtractorSpec, choice.extractor, choice.options))
    lost = len({failure.id for failure in failures})
    clips = "the only clip that has" if lost == 1 else f"all {lost:,} clips that have"
    ((reason, n),) = Counter(failure.reason for failure in failures).most_common(1)
    often = "" if n == len(failures) else f", {n:,} times with" if n > 1 else ", for example with"
    traced = f" The traceback is in {log}." if any(failure.traceback for failure in failures) else ""
    what = f"{catalogue.shortest(entry)} failed on {clips} {listed(_needed(inputs.values()))}{often}"
    return PluginError(f"{what}: {reason.rstrip('.')}.", f"{check_line(entry)}.{traced}")


def _needed(inputs: Iterable[Input]) -> list[str]:
    """What a clip must have for an extractor, in words."""
    found = [_called(item) for item in inputs if not (isinstance(item, DerivedInput) and item.optional)]
    return list(dict.fromkeys(found)) or ["any of what it reads"]


def _called(item: Input) -> str:
    if isinstance(item, DerivedInput):
        return item.name
    if isinstance(item, FramesInput):
        return "a face" if item.faces else "pictures"
    return "sound" if isinstance(item, AudioInput) else "text"
