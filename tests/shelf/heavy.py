"""A module that lists specs and imports numpy for nothing."""

from __future__ import annotations

import numpy

from shelf import Shelf

__all__ = ["HeavyShelf", "numpy"]


class HeavyShelf(Shelf):
    """Like its parent, but of this module."""
