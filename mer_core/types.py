"""The nouns of mer: clips, decoded inputs, features, predictions; those of training are in ``feature_set``.

Importing this module loads neither numpy nor torch; arrays appear in annotations only.
Times are seconds from the start of the clip, rates are Hz.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from mer_core.feature_set import Level

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mer_core.aliases import FloatArray, ImageArray

_T = TypeVar("_T")


SPLITS = ("train", "val", "test", "unlabelled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One sample: where its media are, what is said in it and what it is labelled with.

    ``start`` and ``end`` cut a segment out of the media (seconds); ``None`` means the file's own
    start or end. Columns that mer does not know stay in ``meta``.
    """

    id: str
    video: Path | None = None
    audio: Path | None = None
    text: str | None = None
    label: str | None = None
    speaker: str | None = None
    split: str | None = None
    start: float | None = None
    end: float | None = None
    language: str | None = None
    values: Mapping[str, float] = field(default_factory=dict)
    votes: Mapping[str, float] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sound(self) -> Path | None:
        """The file that sound is read from: ``audio`` if given, else the video's own track."""
        return self.audio if self.audio is not None else self.video


@dataclass(frozen=True, slots=True)
class Audio:
    """Mono sound: ``samples`` float32 [N] in [-1, 1] at ``rate`` Hz."""

    samples: FloatArray
    rate: int

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.rate


@dataclass(frozen=True, slots=True)
class Frames:
    """Decoded frames: ``images`` uint8 [T, H, W, 3] RGB, ``times`` float64 [T] in seconds.

    ``times`` are presentation times from the clip's start. For aligned faces, ``quality`` [T]
    holds the detector's confidence of the face each crop was cut from (1 for whole frames).
    """

    images: ImageArray
    times: NDArray[np.float64]
    quality: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.times)


class FrameStream(Protocol):
    """Frames one after the other, never all in memory: iterates ``(time, image)``.

    ``image`` is uint8 [H, W, 3] RGB and upright, ``time`` seconds from the clip's start.
    """

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels of the upright images."""
        ...

    def __iter__(self) -> Iterator[tuple[float, ImageArray]]: ...


@dataclass(frozen=True, slots=True)
class Text:
    """A transcript. ``language`` is an ISO 639-1 code where known."""

    content: str
    language: str | None = None
    machine_made: bool = False


@dataclass(frozen=True, slots=True)
class Derived:
    """What a deriver made of one clip: named arrays plus JSON-able facts. Stored as it is."""

    arrays: Mapping[str, NDArray[Any]]
    info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Features:
    """What an extractor made of one clip.

    Frame level: ``values`` float32 [T, D] with ``times`` float64 [T], the frame centres in seconds.
    Clip level: ``values`` [D] and ``times`` None.
    """

    values: FloatArray
    times: NDArray[np.float64] | None = None

    @property
    def level(self) -> Level:
        """``"frame"`` where there is a time axis, else ``"clip"``."""
        return "clip" if self.times is None else "frame"

    @property
    def dim(self) -> int:
        """D, the number of feature columns."""
        return int(self.values.shape[-1])


@dataclass(frozen=True, slots=True)
class Missing:
    """The clip has nothing of this kind (no face, no transcript): an answer, not an error."""

    reason: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Something went wrong with one clip. ``stage`` is e.g. ``decode``, ``faces``, ``extract``."""

    reason: str
    stage: str = "extract"


@dataclass(frozen=True, slots=True)
class Sample:
    """One clip as an extractor or deriver receives it: its id and its decoded inputs by name."""

    id: str
    inputs: Mapping[str, Any]

    def audio(self, name: str = "audio") -> Audio:
        """The input declared as ``AudioInput`` under ``name``."""
        return self._get(name, Audio)

    def frames(self, name: str = "frames") -> Frames:
        """The input declared as ``FramesInput`` under ``name``."""
        return self._get(name, Frames)

    def stream(self, name: str = "frames") -> FrameStream:
        """The input declared as ``FramesInput(stream=True)`` under ``name``."""
        found: FrameStream = self.inputs[name]
        return found

    def text(self, name: str = "text") -> Text:
        """The input declared as ``TextInput`` under ``name``."""
        return self._get(name, Text)

    def derived(self, name: str) -> Derived:
        """The input declared as ``DerivedInput`` under ``name``."""
        return self._get(name, Derived)

    def _get(self, name: str, kind: type[_T]) -> _T:
        value = self.inputs[name]
        if not isinstance(value, kind):
            raise TypeError(f"input {name!r} is {type(value).__name__}, not {kind.__name__}")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One clip's (or window's) answer.

    ``probabilities`` sum to 1 in the model's class order; ``present`` says for each modality
    whether the clip had it. ``start``/``end`` (seconds) are set for windows of a long clip. ``values`` are the
    continuous targets that the model predicts, by name.
    """

    id: str
    label: str | None
    probabilities: Mapping[str, float]
    present: Mapping[str, bool]
    start: float | None = None
    end: float | None = None
    values: Mapping[str, float] = field(default_factory=dict)
