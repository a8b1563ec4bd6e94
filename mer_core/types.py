"""The nouns of mer: clips, decoded inputs, features, targets, predictions.

Importing this module loads neither numpy nor torch; arrays appear in annotations only.
Times are seconds from the start of the clip, rates are Hz.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from mer_core.aliases import BoolArray, FloatArray, ImageArray, IntArray

_T = TypeVar("_T")

MODALITIES = ("speech", "text", "image", "video")
"""Saved order of the modalities; streams sort by it, then by alias."""

SPLITS = ("train", "val", "test", "unlabelled")

Level = Literal["clip", "frame"]


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


@dataclass(frozen=True, slots=True)
class TargetSpec:
    """What is predicted: ``classes`` in their saved order, names of continuous ``values``, votes.

    ``votes`` means that clips carry a distribution over ``classes`` (several raters) to learn from.
    """

    classes: tuple[str, ...]
    values: tuple[str, ...] = ()
    votes: bool = False


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What a fusion must know of a stream before it sees data."""

    name: str
    modality: str
    dim: int
    level: Level = "clip"


@dataclass(frozen=True, slots=True)
class StreamData:
    """One stream over N clips: ``values`` float32 [N, D], ``present`` bool [N].

    Rows where ``present`` is False may hold anything, NaN included, and never reach an output.

    At frame level ``values`` [S, D] holds the frames of all clips one after the other, perhaps in a file that is
    mapped into memory and in half precision; ``offsets`` int64 [N, 2] says where each clip's begin and end. A clip
    that is present has at least one. :mod:`mer_core.frames` takes clips and makes batches of either level.
    """

    info: StreamInfo
    values: FloatArray
    present: BoolArray
    offsets: IntArray | None = None


@dataclass(frozen=True, slots=True)
class Fold:
    """Indices into a feature set: ``train`` is learnt from, ``val`` is only ever scored."""

    train: IntArray
    val: IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSet:
    """N clips as a trainer or a model sees them; implements ``protocols.TrainingData``.

    ``labels`` [N] index ``targets.classes``, -1 where unlabelled. ``groups`` [N] are speakers (or
    another group), "" for a clip whose group is unknown, None where all are. ``splits`` [N] are those of
    the manifest, None where it has none; clips of ``test`` never reach a trainer. ``fold_tables`` holds, per
    fold, the streams that differ by fold because a supervised extractor made them. ``votes`` [N, C] are the
    shares of raters who chose each class, NaN rows where nobody voted, None where ``targets.votes`` is False;
    ``values`` [N, V] are the continuous targets, NaN where unknown, None where there are none.
    """

    ids: tuple[str, ...]
    targets: TargetSpec
    labels: IntArray
    table: Mapping[str, StreamData]
    groups: tuple[str, ...] | None = None
    splits: tuple[str | None, ...] | None = None
    folds: tuple[Fold, ...] = ()
    fold_tables: Mapping[int, Mapping[str, StreamData]] = field(default_factory=dict)
    votes: NDArray[np.float64] | None = None
    values: NDArray[np.float64] | None = None

    @property
    def streams(self) -> Mapping[str, StreamInfo]:
        """What there is, by stream name, in saved order."""
        return {name: self.table[name].info for name in sorted(self.table, key=stream_order)}

    def features(self, stream: str, fold: int | None = None) -> StreamData:
        """All N clips of ``stream`` as fold ``fold`` sees them.

        Raises:
            ValueError: no fold is named, where there are folds and they see the stream differently: what every fold
                knows together, it knows of the clips that are scored, too.
        """
        if fold is None and self.folds and any(stream in own for own in self.fold_tables.values()):
            raise ValueError(f"{stream} differs by fold: ask for features({stream!r}, fold)")
        special = self.fold_tables.get(fold, {}) if fold is not None else {}
        return special.get(stream, self.table[stream])


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervision:
    """What a supervised extractor learns from, beside its N samples.

    Args:
        labels: int64 [N], index into ``classes``; never -1.
        classes: names of the classes, in saved order.
        groups: [N] speakers (or another group), "" where unknown, None where all are: a part held out
            inside keeps them together.
        seed: of all chance.
        folder: a folder of this fit's own, the same again when a fit that was killed is begun anew: the
            place for checkpoints; None to keep none.
        progress: called with ``(stage, done, total, note)``; None for silence.
    """

    labels: IntArray
    classes: tuple[str, ...]
    groups: tuple[str, ...] | None = None
    seed: int = 0
    folder: Path | None = None
    progress: Callable[[str, int, int, str], None] | None = None

    def tell(self, stage: str, done: int, total: int, note: str = "") -> None:
        """Report progress, if anybody listens."""
        if self.progress is not None:
            self.progress(stage, done, total, note)


class Head(NamedTuple):
    """A further prediction of a fusion that learns from the targets, too: that of one modality alone, say.

    ``logits`` [B, C] and ``values`` [B, V] as in :class:`FusionOutput`; ``weights`` [B] multiply each clip's loss of
    them, 0 where the clip is not to be learnt from.
    """

    logits: Tensor
    values: Tensor
    weights: Tensor


class FusionOutput(NamedTuple):
    """What a fusion returns for a batch of B clips. No field is ever None.

    ``logits`` [B, C]; ``values`` [B, V] for continuous targets (V may be 0); ``losses`` maps the
    name of an auxiliary loss to a scalar tensor and is added to the main loss. The loss of each of
    ``heads``, computed as the main one is, is added in training; nothing else looks at them.
    """

    logits: Tensor
    values: Tensor
    losses: dict[str, Tensor]
    heads: Mapping[str, Head] = MappingProxyType({})


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


def stream_order(name: str) -> tuple[int, str, str]:
    """Sort key of a stream name: speech, text, image, video, other modalities, then the alias."""
    modality, _, alias = name.partition(":")
    known = MODALITIES.index(modality) if modality in MODALITIES else len(MODALITIES)
    return known, modality, alias
