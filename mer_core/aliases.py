"""Array types that annotations use. Loads numpy; :mod:`mer_core.types` names them without."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]
ImageArray = NDArray[np.uint8]
