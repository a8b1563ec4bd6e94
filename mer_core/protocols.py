"""What a plugin implements. A few short protocols, read in one sitting.

Plugins do not inherit from these; having the methods is enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from mer_core.errors import DataError
from mer_core.feature_set import Fold, StreamData, StreamInfo, Supervision, TargetSpec
from mer_core.types import Clip, Derived, Failure, Features, Missing, Sample

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

Progress = Callable[[str, int, int, str], None]
"""``progress(stage, done, total, note)``: called often, must be cheap; ``total`` 0 if unknown."""


@runtime_checkable
class Extractor(Protocol):
    """Turns decoded inputs into features of one modality.

    ``__init__(options, device)`` is ready to work on return; ``device`` is a torch device string.
    """

    @property
    def dim(self) -> int:
        """Number of feature columns, known before the first clip."""
        ...

    def extract(self, batch: Sequence[Sample]) -> Sequence[Features | Missing | Failure]:
        """One answer per sample, in order.

        A clip's features do not depend on what else is in the batch: padding never leaks. If the
        whole call raises, the engine bisects the batch to find the clip that caused it.
        """
        ...


@runtime_checkable
class StreamExtractor(Extractor, Protocol):
    """An extractor that prefers to see all clips in one pass (layer by layer, say)."""

    def extract_stream(self, samples: Iterator[Sample]) -> Iterator[tuple[str, Features | Missing | Failure]]:
        """Yield ``(sample id, answer)`` for every sample, in any order.

        A class with an attribute ``tell`` finds a function there, to be called with a few words on how far
        it is where answers are long in coming; they are shown beside the progress.
        """
        ...


@runtime_checkable
class SupervisedExtractor(Extractor, Protocol):
    """An extractor that learns from labels. The workflow fits one per fold, on its training part.

    A class with an attribute ``summary`` (JSON-able facts, set by ``fit``) has it shown and saved beside the state.
    """

    def fit(self, samples: Sequence[Sample], supervision: Supervision) -> Mapping[str, NDArray[Any]]:
        """Learn, and return the state that :meth:`restore` needs, as named arrays.

        ``samples`` are decoded when they are asked for, in any order, as often as wanted; the workflow keeps
        what was decoded on disk as far as there is room.
        """
        ...

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Put a fitted state back. Called often: one instance serves the states of all folds in turn."""
        ...


@runtime_checkable
class Deriver(Protocol):
    """Makes a stored artefact that extractors read. ``__init__(options, device)`` as above."""

    def derive(self, batch: Sequence[Sample]) -> Sequence[Derived | Missing | Failure]:
        """One answer per sample, in order."""
        ...


@runtime_checkable
class Fusion(Protocol):
    """Builds a module over streams. ``__init__(options)``."""

    def build(self, streams: Mapping[str, StreamInfo], targets: TargetSpec) -> nn.Module:
        """A module with ``forward(x, mask) -> FusionOutput``.

        ``x`` maps a stream name to [B, D] (clip level) or [B, T, D] (frame level; T may differ from
        stream to stream); ``mask`` maps it to bool [B] or [B, T], False where the stream is absent.
        Values behind a False, NaN included, change no output and no gradient (``clear_input`` and its
        kin in :mod:`mer_core.plugin` do this for you).
        Module keys never derive from stream names.
        """
        ...


class TrainingData(Protocol):
    """What a trainer receives: N clips, never one of the test split."""

    @property
    def ids(self) -> tuple[str, ...]:
        """[N] clip ids."""
        ...

    @property
    def targets(self) -> TargetSpec:
        """What is to be predicted."""
        ...

    @property
    def labels(self) -> NDArray[np.int64]:
        """[N], index into ``targets.classes``; -1 where unlabelled."""
        ...

    @property
    def votes(self) -> NDArray[np.float64] | None:
        """[N, C] shares of raters who chose each class, NaN rows where nobody voted; None where there are none."""
        ...

    @property
    def values(self) -> NDArray[np.float64] | None:
        """[N, V] continuous targets, NaN where unknown; None where ``targets.values`` is empty."""
        ...

    @property
    def groups(self) -> tuple[str, ...] | None:
        """[N] speaker (or other group) of each clip, "" where unknown; None where all are."""
        ...

    @property
    def folds(self) -> tuple[Fold, ...]:
        """Empty: train one model on everything labelled."""
        ...

    @property
    def streams(self) -> Mapping[str, StreamInfo]:
        """What there is, by stream name, in saved order."""
        ...

    def features(self, stream: str, fold: int | None) -> StreamData:
        """All N clips of ``stream`` as fold ``fold`` sees them (supervised extractors differ)."""
        ...


class Model(Protocol):
    """A fitted model: predicts, saves itself and says how it was trained."""

    targets: TargetSpec
    streams: Mapping[str, StreamInfo]
    summary: Mapping[str, Any]
    """JSON-able facts for the report, each of which may be left out.

    ``contaminated`` (true if members learnt what they could only know from clips that others hold out),
    ``selection`` (how what is kept was chosen: ``last``, ``inner``, ``val`` ...), ``optimistic`` (true if
    scored clips had a part in that), ``parameters``, ``epochs``, ``steps``, ``members``, ``curves`` per fold,
    ``imputed`` cells by stream, ``temperatures``, ``notes`` and ``options``.
    """

    def predict(self, features: Mapping[str, StreamData], fold: int | None = None) -> NDArray[np.float64]:
        """Probabilities [N, C]: of the ensemble, or of fold ``fold``'s member alone."""
        ...

    def logits(self, features: Mapping[str, StreamData], fold: int | None = None) -> NDArray[np.float64]:
        """Logits [N, C]; their mean over members is the ensemble's.

        Where supervised extractors make features that differ by fold, a workflow asks each member with
        its own features and averages.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write safetensors and JSON into ``folder``."""
        ...


@runtime_checkable
class ValueModel(Model, Protocol):
    """A model that also predicts continuous targets."""

    def predict_values(self, features: Mapping[str, StreamData], fold: int | None = None) -> NDArray[np.float64]:
        """[N, V] in the order of ``targets.values``: the mean over members, or that of fold ``fold`` alone."""
        ...


class Trainer(Protocol):
    """Fits a fusion. ``__init__(options, device)``.

    An instance with an attribute ``folder`` finds a folder there when ``fit`` is called, or None: the place for
    checkpoints. It is the same again when a run that was killed is repeated, with the same data, options and seed,
    and no other training's. Whoever runs the trainer removes it in the end.
    """

    def fit(self, fusion: Fusion, data: TrainingData, seed: int, progress: Progress | None = None) -> Model:
        """Train one member per fold (or one on everything) and return the model."""
        ...

    def load(self, folder: Path, fusion: Fusion) -> Model:
        """Read back what :meth:`Model.save` wrote."""
        ...


@runtime_checkable
class CheckingTrainer(Trainer, Protocol):
    """A trainer that can tell beforehand, from streams and targets alone, that its options cannot work."""

    def check_fit(self, module: nn.Module, streams: Mapping[str, StreamInfo], targets: TargetSpec) -> None:
        """Return if :meth:`fit` may be tried. Called before anything is extracted, and for plans.

        ``module`` is what the fusion builds over ``streams``, all that were chosen, whose widths may be guesses. Data
        that come later may lack some of them.

        Raises:
            MerError: options cannot work for these streams and targets, or with this module.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One of many ways to train that are tried: a fusion, and options of the trainer.

    ``folds`` are the numbers of the folds that are trained, None for all of them; ``share`` of the epochs that these
    options ask for is trained, with the whole schedule of the learning rate in it.
    """

    fusion: Fusion
    options: Any
    folds: tuple[int, ...] | None = None
    share: float = 1.0


@runtime_checkable
class TrialTrainer(Trainer, Protocol):
    """A trainer that prefers to be given many trials at once; others get one after the other."""

    def fit_trials(
        self, trials: Sequence[Trial], data: TrainingData, seed: int, progress: Progress | None = None
    ) -> Iterator[tuple[int, Model | DataError]]:
        """Yield ``(place of the trial, model)`` for every trial as it is done, in any order.

        Member k of a model is that of fold ``trial.folds[k]``, trained as :meth:`fit` of a trainer with the trial's
        options would train it, up to rounding. A trial that cannot be trained yields the error.
        """
        ...


class Dataset(Protocol):
    """A data set known by name. ``__init__(options)``."""

    def prepare(self, folder: Path, progress: Progress | None = None) -> Path:
        """Make or find the data below ``folder``; return the manifest. Idempotent."""
        ...


__all__ = [
    "CheckingTrainer",
    "Clip",
    "Dataset",
    "Deriver",
    "Extractor",
    "Fusion",
    "Model",
    "Progress",
    "StreamExtractor",
    "SupervisedExtractor",
    "Trainer",
    "TrainingData",
    "Trial",
    "TrialTrainer",
    "ValueModel",
]
