"""A feature table for a saved model: its streams by name, those that it lacks left out."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mer_core.config import DataChoice
from mer_core.data.array_files import open_arrays
from mer_core.engine import ExtractReport
from mer_core.errors import DataError, UsageError
from mer_core.feature_choice import Streams, stream_arrays
from mer_core.feature_set import FeatureSet
from mer_core.protocols import Model
from mer_core.workflows.features import UNLABELLED
from mer_core.workflows.given import feature_ids, given_streams
from mer_core.workflows.pipeline import Pipeline


def read_table(
    pipeline: Pipeline, file: str | Path, streams: Streams | None, columns: Mapping[str, str], packs: Path
) -> tuple[FeatureSet, ExtractReport, tuple[str, ...]]:
    """The clips of ``file`` as the model's streams, without labels; why clips lack streams; remarks.

    Raises:
        DataError: the file has none of the streams, or one is not as wide as in training.
        UsageError: a stream that the model does not have.
    """
    model, trained = pipeline.model, pipeline.config.data
    asked = trained.streams or {name: name for name in model.streams}
    asked = {name: array for name, array in asked.items() if name in model.streams}
    if streams is not None:
        asked, warnings = stream_arrays(streams), list[str]()
        _refuse_strange(asked, model)
    else:
        asked, warnings = _there(Path(file).expanduser(), asked)
    own = {"id": trained.columns["id"]} if trained.source == trained.features and "id" in trained.columns else {}
    choice = DataChoice(
        source=str(file), features=str(file), columns={**own, **columns}, streams=asked, pooling=trained.pooling
    )
    ids = feature_ids(choice)
    found = given_streams(choice, ids, packs)
    table = found.streams
    for name, data in table.items():
        if data.info.dim != model.streams[name].dim:
            what = (
                f"{file}, array {asked[name]!r}: {data.info.dim} columns; the model learnt {model.streams[name].dim}."
            )
            raise DataError(what, "Make it as it was made for training.")
    labels = np.full(len(ids), UNLABELLED, dtype=np.int64)
    features = FeatureSet(ids=ids, targets=model.targets, labels=labels, table=table)
    return features, found.report, (*warnings, *found.warnings)


def refuse_media(data: Sequence[str], window: float | None, pipeline: Pipeline, folder: Path) -> None:
    """Refuse a feature table beside media, or for a model that makes its features itself.

    Raises:
        UsageError: saying which.
    """
    if pipeline.config.streams:
        what = f"{folder} is the model of a run that makes its features from media."
        raise UsageError(what, "Give it media in place of --features.")
    if data or window is not None:
        beside = ", ".join(data) or "--window"
        raise UsageError(f"--features takes the place of media, and {beside} is there too.", "Leave out one of them.")


def _there(path: Path, asked: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The streams that the file has, and a remark on each of the others; all of them if it has none."""
    known = {one.name for one in path.iterdir()} if path.is_dir() else set(open_arrays(path).shapes)
    there = {stream: array for stream, array in asked.items() if array in known}
    absent = [array for array in asked.values() if array not in known]
    if not there:
        return dict(asked), []
    return there, [f"{path.name} has no {array}: every clip counts as without it" for array in absent]


def _refuse_strange(asked: Mapping[str, str], model: Model) -> None:
    for name in asked:
        if name not in model.streams:
            close = difflib.get_close_matches(name, list(model.streams), n=1)
            hint = f"Did you mean {close[0]!r}?" if close else f"Its streams are {', '.join(model.streams)}."
            raise UsageError(f"--streams: the model has no stream {name!r}.", hint)
