"""The names of the splits, and what other data sets call them."""

from __future__ import annotations

from collections.abc import Mapping

UNUSED_LABEL_SPLIT = "unlabelled"
"""Clips of this split are predicted and never learnt from, whatever label they carry."""

_SPELLINGS: Mapping[str, str] = {
    "train": "train",
    "training": "train",
    "trn": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "devel": "val",
    "test": "test",
    "testing": "test",
    "unlabelled": "unlabelled",
    "unlabeled": "unlabelled",
}


def read_split(text: str) -> str | None:
    """One of :data:`mer_core.types.SPLITS` for ``text`` in any case or usual spelling, else None."""
    return _SPELLINGS.get(text.strip().casefold())
