"""One run as data: which clips, streams, fusion, trainer and folds. Saved fully resolved as TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mer_core.errors import DataError, UsageError
from mer_core.feature_set import stream_order
from mer_core.files import write_text
from mer_core.frame_pooling import PATTERN
from mer_core.uploads import unpermitted

CONFIG_SCHEMA = 1
NULL = "null"
"""How a config file writes None, for which TOML has no word."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PluginChoice(_Part):
    """A plugin by registry name, with all its options."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)


class StreamChoice(_Part):
    """One stream: its extractor, the extractor's options and how frames become one vector, or a few frames."""

    extractor: str
    pooling: str = Field(default="mean_std", pattern=PATTERN)
    options: dict[str, Any] = Field(default_factory=dict)
    fitted: str = ""
    """Folder of ``mer finetune``, for a supervised extractor that is not to be fitted by the run."""


class DataChoice(_Part):
    """Where the clips are: a path, or the name of a data set plugin.

    ``features``: a feature table or folder, in place of extraction, whose arrays ``streams`` names by stream; it is the
    ``source`` too, unless that is a manifest with the labels. ``values`` and ``votes`` name columns, or arrays, of
    continuous targets and of raters' votes.
    """

    source: str = "sample"
    columns: dict[str, str] = Field(default_factory=dict)
    label_map: dict[str, str] = Field(default_factory=dict)
    options: dict[str, Any] = Field(default_factory=dict)
    features: str = ""
    streams: dict[str, str] = Field(default_factory=dict)
    pooling: str = Field(default="", pattern=rf"^$|{PATTERN}")
    """What the frames of a feature table become; empty to leave them as they are."""
    values: tuple[str, ...] = ()
    votes: tuple[str, ...] = ()


class FoldChoice(_Part):
    """How the labelled clips are split for cross-validation."""

    k: int | Literal["loo"] = 5
    kind: Literal["grouped", "shuffle"] = "grouped"
    group: str = "speaker"


class FittingChoice(_Part):
    """How supervised extractors are fitted, and what is left to predict with.

    ``crossfit``: ``fold`` fits one per fold, on its training part; ``nested`` gives the training clips, too, features
    of fits that did not see them, from ``inner`` parts of it; ``single`` fits one to everything labelled, as the paper
    did, and its score is contaminated. ``deploy``: ``folds`` keeps the members that were scored; ``refit`` fits one
    model more, to everything labelled, whose own score is not estimated.
    """

    crossfit: Literal["fold", "nested", "single"] = "fold"
    inner: int = Field(default=4, ge=2)
    deploy: Literal["folds", "refit"] = "folds"


class RunConfig(_Part):
    """Everything that decides the result of a run."""

    version: int = CONFIG_SCHEMA
    data: DataChoice = Field(default_factory=DataChoice)
    streams: dict[str, StreamChoice]
    derivers: dict[str, PluginChoice] = Field(default_factory=dict)
    transcribe: bool = False
    fusion: PluginChoice
    trainer: PluginChoice
    folds: FoldChoice = Field(default_factory=FoldChoice)
    fitting: FittingChoice = Field(default_factory=FittingChoice)
    transductive: bool = False
    """Clips of the test split count among the unlabelled ones that self-training learns from; their labels never do."""
    audit_labels: str = ""
    """Column with labels that are held back from training, to compare pseudo-labels with."""
    competition: bool = False
    """Train a model on each modality alone, too, to see whether the fusion makes less of it."""
    preset: str = "lite"
    protocol: str = ""
    seed: int = 0
    seeds: int = Field(default=1, ge=1)
    """Trainings, with the seeds ``seed``, ``seed + 1`` ..., over the same folds."""
    device: str = "auto"

    @property
    def training_seeds(self) -> tuple[int, ...]:
        """The seed of each training."""
        return tuple(range(self.seed, self.seed + self.seeds))

    @property
    def stream_names(self) -> tuple[str, ...]:
        """Streams that are extracted, or given by a feature table, in saved order."""
        return tuple(sorted({**self.streams, **self.data.streams}, key=stream_order))

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modalities of the streams, in saved order."""
        return tuple(dict.fromkeys(name.partition(":")[0] for name in self.stream_names))


def read_config(file: Path | None) -> dict[str, Any]:
    """The contents of a config file (empty for None), its top-level keys checked.

    Raises:
        UsageError, DataError: not there, not TOML, another version, an unknown key.
    """
    if file is None:
        return {}
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"there is no config file {file}.", "Give the path of a run's config.toml.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{file} is not TOML: {error}.", "Correct that line.") from None
    if found.get("version", CONFIG_SCHEMA) != CONFIG_SCHEMA:
        raise DataError(f"{file} has version {found['version']}; this mer reads {CONFIG_SCHEMA}.", "Make a new one.")
    unknown = sorted(set(found) - set(RunConfig.model_fields))
    if unknown:
        raise DataError(f"{file} has the unknown key {unknown[0]!r}.", f"Keys are {', '.join(RunConfig.model_fields)}.")
    cleaned: dict[str, Any] = _replace(unpermitted(found), NULL, None)
    return cleaned


def validate_config(values: Mapping[str, Any]) -> RunConfig:
    """A :class:`RunConfig` from plain data.

    Raises:
        UsageError: naming the key.
    """
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"config {where}: {first['msg'].lower()}.", "Correct it and run again.") from None


def write_config(config: RunConfig, file: Path) -> None:
    """Write ``config`` so that ``mer run --config FILE`` does the same run again; permissions are left out."""
    values = _replace(unpermitted(config.model_dump(mode="json")), None, NULL)
    write_text(file, tomli_w.dumps(values))


def _replace(value: Any, old: Any, new: Any) -> Any:
    """``value`` with every ``old`` in it replaced by ``new``."""
    if isinstance(value, dict):
        return {key: _replace(item, old, new) for key, item in value.items()}
    if isinstance(value, list):
        return [_replace(item, old, new) for item in value]
    return new if value == old else value
