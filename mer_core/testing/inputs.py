"""Synthetic samples made from what a plugin declares, so that it can be examined without any media."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mer_core.catalogue import Catalogue, Entry
from mer_core.inputs import AudioInput, DerivedInput, FramesInput, Input, TextInput
from mer_core.testing import artefacts, pictures, sounds
from mer_core.testing.kit import NotApplicable
from mer_core.testing.words import ended
from mer_core.types import Audio, Derived, Frames, Missing, Sample, Text

if TYPE_CHECKING:
    from mer_core.aliases import FloatArray, ImageArray

FILM_FPS = 25.0
"""Frames per second of the synthetic video; no plugin gets more."""

WIDTH, HEIGHT = 160, 120
"""Pixels of its frames."""

CROP = 128
"""Pixels of a face crop where the plugin does not say."""

MOST_BYTES = 200 * 2**20
"""Pictures of one clip may take so much memory; a longer clip is cut there."""

KEPT = 7.0
"""Inputs of clips up to so many seconds are kept, to be copied the next time."""

Mood = Literal["lively", "steady", "half", "silent"]


class NoInput(NotApplicable):
    """A derived input of the plugin, ``artefact``, cannot be had; the message says why."""

    def __init__(self, artefact: str, reason: str) -> None:
        super().__init__(reason)
        self.artefact = artefact


@dataclass(frozen=True, slots=True)
class Scene:
    """What a synthetic clip shows.

    Args:
        seconds: its length.
        seed: another one, another voice, face and sentence.
        mood: ``lively``; ``steady``: any two stretches of it are alike; ``half``: the same, its second
            half silent and black; ``silent``: silent and black throughout.
        frames: exactly so many frames instead of those that ``seconds`` have, except for ``count`` inputs.
        text: said instead of what comes with ``seed``.
    """

    seconds: float = 3.0
    seed: int = 0
    mood: Mood = "lively"
    frames: int | None = None
    text: str | None = None

    def __str__(self) -> str:
        if self.text is not None and self.mood == "silent":
            return f"a silent clip with the text {self.text!r}"
        kind = {"lively": "ordinary", "half": "half silent"}.get(self.mood, self.mood)
        length = f"{self.frames} frame{'s' * (self.frames > 1)}" if self.frames else f"{self.seconds:g} s"
        return f"a clip of {length} ({kind}, seed {self.seed})"


@dataclass(frozen=True)
class Maker:
    """Makes samples for a plugin with ``inputs``; ``derived`` are stand-ins for derived inputs.

    Where there is none, an installed deriver makes them, with its own of ``deriver_options``; one of the
    distribution ``home`` goes first.

    Every sample has arrays of its own, so that a plugin that changes them harms nobody else.
    """

    catalogue: Catalogue
    inputs: Mapping[str, Input]
    derived: Mapping[str, Derived] = field(default_factory=dict)
    deriver_options: artefacts.Given = field(default_factory=dict)
    home: str = ""
    _made: dict[tuple[str, Scene], Any] = field(default_factory=dict)
    _derivers: dict[str, tuple[Entry, Any, Maker]] = field(default_factory=dict)

    @property
    def timed(self) -> bool:
        """Some input has a time axis: sound or pictures."""
        return any(isinstance(wanted, AudioInput | FramesInput) for wanted in self.inputs.values())

    def sample(self, scene: Scene, number: int = 0) -> Sample:
        """A clip that shows ``scene``.

        Raises:
            NoInput: a derived input cannot be had.
        """
        return Sample(f"clip-{number}", {name: self._copy(name, scene) for name in self.inputs})

    def _copy(self, name: str, scene: Scene) -> Any:
        if scene.seconds > KEPT:
            return self._make(self.inputs[name], scene)
        if (name, scene) not in self._made:
            self._made[name, scene] = self._make(self.inputs[name], scene)
        return duplicate(self._made[name, scene])

    def _make(self, wanted: Input, scene: Scene) -> Any:
        if isinstance(wanted, AudioInput):
            return Audio(sound(wanted.rate, scene), wanted.rate)
        if isinstance(wanted, TextInput):
            content, language = sounds.words(scene.seconds, scene.seed)
            return Text(content, language) if scene.text is None else Text(scene.text)
        if isinstance(wanted, FramesInput):
            frames = film(wanted, scene)
            return pictures.DrawnStream(frames.images, frames.times) if wanted.stream else frames
        return self._derive(wanted, scene)

    def _derive(self, wanted: DerivedInput, scene: Scene) -> Derived | Missing:
        if wanted.name in self.derived:
            return self.derived[wanted.name]
        try:
            return self._ask(wanted.name, scene)
        except NotApplicable as error:
            if wanted.optional:
                return Missing(str(error))
            raise NoInput(wanted.name, ended(str(error))) from error

    def _ask(self, name: str, scene: Scene) -> Derived:
        """What an installed deriver makes of ``scene``."""
        if name not in self._derivers:
            entry, made, inputs = artefacts.start(self.catalogue, name, self.deriver_options, self.home)
            inner = Maker(self.catalogue, inputs, self.derived, self.deriver_options, entry.distribution)
            self._derivers[name] = (entry, made, inner)
        entry, made, inner = self._derivers[name]
        who = f"{entry.full_name}, which makes {name!r},"
        try:
            sample = inner.sample(scene)
        except NotApplicable as error:
            raise NotApplicable(f"{who} cannot work: {error}") from error
        try:
            answer = made.derive([sample])[0]
        except (Exception, SystemExit) as error:
            raise artefacts.broken(entry, name, error) from error
        if isinstance(answer, Derived):
            return answer
        came = f"{type(answer).__name__}({getattr(answer, 'reason', '')!r})"
        raise NotApplicable(f"{who} answered {came} to {scene}")


def sound(rate: int, scene: Scene) -> FloatArray:
    """Mono sound float32 [N] of ``scene``."""
    count = max(1, round(scene.seconds * rate))
    if scene.mood == "silent":
        return np.zeros(count, np.float32)
    samples = sounds.voice(scene.seconds, rate, scene.seed, steady=scene.mood != "lively")
    if scene.mood == "half":
        samples[count // 2 :] = 0
    return samples


def film(wanted: FramesInput, scene: Scene) -> Frames:
    """Frames as ``wanted`` of ``scene``; face crops are drawn as such."""
    fps = min(wanted.fps or FILM_FPS, FILM_FPS)
    width, height = _size(wanted)
    most = max(1, MOST_BYTES // (width * height * 3))
    count = min(most, scene.frames or max(1, math.ceil(scene.seconds * fps - 1e-9)))
    times = np.arange(count) / fps
    if wanted.count is not None:
        times = (np.arange(wanted.count) + 0.5) * scene.seconds / wanted.count
        count, fps = wanted.count, wanted.count / scene.seconds
    images = _drawn(wanted, scene, count, fps, (width, height))
    quality = np.full(count, 0.9 if wanted.faces else 1.0, np.float32)
    return Frames(images, times.astype(np.float64), quality)


def _drawn(wanted: FramesInput, scene: Scene, count: int, fps: float, size: tuple[int, int]) -> ImageArray:
    if scene.mood == "silent":
        return np.zeros((count, size[1], size[0], 3), np.uint8)
    if wanted.faces:
        images = pictures.faces(count, size[0], scene.seed, fps)
    else:
        images = pictures.scene(count, *size, scene.seed, fps)
    if scene.mood == "half":
        images[count // 2 :] = 0
    return images


def _size(wanted: FramesInput) -> tuple[int, int]:
    """(width, height) in pixels."""
    if wanted.faces:
        return wanted.size or CROP, wanted.size or CROP
    width = min(WIDTH, wanted.max_side or WIDTH)
    return width, max(1, round(width * HEIGHT / WIDTH))


def duplicate(value: Any) -> Any:
    """``value`` with arrays of its own."""
    if isinstance(value, Audio):
        return Audio(value.samples.copy(), value.rate)
    if isinstance(value, Frames):
        return Frames(value.images.copy(), value.times.copy(), None if value.quality is None else value.quality.copy())
    if isinstance(value, Derived):
        return replace(value, arrays={name: array.copy() for name, array in value.arrays.items()})
    return value


def arrays_of(sample: Sample) -> dict[str, Any]:
    """All arrays that came with a sample, by a name to show."""
    found: dict[str, Any] = {}
    for name, value in sample.inputs.items():
        for part in ("samples", "images", "times", "quality", "arrays"):
            inner = getattr(value, part, None)
            many = inner if isinstance(inner, Mapping) else {part: inner}
            found |= {f"{name}.{key}": array for key, array in many.items() if isinstance(array, np.ndarray)}
    return found


def seconds_of(sample: Sample) -> float:
    """Length of the clip: to the end of its sound, or one frame past the last picture."""
    ends = [value.duration for value in sample.inputs.values() if isinstance(value, Audio)]
    for value in sample.inputs.values():
        times = getattr(value, "times", None)
        if times is not None and len(times):
            ends.append(float(times[-1]) + (float(times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else 0.0))
    return max(ends, default=0.0)
