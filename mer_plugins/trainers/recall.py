"""What is learnt of the same arrays again and again in the rounds of self-training, remembered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from mer_core.plugin import StreamData

_T = TypeVar("_T")


class Recall:
    """Answers by stream and rows, while ``active``; a stream that was asked about stays in memory until forgotten."""

    def __init__(self) -> None:
        self.active = False
        self.answers: dict[tuple[int, int, bytes], tuple[StreamData, Any]] = {}

    def __enter__(self) -> Recall:
        self.active = True
        return self

    def __exit__(self, *_: object) -> None:
        self.active = False
        self.answers.clear()

    def __call__(self, seen: StreamData, rows: NDArray[np.int64] | None, work: Callable[[], _T]) -> _T:
        """``work()``, or what it said of these arrays and ``rows`` before."""
        if not self.active:
            return work()
        key = id(seen.values), id(seen.present), b"" if rows is None else rows.tobytes()
        if key not in self.answers:
            self.answers[key] = seen, work()
        return cast("_T", self.answers[key][1])
