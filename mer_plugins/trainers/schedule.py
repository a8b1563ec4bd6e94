"""How the learning rate goes on. Light: no torch."""

from __future__ import annotations

import math
from typing import Literal

Schedule = Literal["constant", "cosine", "linear", "step"]


def rate_factor(share: float, schedule: Schedule, warmup: float = 0.0) -> float:
    """What a base rate is multiplied by when ``share`` of all steps, in [0, 1), are done.

    It rises from zero in a line over the first ``warmup`` share of them; the schedule has the rest.
    """
    if share < warmup:
        return share / warmup
    left = (share - warmup) / (1 - warmup)
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * left))
    if schedule == "linear":
        return 1 - left
    if schedule == "step":
        return 0.1 ** int((left >= 0.5) + (left >= 0.75))
    return 1.0
