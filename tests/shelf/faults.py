"""Faults that extractors and derivers of sound have in common, each to be mixed into a good plugin.

``caught_by`` is the one check that has to fail.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import ConfigDict, FilePath

from mer_core.plugin import Audio, FloatArray, NoOptions, Options, Sample

STEP = 0.05
"""Seconds of a frame."""


class SoundPlugin:
    """Measures loudness, roughness and brightness of every 50 ms, clip by clip."""

    caught_by: ClassVar[str] = ""
    options_class: ClassVar[type[Options]] = NoOptions

    def __init__(self, options: Any, device: str) -> None:
        self.options = options

    def answers(self, batch: Sequence[Sample]) -> list[Any]:
        return [self.answer(sample.audio()) for sample in batch]

    def answer(self, audio: Audio) -> Any:
        raise NotImplementedError

    def measure(self, samples: FloatArray, rate: int) -> FloatArray:
        """Rows [T, 3] for every ``STEP`` seconds of ``samples``, at least one."""
        size = round(STEP * rate)
        whole = samples[: max(1, len(samples) // size) * size]
        frames = np.pad(whole, (0, -len(whole) % size)).reshape(-1, size)
        rough = np.abs(np.diff(frames, axis=1)).mean(axis=1)
        return np.stack([np.abs(frames).mean(axis=1), rough, frames.std(axis=1)], axis=1).astype(np.float32)


class UndescribedOptions(Options):
    """A field without a word about it."""

    gain: float = 1.0


class Undescribed(SoundPlugin):
    caught_by = "options"
    options_class = UndescribedOptions


class ForgivingOptions(Options):
    """Ignores what it does not know."""

    model_config = ConfigDict(extra="ignore")


class Forgiving(SoundPlugin):
    caught_by = "options"
    options_class = ForgivingOptions


class UnwritableOptions(Options):
    """Does not come back from JSON as it was."""

    bands: Any = frozenset({1, 2})
    """Bands to use."""


class Unwritable(SoundPlugin):
    caught_by = "options"
    options_class = UnwritableOptions


class StaleOptions(Options):
    """The content of the file stands for nothing."""

    weights: FilePath | None = Path(__file__)
    """A file of weights."""


class Stale(SoundPlugin):
    caught_by = "options"
    options_class = StaleOptions


class ObscureOptions(Options):
    """A fingerprint that cannot be stored."""

    def fingerprint(self) -> Mapping[str, Any]:
        return {"bands": {1, 2}}


class Obscure(SoundPlugin):
    caught_by = "options"
    options_class = ObscureOptions


class Unstartable(SoundPlugin):
    caught_by = "starts"

    def __init__(self, options: Any, device: str) -> None:
        raise FileNotFoundError("weights.bin")


class Raising(SoundPlugin):
    caught_by = "starts"

    def measure(self, samples: FloatArray, rate: int) -> FloatArray:
        raise RuntimeError("shapes do not match")


class Sorting(SoundPlugin):
    """Sorts by length, which makes batches quick, and forgets to sort back."""

    caught_by = "order"

    def answers(self, batch: Sequence[Sample]) -> list[Any]:
        return super().answers(sorted(batch, key=lambda sample: len(sample.audio().samples)))


class Reversing(SoundPlugin):
    caught_by = "order"

    def answers(self, batch: Sequence[Sample]) -> list[Any]:
        return super().answers(batch)[::-1]


class Forgetting(SoundPlugin):
    caught_by = "order"

    def answers(self, batch: Sequence[Sample]) -> list[Any]:
        return super().answers(batch)[:4]


class Levelling(SoundPlugin):
    """Divides by the peak of the batch instead of the clip's own."""

    caught_by = "batch-invariance"

    def answers(self, batch: Sequence[Sample]) -> list[Any]:
        peak = max(float(np.abs(sample.audio().samples).max()) for sample in batch) or 1.0
        return [self.answer(Audio(sample.audio().samples / peak, sample.audio().rate)) for sample in batch]


class Dividing(SoundPlugin):
    caught_by = "silence"

    def measure(self, samples: FloatArray, rate: int) -> FloatArray:
        return super().measure(samples, rate) / (1 / float(np.abs(samples).max()))


class Demanding(SoundPlugin):
    caught_by = "short"

    def measure(self, samples: FloatArray, rate: int) -> FloatArray:
        if len(samples) < rate // 10:
            raise ValueError("kernel size can't be greater than input size")
        return super().measure(samples, rate)


class Bounded(SoundPlugin):
    caught_by = "long"

    def measure(self, samples: FloatArray, rate: int) -> FloatArray:
        if len(samples) > 30 * rate:
            raise IndexError("index out of range in positional embedding")
        return super().measure(samples, rate)


class Noisy(SoundPlugin):
    caught_by = "determinism"

    def measure(self, samples: FloatArray, rate: int) -> FloatArray:
        return super().measure(samples + np.random.default_rng().normal(0, 0.01, len(samples)), rate)


class Adapting(SoundPlugin):
    """Subtracts a running mean of all clips so far."""

    caught_by = "determinism"
    mean: Any = 0.0

    def measure(self, samples: FloatArray, rate: int) -> FloatArray:
        rows = super().measure(samples, rate)
        self.mean = 0.9 * self.mean + 0.1 * rows.mean(axis=0)
        return np.asarray(rows - self.mean, np.float32)


class Drawing(SoundPlugin):
    """Weights are drawn anew for every instance."""

    caught_by = "determinism"

    def __init__(self, options: Any, device: str) -> None:
        super().__init__(options, device)
        self.weights = np.random.default_rng().normal(size=(3, 3)).astype(np.float32)

    def measure(self, samples: FloatArray, rate: int) -> FloatArray:
        return super().measure(samples, rate) @ self.weights


class Overwriting(SoundPlugin):
    caught_by = "inputs-unchanged"

    def measure(self, samples: FloatArray, rate: int) -> FloatArray:
        samples -= 0.5 * samples.mean() + 1e-4
        return super().measure(samples, rate)


class Sharing(SoundPlugin):
    """Instances share one buffer."""

    caught_by = "threads"
    buffer: ClassVar[list[FloatArray]] = []

    def measure(self, samples: FloatArray, rate: int) -> FloatArray:
        self.buffer[:] = [samples]
        time.sleep(0.005)
        return super().measure(self.buffer[0], rate)


class Hashing(SoundPlugin):
    """Depends on Python's hash of text, which every process salts anew."""

    caught_by = "spawned"

    def measure(self, samples: FloatArray, rate: int) -> FloatArray:
        return super().measure(samples, rate) + hash("voice") % 100_003


class Unprepared(SoundPlugin):
    """Works only where the tests have prepared it."""

    caught_by = "spawned"
    prepared: ClassVar[bool] = False

    def measure(self, samples: FloatArray, rate: int) -> FloatArray:
        if not self.prepared:
            raise RuntimeError("call prepare() first")
        return super().measure(samples, rate)


class Asking(SoundPlugin):
    """Asks a server for news each time it starts; none listens, and that is fine."""

    caught_by = "offline"

    def __init__(self, options: Any, device: str) -> None:
        super().__init__(options, device)
        with contextlib.suppress(ConnectionRefusedError, TimeoutError):
            socket.create_connection(("127.0.0.1", 9), timeout=1).close()


FAULTS: tuple[type[SoundPlugin], ...] = (
    Undescribed, Forgiving, Unwritable, Stale, Obscure, Unstartable, Raising, Sorting, Reversing, Forgetting, Levelling,
    Dividing, Demanding, Bounded, Noisy, Adapting, Drawing, Overwriting, Sharing, Hashing, Unprepared, Asking,
)  # fmt: skip
