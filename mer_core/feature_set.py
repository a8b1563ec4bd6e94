"""The nouns of training: streams over many clips, targets, folds, and what fusions answer.

Importing this module loads neither numpy nor torch; arrays appear in annotations only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from mer_core.aliases import BoolArray, FloatArray, IntArray

MODALITIES = ("speech", "text", "image", "video")
"""Saved order of the modalities; streams sort by it, then by alias."""


Level = Literal["clip", "frame"]


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


def stream_order(name: str) -> tuple[int, str, str]:
    """Sort key of a stream name: speech, text, image, video, other modalities, then the alias."""
    modality, _, alias = name.partition(":")
    known = MODALITIES.index(modality) if modality in MODALITIES else len(MODALITIES)
    return known, modality, alias
