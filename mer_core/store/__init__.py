"""The feature store: content digests in, features and derived artefacts out, safe to kill at any time."""

from mer_core.store.store import FeatureStore, Pruned, TableInfo
from mer_core.store.table import Table
from mer_core.store.writer import ShardLimits, TableWriter

__all__ = ["FeatureStore", "Pruned", "ShardLimits", "Table", "TableInfo", "TableWriter"]
