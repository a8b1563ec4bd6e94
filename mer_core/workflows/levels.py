"""Streams at the level that a run's fusion reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mer_core.config import RunConfig
from mer_core.errors import DataError
from mer_core.feature_set import FeatureSet, StreamData
from mer_core.frames import as_level
from mer_core.levels import fusion_called, fusion_levels, vectors_wanted
from mer_core.registry import Catalogue


def fit_levels(features: FeatureSet, config: RunConfig, catalogue: Catalogue) -> FeatureSet:
    """``features`` as the fusion reads them: where it reads nothing but frames, a vector is a row of one.

    Raises:
        DataError: a stream has frames, and the fusion reads vectors.
    """
    levels = fusion_levels(catalogue, config.fusion.name)
    for name, info in features.streams.items():
        if info.level == "frame" and "frame" not in levels:
            called = fusion_called(catalogue, config.fusion.name)
            what = f"{name} has frames, and the fusion {called} reads one vector per clip."
            raise DataError(what, vectors_wanted(catalogue))
    if "clip" in levels:
        return features
    tables = {fold: _framed(table) for fold, table in features.fold_tables.items()}
    return replace(features, table=_framed(features.table), fold_tables=tables)


def _framed(table: Mapping[str, StreamData]) -> dict[str, StreamData]:
    return {name: as_level(data, replace(data.info, level="frame")) for name, data in table.items()}
