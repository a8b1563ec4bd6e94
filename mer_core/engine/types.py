"""What goes into an extraction and what comes out of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from mer_core.inputs import TRANSCRIPT, Input, TextInput, derived_names, transcribed
from mer_core.spec import DeriverSpec, ExtractorSpec, declared_inputs, declared_level
from mer_core.types import Clip, Failure

MEBIBYTE = 2**20


@dataclass(frozen=True, kw_only=True)
class Job:
    """A plugin with its options, and the fingerprint under which its answers are stored.

    ``fingerprint`` digests ``about``: everything that shapes the answers beside a clip's content.

    Args:
        transcribe: clips that have sound and no text are transcribed for it, where it reads text.
        heard: it is the job for such clips, as :meth:`of` makes it.
    """

    name: str
    spec: ExtractorSpec | DeriverSpec
    options: Any
    fingerprint: str
    about: Mapping[str, Any]
    transcribe: bool = False
    heard: bool = field(default=False, compare=False)

    @cached_property
    def inputs(self) -> dict[str, Input]:
        """The inputs under these options."""
        found = declared_inputs(self.spec, self.options)
        return transcribed(found) if self.heard else found

    @cached_property
    def derived(self) -> tuple[str, ...]:
        """Names of the derived artefacts among the inputs."""
        return derived_names(self.inputs)

    @cached_property
    def of_silent(self) -> Self:
        """This job for clips that have sound and no text."""
        reads = self.transcribe and any(isinstance(item, TextInput) for item in self.inputs.values())
        return replace(self, heard=True) if reads and self.name != TRANSCRIPT else self

    def of(self, clip: Clip) -> Self:
        """This job for ``clip``: the same answers in the same table, but other inputs where a text is transcribed."""
        return self.of_silent if wants_transcript(clip) else self

    @property
    def shared(self) -> str:
        """The same for jobs that one instance can serve."""
        return self.fingerprint

    @property
    def plugin_class(self) -> type[Any]:
        """The class to make an instance of."""
        raise NotImplementedError

    def wants(self, clip: Clip) -> bool:
        """Whether the clip is to be answered at all."""
        return True


@dataclass(frozen=True, kw_only=True)
class ExtractorJob(Job):
    """One stream to extract; ``name`` is the stream's, e.g. ``speech:acoustic``.

    Args:
        fitted: the file of a supervised extractor's state, which :mod:`mer_core.engine.instances` restores.
        base: the fingerprint without that state.
        only: ids of the clips to answer; None for all.
        frames: frames are needed, not only their statistics.
    """

    spec: ExtractorSpec
    extractor_class: type[Any]
    fitted: Path | None = None
    base: str = ""
    only: frozenset[str] | None = None
    frames: bool = False

    @property
    def shared(self) -> str:
        """The fingerprint without a fitted state."""
        return self.base or self.fingerprint

    def wants(self, clip: Clip) -> bool:
        """Whether the clip is among those to answer."""
        return self.only is None or clip.id in self.only

    @property
    def level(self) -> str:
        """The level of the features under these options."""
        return declared_level(self.spec, self.options)

    @property
    def plugin_class(self) -> type[Any]:
        """The extractor's class."""
        return self.extractor_class


@dataclass(frozen=True, kw_only=True)
class DeriverJob(Job):
    """One artefact to derive where an extractor needs it; ``name`` is the artefact's, e.g. ``faces``."""

    spec: DeriverSpec
    deriver_class: type[Any]

    @property
    def plugin_class(self) -> type[Any]:
        """The deriver's class."""
        return self.deriver_class


def wants_transcript(clip: Clip) -> bool:
    """The clip has sound (or a video, which may have some) and no text of its own."""
    return clip.sound is not None and not (clip.text or "").strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """How to work; none of it changes an answer.

    Args:
        device: torch device of the extractors that work in batches; the others run on the CPU.
        devices: in place of ``device``, several that compute at the same time, each with instances of its own;
            an extractor that sees all clips in one pass runs on the first.
        workers: threads that decode; None for as many as there are cores to run on.
        keep_frames: store frame-level features too, not only their statistics.
        shard: ``(i, n)``, 1-based: only every n-th clip, so that several machines fill one store.
        verify: hash the content of media files again instead of trusting size and times.
        window_bytes: decoded inputs that may wait for a batch, in bytes.
        state_dir: content hashes and the crash journal; None for ``state`` in the store.
        retry: try clips again that are recorded as having killed the process.
    """

    device: str = "cpu"
    devices: tuple[str, ...] = ()
    workers: int | None = None
    keep_frames: bool = False
    shard: tuple[int, int] | None = None
    verify: bool = False
    window_bytes: int = 512 * MEBIBYTE
    state_dir: Path | None = None
    retry: bool = False

    @property
    def places(self) -> tuple[str, ...]:
        """The devices to compute on, at least one."""
        return self.devices or (self.device,)

    @property
    def worker_count(self) -> int:
        """Threads to start."""
        if self.workers is not None:
            return max(1, self.workers)
        available = getattr(os, "sched_getaffinity", None)
        return len(available(0)) if available else os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Raised(Failure):
    """What a plugin raised. ``cause`` is the same for the same kind of error at the same line of the plugin."""

    cause: str = ""
    traceback: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipFailure:
    """What went wrong with one clip, and which streams lack it for that reason.

    ``stage`` is ``decode``, an artefact's name (``faces``), ``extract``, or ``crash`` where
    the clip has killed the process. ``stream`` lists stream names, comma-separated. ``traceback``
    is there once for each kind of error at each line of a plugin.
    """

    id: str
    stage: str
    reason: str
    stream: str = ""
    traceback: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractReport:
    """The account of one extraction.

    Args:
        keys: per stream, one store digest per clip, in the order of the clips; None where the clip
            failed or belongs to another shard.
        failures: one row per clip and cause.
        missing: per stream, clip id -> why the clip has nothing of this kind.
        extracted: per stream, answers made now; ``reused`` those that were stored already.
        derived: per artefact, how many were made now.
        held: per artefact, ids of the clips that have it, in the order of the clips, whenever it was made.
        underived: per artefact, clip id -> why it could not be made.
        nonfinite: per stream, NaN and infinite cells among the features extracted now.
        seconds: wall-clock time.
        media_hours: playing time of the clips that were decoded.
    """

    keys: Mapping[str, list[str | None]]
    failures: tuple[ClipFailure, ...] = ()
    missing: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    extracted: Mapping[str, int] = field(default_factory=dict)
    reused: Mapping[str, int] = field(default_factory=dict)
    derived: Mapping[str, int] = field(default_factory=dict)
    held: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    underived: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    nonfinite: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    media_hours: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPlan:
    """What an extraction would do for one stream or artefact.

    ``unreadable`` counts clips whose files are not there. ``bytes`` is an estimate of the disk
    needed, from what is stored of this plugin already; ``guessed`` says that nothing is. ``again``
    counts those to extract of which statistics are stored, and frames are needed.
    """

    extract: int
    reuse: int
    unreadable: int
    bytes: int
    guessed: bool
    again: int = 0


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A clip's ``file`` that cannot be read; ``whole`` if no stream can do without it."""

    id: str
    file: Path
    whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractPlan:
    """What an extraction would do, by stream and by artefact.

    Clips whose artefacts are not derived yet count as to be extracted. ``unreadable`` are those that lack a file that
    is to be read, each once.
    """

    clips: int
    streams: Mapping[str, StreamPlan]
    derived: Mapping[str, StreamPlan]
    unreadable: tuple[Unreadable, ...] = ()

    @property
    def bytes(self) -> int:
        """Estimate of the disk needed."""
        return sum(part.bytes for part in (*self.streams.values(), *self.derived.values()))
