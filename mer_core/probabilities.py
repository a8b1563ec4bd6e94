"""From logits to probabilities. numpy only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Over classes: [..., C] to shares that add up to 1."""
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True, initial=-np.inf))
    found: NDArray[np.float64] = shares / shares.sum(axis=-1, keepdims=True)
    return found
