"""A plugin module that imports numpy where it lists its specs."""

from __future__ import annotations

import numpy as np
from shelf_plugin import Shelf

PI = np.pi


class HeavyShelf(Shelf):
    """Makes every mer command import numpy."""
