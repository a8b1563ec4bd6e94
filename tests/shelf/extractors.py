"""Extractors, good and broken. ``caught_by`` names the one check that has to fail."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mer_core.plugin import (
    Audio,
    AudioInput,
    ExtractorSpec,
    Features,
    FloatArray,
    FramesInput,
    Input,
    Missing,
    NoOptions,
    Sample,
    Supervision,
    TextInput,
)
from shelf import Shelf
from shelf.faults import FAULTS, STEP, SoundPlugin
from shelf.heavy import HeavyShelf

RATE = 4000


class Sound(SoundPlugin):
    """Frame level, one row per 50 ms."""

    inputs: ClassVar[dict[str, Input]] = {"audio": AudioInput(RATE)}
    level = "frame"
    supervised = False
    dim: Any = 3

    def extract(self, batch: Sequence[Sample]) -> list[Any]:
        return self.answers(batch)

    def answer(self, audio: Audio) -> Any:
        rows = self.measure(audio.samples, audio.rate)
        return Features(rows, self.times(len(rows)))

    def times(self, count: int) -> NDArray[np.float64]:
        return (np.arange(count) + 0.5) * STEP


class Mean(Sound):
    """Clip level: the mean row."""

    level = "clip"

    def answer(self, audio: Audio) -> Any:
        return Features(self.measure(audio.samples, audio.rate).mean(axis=0))


class Absent(Sound):
    caught_by = "starts"

    def answer(self, audio: Audio) -> Any:
        return Missing("no speech")


class Untyped(Sound):
    caught_by = "starts"

    def answer(self, audio: Audio) -> Any:
        return self.measure(audio.samples, audio.rate)


class Tensors(Sound):
    """Values are a tensor."""

    caught_by = "starts"

    def answer(self, audio: Audio) -> Any:
        import torch

        found = super().answer(audio)
        return Features(torch.from_numpy(found.values), found.times)  # type: ignore[arg-type]


class TensorTimes(Tensors):
    """Times are a tensor."""

    def answer(self, audio: Audio) -> Any:
        import torch

        found = Sound.answer(self, audio)
        return Features(found.values, torch.from_numpy(found.times))


class Yielding(Sound):
    """Answers one by one."""

    caught_by = "starts"

    def extract(self, batch: Sequence[Sample]) -> Any:
        return iter(self.answers(batch))


class Wide(Sound):
    caught_by = "dimension"
    dim = 4


class Late(Sound):
    """Knows its dimension only after the first clip."""

    caught_by = "dimension"
    dim = None

    def answer(self, audio: Audio) -> Any:
        self.dim = 3
        return super().answer(audio)


class Dimensionless(Sound):
    """Has no dim at all."""

    caught_by = "dimension"

    @property
    def dim(self) -> int:
        raise AttributeError("'Dimensionless' object has no attribute 'dim'")


class Flat(Sound):
    """Says clip and gives frames."""

    caught_by = "dimension"
    level = "clip"


class Listed(Sound):
    """Gives lists instead of arrays."""

    caught_by = "dimension"

    def answer(self, audio: Audio) -> Any:
        found = super().answer(audio)
        return Features(found.values.tolist(), found.times)


class Milliseconds(Sound):
    caught_by = "times"

    def times(self, count: int) -> NDArray[np.float64]:
        return 1000 * super().times(count)


class Minutes(Sound):
    caught_by = "times"

    def times(self, count: int) -> NDArray[np.float64]:
        return super().times(count) / 60


class Numbers(Sound):
    caught_by = "times"

    def times(self, count: int) -> NDArray[np.float64]:
        return np.arange(float(count))


class Backwards(Sound):
    caught_by = "times"

    def times(self, count: int) -> NDArray[np.float64]:
        return super().times(count)[::-1]


class Batched(Mean):
    """Pads a batch to its longest clip and leaves the padding out of the mean."""

    def answers(self, batch: Sequence[Sample]) -> list[Any]:
        sounds = [sample.audio().samples for sample in batch]
        longest = max(map(len, sounds))
        rows = [self.measure(np.pad(sound, (0, longest - len(sound))), RATE) for sound in sounds]
        size = round(STEP * RATE)
        return [Features(self.mean(r, max(1, len(s) // size))) for r, s in zip(rows, sounds, strict=True)]

    def mean(self, rows: FloatArray, count: int) -> FloatArray:
        return rows[:count].mean(axis=0)


class Leaking(Batched):
    """Averages over the padding of the batch, too."""

    caught_by = "batch-invariance"

    def mean(self, rows: FloatArray, count: int) -> FloatArray:
        return rows.mean(axis=0)


class Unguarded(Batched):
    """Counts frames of the padded batch as if each clip had a window's worth of sound."""

    caught_by = "batch-invariance"

    def answers(self, batch: Sequence[Sample]) -> list[Any]:
        size = round(STEP * RATE)
        if len(batch) == 1 and len(batch[0].audio().samples) < size // 2:
            raise ValueError("negative number of frames")
        return super().answers(batch)

    def mean(self, rows: FloatArray, count: int) -> FloatArray:
        return rows[:count].mean(axis=0)


class Overlapping(Sound):
    """Smooths frames over time, and at the ends over the padding of the batch."""

    caught_by = "batch-invariance"

    def answers(self, batch: Sequence[Sample]) -> list[Any]:
        sounds = [sample.audio().samples for sample in batch]
        longest = max(map(len, sounds))
        return [self.smooth(np.pad(sound, (0, longest - len(sound))), len(sound)) for sound in sounds]

    def smooth(self, padded: FloatArray, length: int) -> Features:
        rows = np.pad(self.measure(padded, RATE), ((1, 1), (0, 0)), mode="edge")
        count = max(1, length // round(STEP * RATE))
        smooth = (rows[:-2] + rows[1:-1] + rows[2:])[:count] / 3
        return Features(smooth.astype(np.float32), self.times(count))


class Windowed(Sound):
    """Pads short clips to a window of half a second, and answers for all of it."""

    caught_by = "short"

    def measure(self, samples: FloatArray, rate: int) -> FloatArray:
        return super().measure(np.pad(samples, (0, max(0, rate // 2 - len(samples)))), rate)


class Padded(Mean):
    """Pads to a multiple of ten seconds and averages the padding in, as MERTools' HuBERT features do."""

    caught_by = "padding"
    piece = 10

    def measure(self, samples: FloatArray, rate: int) -> FloatArray:
        return super().measure(np.pad(samples, (0, self.missing(len(samples), self.piece * rate))), rate)

    def missing(self, count: int, piece: int) -> int:
        return -count % piece


class PaddedToFive(Padded):
    piece = 5


class Fixed(Padded):
    """Pads everything to half a minute."""

    piece = 30

    def missing(self, count: int, piece: int) -> int:
        return max(0, piece - count)


class Trimmed(Padded):
    """The good twin of the padded ones: what was padded is cut off again."""

    caught_by = ""

    def measure(self, samples: FloatArray, rate: int) -> FloatArray:
        return super().measure(samples, rate)[: max(1, len(samples) // round(STEP * rate))]


class Stretched(Padded):
    """Frame level: the frames of sound and padding are spread over the clip."""

    level = "frame"

    def answer(self, audio: Audio) -> Any:
        rows = self.measure(audio.samples, audio.rate)
        return Features(rows, np.linspace(0, audio.duration, len(rows)))


class Positioned(Sound):
    """A layer of attention over log spectra, normalised per clip, with absolute positions; pads nothing."""

    dim = 8
    seed: ClassVar[int] = 0

    def measure(self, samples: FloatArray, rate: int) -> FloatArray:
        size = round(STEP * rate)
        whole = samples[: max(1, len(samples) // size) * size]
        frames = np.pad(whole, (0, -len(whole) % size)).reshape(-1, size)
        power = np.abs(np.fft.rfft(frames * np.hanning(size)))[:, :100].reshape(len(frames), 20, 5).mean(axis=2) ** 2
        bands = np.log(power + 1e-8)
        bands = (bands - bands.mean(axis=0)) / (bands.std(axis=0) + 1e-5)
        return self.layer(bands).astype(np.float32)

    def layer(self, bands: NDArray[np.float64]) -> NDArray[np.float64]:
        """[T, 20] -> [T, 8]."""
        draw, width = np.random.default_rng(self.seed), self.dim
        angles = np.arange(len(bands))[:, None] / 10_000 ** (np.arange(0, width, 2) / width)
        hidden = bands @ draw.normal(size=(20, width)) / 20**0.5 + np.concatenate([np.sin(angles), np.cos(angles)], 1)
        query, key, value, out = draw.normal(size=(4, width, width)) / width**0.5
        scores = (hidden @ query) @ (hidden @ key).T / width**0.5
        attention = np.exp(scores - scores.max(axis=1, keepdims=True))
        hidden = hidden + attention / attention.sum(axis=1, keepdims=True) @ (hidden @ value)
        hidden = hidden + np.maximum(hidden @ out, 0)
        return (hidden - hidden.mean(axis=1, keepdims=True)) / hidden.std(axis=1, keepdims=True)


POSITIONED: tuple[type[Sound], ...] = tuple(
    type(f"Positioned{seed}", (Positioned,), {"__module__": __name__, "seed": seed}) for seed in range(1, 8)
)
"""The same with other weights."""


class PaddedPositions(Positioned):
    """The same on clips that are padded to twelve seconds before."""

    caught_by = "padding"
    level = "clip"

    def answer(self, audio: Audio) -> Any:
        return Features(self.measure(audio.samples, audio.rate).mean(axis=0))

    def measure(self, samples: FloatArray, rate: int) -> FloatArray:
        return super().measure(np.pad(samples, (0, max(0, 12 * rate - len(samples)))), rate)


class Logarithmic(Sound):
    caught_by = "finite"

    def measure(self, samples: FloatArray, rate: int) -> FloatArray:
        with np.errstate(divide="ignore"):
            return np.log(super().measure(samples, rate))


class Streaming(Sound):
    """Answers in one pass, backwards."""

    def extract_stream(self, samples: Iterator[Sample]) -> Iterator[tuple[str, Any]]:
        held = [(sample.id, self.answer(sample.audio())) for sample in samples]
        yield from reversed(self.changed(held))

    def changed(self, answers: list[Any]) -> list[Any]:
        return answers


class Repeating(Streaming):
    caught_by = "stream"

    def changed(self, answers: list[Any]) -> list[Any]:
        return [answers[1], *answers]


class Dropping(Streaming):
    caught_by = "stream"

    def changed(self, answers: list[Any]) -> list[Any]:
        return answers[1:]


class Differing(Streaming):
    caught_by = "stream"

    def changed(self, answers: list[Any]) -> list[Any]:
        return [(name, Features(found.values * 1.1, found.times)) for name, found in answers]


class Learning(Mean):
    """Nearness to the mean of each class, with a little seeded noise."""

    supervised = True

    def fit(self, samples: Sequence[Sample], supervision: Supervision) -> Mapping[str, NDArray[Any]]:
        rows = np.stack([Mean.answer(self, sample.audio()).values for sample in samples])
        labels = supervision.labels
        self.centres = np.stack([rows[labels == label].mean(axis=0) for label in range(3) if (labels == label).any()])
        self.noise = self.random(supervision.seed).normal(0, 0.1, 3)
        return self.state()

    def random(self, seed: int) -> np.random.Generator:
        return np.random.default_rng(seed)

    def state(self) -> dict[str, NDArray[Any]]:
        return {"centres": self.centres, "noise": self.noise}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        self.centres, self.noise = state["centres"], state["noise"]

    def answer(self, audio: Audio) -> Any:
        row = super().answer(audio).values
        return Features((row + np.abs(self.centres - row).sum(axis=0) + self.noise).astype(np.float32))


class Amnesiac(Learning):
    """Its state lacks a part."""

    caught_by = "restore"

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        self.centres, self.noise = state["centres"], np.zeros(3)


class Unseeded(Learning):
    caught_by = "restore"

    def random(self, seed: int) -> np.random.Generator:
        return np.random.default_rng()


class Listing(Learning):
    """Its state is no set of arrays."""

    caught_by = "restore"

    def state(self) -> dict[str, Any]:
        return {"centres": self.centres, "noise": list(self.noise)}


class Words(Mean):
    """Clip level: which characters a text has."""

    inputs: ClassVar[dict[str, Input]] = {"text": TextInput()}

    def answers(self, batch: Sequence[Sample]) -> list[Any]:
        return [Features(self.count(sample.text().content)) for sample in batch]

    def count(self, text: str) -> FloatArray:
        found = np.zeros(3, np.float32)
        for letter in text:
            found[self.column(letter)] += 1
        return found / max(1, len(text))

    def column(self, letter: str) -> int:
        return blake2b(letter.encode(), digest_size=1).digest()[0] % 3


class Salted(Words):
    """Hashes with Python's own hash, which is another one in every process."""

    caught_by = "spawned"

    def column(self, letter: str) -> int:
        return hash(letter) % 3


class Wordless(Words):
    """Takes the last character, whether there is one or not."""

    caught_by = "silence"

    def count(self, text: str) -> FloatArray:
        return super().count(text) + (text.strip("…！？ .")[-1] == ".")


class Pictures(Mean):
    """Clip level: the mean colour of faces."""

    inputs: ClassVar[dict[str, Input]] = {"frames": FramesInput(fps=5, faces=True, size=32)}

    def answers(self, batch: Sequence[Sample]) -> list[Any]:
        return [Features(self.colour(sample.frames().images)) for sample in batch]

    def colour(self, images: Any) -> FloatArray:
        found: FloatArray = images.mean(axis=(0, 1, 2)).astype(np.float32)
        return found


class PaddedPictures(Pictures):
    """Pads to a multiple of sixteen frames, as video transformers want it, and averages the padding in."""

    caught_by = "padding"

    def colour(self, images: Any) -> FloatArray:
        return super().colour(np.pad(images, ((0, -len(images) % 16), (0, 0), (0, 0), (0, 0))))


GOOD: tuple[type[Sound], ...] = (Sound, Mean, Batched, Trimmed, Streaming, Learning, Words, Pictures, Positioned)
OWN: tuple[type[Sound], ...] = (
    Absent, Untyped, Tensors, TensorTimes, Yielding, Wide, Late, Dimensionless, Flat, Listed, Milliseconds,
    Minutes, Numbers, Backwards, Leaking, Unguarded, Overlapping, Windowed, Padded, PaddedToFive, Fixed, Stretched,
    Logarithmic, Repeating, Dropping, Differing, Amnesiac, Unseeded, Listing, Salted, Wordless,
    PaddedPictures, PaddedPositions,
)  # fmt: skip
MIXED: tuple[type[Sound], ...] = tuple(
    type(fault.__name__ + "Sound", (fault, Sound), {"__module__": __name__}) for fault in FAULTS
)
globals().update({made.__name__: made for made in (*MIXED, *POSITIONED)})


def spec_of(made: type[Sound]) -> ExtractorSpec:
    """What ``made`` declares, under its own name in lower case."""
    wanted = made.options_class
    return ExtractorSpec(
        name=made.__name__.lower(),
        target=f"{__name__}:{made.__name__}",
        options="" if wanted is NoOptions else f"{wanted.__module__}:{wanted.__name__}",
        modality="test",
        inputs=made.inputs,
        level=made.level,
        per_thread=True,
        supervised=made.supervised,
    )


BROKEN: dict[str, str] = {made.__name__.lower(): made.caught_by for made in (*OWN, *MIXED)}
"""Name -> the check that has to catch it."""

SHELF = Shelf(*[spec_of(made) for made in (*GOOD, *POSITIONED, *OWN, *MIXED)])
HEAVY = HeavyShelf(ExtractorSpec(name="heavy", target=f"{__name__}:Sound", modality="test", inputs=Sound.inputs))
