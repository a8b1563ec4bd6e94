"""A module that lists specs and imports numpy for nothing."""

from __future__ import annotations

import numpy

from shelf import Shelf
from shelf.listeners import Good

__all__ = ["HeavyListener", "HeavyShelf", "numpy"]


class HeavyShelf(Shelf):
    """Like its parent, but of this module."""


class HeavyListener(Good):
    """Like its parent, but of this module."""
