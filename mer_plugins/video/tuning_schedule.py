"""The learning rate of each step: linear warm-up, then a cosine that was counted from the start.

As timm's ``CosineLRScheduler`` without ``warmup_prefix``, which ViFi-CLIP uses (H. Rasheed et al., "Fine-tuned CLIP
models are efficient video learners", CVPR 2023).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

FLOOR = 0.01
"""The last learning rate as a share of the highest."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Rates of ``total`` steps, of which the first ``warmup`` rise from 0.

    The cosine does not begin where the warm-up ends: it falls from step 0 on, hidden below the warm-up.
    """

    lr: float
    total: int
    warmup: int

    def at(self, step: int) -> float:
        """The rate after ``step`` steps; 0 before the first where there is a warm-up, ``FLOOR * lr`` at the end."""
        if step < self.warmup:
            return self.lr * step / self.warmup
        low = self.lr * FLOOR
        if step >= self.total:
            return low
        return low + 0.5 * (self.lr - low) * (1 + math.cos(math.pi * step / self.total))
