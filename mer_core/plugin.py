"""Everything a plugin is written with, in one import.

>>> from mer_core.plugin import AudioInput, ExtractorSpec, Features, Missing, Options, Sample, hookimpl

A module with specs imports in milliseconds: what needs pydantic (options), numpy (array types) or
torch (presence) is imported when it is used. Beside this module a plugin may use :mod:`mer_core.media`,
:mod:`mer_core.pooling`, :mod:`mer_core.modality_dropout` and, in its tests, :mod:`mer_core.testing`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from mer_core.content import content_digest
from mer_core.errors import (
    DataError,
    EnvironmentProblem,
    FusionError,
    MediaError,
    MerError,
    MissingPackageError,
    MissingWeightsError,
    OptionError,
    PluginError,
    TooLittleDataError,
    UsageError,
)
from mer_core.events import FeaturesReady, FoldFinished, RunFinished, RunStarted
from mer_core.feature_set import FeatureSet, Fold, FusionOutput, Head, StreamData, StreamInfo, Supervision, TargetSpec
from mer_core.hookspecs import hookimpl
from mer_core.inputs import AudioInput, DerivedInput, FramesInput, Input, TextInput
from mer_core.protocols import (
    CheckingTrainer,
    Dataset,
    Deriver,
    Extractor,
    Fusion,
    Model,
    Progress,
    StreamExtractor,
    SupervisedExtractor,
    Trainer,
    TrainingData,
    Trial,
    TrialTrainer,
    ValueModel,
)
from mer_core.spec import (
    API_VERSION,
    DatasetSpec,
    DeriverSpec,
    ExtractorSpec,
    FusionSpec,
    PluginSpec,
    PresetSpec,
    ProtocolSpec,
    TrainerSpec,
    Weights,
)
from mer_core.types import Audio, Clip, Derived, Failure, Features, Frames, FrameStream, Missing, Sample, Text
from mer_core.uploads import Outlook

if TYPE_CHECKING:
    from pydantic import Field

    from mer_core.aliases import BoolArray, FloatArray, ImageArray, IntArray
    from mer_core.frames import as_level, frames_of, pad_clips, take_clips
    from mer_core.options import NoOptions, Options
    from mer_core.presence import Absent, clear_hidden, clear_input, clear_weights

_LAZY = {
    "BoolArray": "mer_core.aliases",
    "Field": "pydantic",
    "FloatArray": "mer_core.aliases",
    "ImageArray": "mer_core.aliases",
    "IntArray": "mer_core.aliases",
    "NoOptions": "mer_core.options",
    "Options": "mer_core.options",
    "Absent": "mer_core.presence",
    "clear_hidden": "mer_core.presence",
    "clear_input": "mer_core.presence",
    "clear_weights": "mer_core.presence",
    "as_level": "mer_core.frames",
    "frames_of": "mer_core.frames",
    "pad_clips": "mer_core.frames",
    "take_clips": "mer_core.frames",
}

__all__ = [
    "API_VERSION",
    "Absent",
    "Audio",
    "AudioInput",
    "BoolArray",
    "CheckingTrainer",
    "Clip",
    "DataError",
    "Dataset",
    "DatasetSpec",
    "Derived",
    "DerivedInput",
    "Deriver",
    "DeriverSpec",
    "EnvironmentProblem",
    "Extractor",
    "ExtractorSpec",
    "Failure",
    "FeatureSet",
    "Features",
    "FeaturesReady",
    "Field",
    "FloatArray",
    "Fold",
    "FoldFinished",
    "FrameStream",
    "Frames",
    "FramesInput",
    "Fusion",
    "FusionError",
    "FusionOutput",
    "FusionSpec",
    "Head",
    "ImageArray",
    "Input",
    "IntArray",
    "MediaError",
    "MerError",
    "Missing",
    "MissingPackageError",
    "MissingWeightsError",
    "Model",
    "NoOptions",
    "OptionError",
    "Options",
    "Outlook",
    "PluginError",
    "PluginSpec",
    "PresetSpec",
    "Progress",
    "ProtocolSpec",
    "RunFinished",
    "RunStarted",
    "Sample",
    "StreamData",
    "StreamExtractor",
    "StreamInfo",
    "SupervisedExtractor",
    "Supervision",
    "TargetSpec",
    "Text",
    "TextInput",
    "TooLittleDataError",
    "Trainer",
    "TrainerSpec",
    "TrainingData",
    "Trial",
    "TrialTrainer",
    "UsageError",
    "ValueModel",
    "Weights",
    "as_level",
    "clear_hidden",
    "clear_input",
    "clear_weights",
    "content_digest",
    "frames_of",
    "hookimpl",
    "pad_clips",
    "take_clips",
]


if not TYPE_CHECKING:  # a type checker that sees it would take any misspelt name

    def __getattr__(name: str) -> object:
        """Import the heavier names when they are first used."""
        if name not in _LAZY:
            raise AttributeError(f"module 'mer_core.plugin' has no attribute {name!r}")
        return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
