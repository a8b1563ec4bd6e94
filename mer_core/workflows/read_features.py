"""A feature table as a feature set, for :func:`mer_core.fit` and notebooks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mer_core.config import DataChoice
from mer_core.feature_choice import Streams, with_features
from mer_core.feature_set import FeatureSet
from mer_core.frame_pooling import check_pooling
from mer_core.store import FeatureStore
from mer_core.target_choice import Names, with_targets
from mer_core.workflows.data import clip_groups, load_data
from mer_core.workflows.features import feature_set
from mer_core.workflows.given import given_streams
from mer_core.workflows.workspace import Workspace, open_workspace


def read_features(
    features: str | Path,
    streams: Streams,
    *,
    data: str | Path | None = None,
    labels: str | None = None,
    group: str | None = None,
    split: str | None = None,
    columns: Mapping[str, str] | None = None,
    label_map: Mapping[str, str] | None = None,
    values: Names | None = None,
    votes: Names | None = None,
    pooling: str | None = None,
    space: Workspace | None = None,
) -> FeatureSet:
    """Read a feature table (.npz, .parquet) or a folder of ``<feature>-UTT`` folders.

    Args:
        streams: its arrays, ``["audio", "video"]`` or ``"audio,video"``; or by stream, ``{"speech:hubert": "audio"}``.
        data: a manifest with the labels, joined by id; by default they are in the table.
        labels: the array, or column, of labels; ``group`` and ``split`` likewise, ``split="none"`` for no splits.
        columns: further ones: ``{"id": "name", "classes": "emotions"}``.

        values: arrays, or columns of ``data``, of continuous targets: ``["valence"]``; ``votes`` an array [N, C] of
            raters' votes to learn from, or columns of ``data``.
        pooling: what frames become, ``mean_std`` or ``frames:64`` say; by default they stay as they are.

    Raises:
        UsageError, DataError: naming the file, the array, the row and what to write instead.
    """
    source = {"source": str(features if data is None else data), "columns": dict(columns or {})}
    found = with_features(
        source, features=features, streams=streams, labels=labels, split=split, group=group, manifest=data is not None
    )
    targets = with_targets(found, values, votes)
    choice = DataChoice(**targets, label_map=dict(label_map or {}), pooling=check_pooling(pooling) if pooling else "")
    space = space or open_workspace()
    table = load_data(choice, space)
    given = given_streams(choice, [clip.id for clip in table.clips], FeatureStore(space.cache.features).packed)
    return feature_set(table, given.streams, clip_groups(table.clips, group or "speaker"))
