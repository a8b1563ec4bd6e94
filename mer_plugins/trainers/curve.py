"""How one member learnt, and when it has learnt enough."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor


@dataclass(slots=True)
class Curve:
    """Mean loss of every epoch, the score on the selection part where looked at, and the state that was best."""

    measure: str = "waf"
    train_loss: list[float] = field(default_factory=list)
    checked: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    chosen: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)
    stopped: int = 0

    def better(self, epoch: int, score: float, patience: int | None) -> bool:
        """Note a look after ``epoch``; whether it is the best so far. Too many in a row that are not: stopped."""
        best = not self.scores or score > max(self.scores)
        self.checked.append(epoch)
        self.scores.append(score)
        if best:
            self.chosen = epoch
        if patience is not None and len(self.scores) - 1 - int(np.argmax(self.scores)) >= patience:
            self.stopped = epoch
        return best

    def facts(self) -> dict[str, Any]:
        """JSON-able; epochs count from 1."""
        facts: dict[str, Any] = {"train_loss": self.train_loss, "chosen_epoch": self.chosen}
        if self.scores:
            scores = [round(score, 6) for score in self.scores]
            facts |= {"checked_epochs": self.checked, f"selection_{self.measure}": scores}
        return facts | ({"stopped_epoch": self.stopped} if self.stopped else {})
