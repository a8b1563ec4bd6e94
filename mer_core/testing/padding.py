"""The check ``padding``: does what a plugin pads its input with get into the features?

The fault looked for is that of the MER2024 baseline's speech features: sound over 10 s is padded with
zeros to a multiple of 10 s and the padding is averaged in, so that about half of what is averaged
over a clip of 10.2 s is padding. A stationary clip shows it: with its length, its mean features move
towards those of silence, and by how much follows from the lengths.

Features may well depend on the length of a steady clip where nothing is padded: absolute positions and
normalisation per clip do that. They move elsewhere, or otherwise than padding would.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mer_core.inputs import AudioInput, FramesInput
from mer_core.testing.bench import Bench, bench
from mer_core.testing.compare import pooled
from mer_core.testing.inputs import FILM_FPS, Scene
from mer_core.testing.kit import CheckFailed, NotApplicable, check, require
from mer_core.testing.subject import Subject
from mer_core.types import Features

if TYPE_CHECKING:
    from numpy.typing import NDArray

SECONDS = ((4.8, 4.95, 5.1, 5.25), (9.6, 9.9, 10.2, 10.5))
"""Lengths of sound around which models cut and pad."""

COUNTS = ((15, 16, 17, 18), (29, 30, 31, 32, 33, 34))
"""Likewise, numbers of frames."""

SHORTEST = (3.3, 11)
"""Seconds of sound and number of frames of the shortest clip that is held against a long one."""

SEED = 3
STEPS, SHARE, TOWARDS = 5.0, 0.2, 0.5
"""A step this many times the others, this share of what half silence does and with this cosine to it is a fault."""

FIT, SAME, GROWING = (0.5, 1.5), 0.9, 0.6
"""So is a move from a long clip to a short one that is so many times what padding to a fixed length makes
of it, with this cosine to what half silence does, and at least this share of it with a still shorter clip."""

REMEDY = "Cut the padded frames off, or mask them in the mean."

AUDIBLE = 0.05
"""Half silence changes the features by at least so much (in spreads), or nothing can be told."""


@dataclass(frozen=True, slots=True)
class Course:
    """How mean features change with the length of a stationary clip.

    ``shares`` [N] says for each of ``scenes`` how far its mean lies on the way from that of the
    longest scene to that of a clip which is silent half of the time: 0 there, 1 as far as half silence.
    ``means`` [N, D] are in spreads, ``way`` [D] leads from the last one to half silence.
    """

    scenes: tuple[Scene, ...]
    shares: NDArray[np.float64]
    means: NDArray[np.float64]
    way: NDArray[np.float64]

    def cosine(self, start: int, end: int) -> float:
        """Between the move from one scene's mean to another's and the way to half silence; 0 if nothing moves."""
        move = self.means[end] - self.means[start]
        size = float(np.linalg.norm(move) * np.linalg.norm(self.way))
        return float(move @ self.way) / size if size else 0.0


@check(needs=("determinism",), cure="cut the padded frames off, or mask them in the mean")
def padding(subject: Subject) -> None:
    """Padding is not averaged in: a steady clip does not look more silent the more is padded."""
    at = bench(subject)
    windows = lengths(at)
    courses = [found for window in windows if (found := course(at, window)) is not None]
    if not courses:
        raise NotApplicable("no features of steady clips to compare, or silence leaves no trace in them")
    for found in courses:
        _require_smooth(found)
    _require_undiluted(at, windows[0][-1], windows[1][1])


def lengths(at: Bench) -> list[tuple[Scene, ...]]:
    """The scenes to compare, shorter ones first.

    Raises:
        NotApplicable: the inputs have no length, or always the same one.
    """
    wanted = at.maker.inputs.values()
    if any(isinstance(one, AudioInput) for one in wanted):
        return [tuple(Scene(seconds, SEED, "steady") for seconds in window) for window in SECONDS]
    rates = [min(one.fps or FILM_FPS, FILM_FPS) for one in wanted if isinstance(one, FramesInput) and not one.count]
    if not rates:
        raise NotApplicable("the inputs have no length in seconds: a text, or a fixed number of frames")
    return [tuple(Scene(n / rates[0], SEED, "steady", n) for n in window) for window in COUNTS]


def course(at: Bench, scenes: Sequence[Scene]) -> Course | None:
    """Mean features over ``scenes``; None where there are none, or silence leaves no trace in them."""
    whole = [mean(at, scene) for scene in scenes]
    last = scenes[-1]
    half = mean(at, Scene(last.seconds, last.seed, "half", last.frames))
    if half is None or any(one is None for one in whole):
        return None
    values = np.stack([one for one in whole if one is not None])
    way = half - values[-1]
    if np.sqrt(np.mean(way**2)) < AUDIBLE:
        return None
    return Course(tuple(scenes), (values - values[-1]) @ way / (way @ way), values, way)


def mean(at: Bench, scene: Scene) -> NDArray[np.float64] | None:
    """Mean features of a clip in spreads [D]; None where it has none."""
    try:
        answer = at.alone(scene)
    except CheckFailed:
        return None  # the checks short and long tell of it
    return pooled(answer) / at.scale if isinstance(answer, Features) else None


def _require_smooth(found: Course) -> None:
    """No single step leads towards silence: that is where another piece is padded."""
    steps = np.diff(found.shares)
    worst = int(steps.argmax())
    others = float(np.abs(np.delete(steps, worst)).max())
    jumps = steps[worst] > max(SHARE, STEPS * others) and found.cosine(worst, worst + 1) >= TOWARDS
    before, after = (_length(found.scenes[number]) for number in (worst, worst + 1))
    require(
        not jumps,
        f"from {before} to {after} of a steady clip the mean features move {steps[worst]:.0%} of the way that half "
        f"silence moves them, {_times(steps[worst], others)} the steps beside it: padding is averaged in. {REMEDY}",
    )


def _require_undiluted(at: Bench, short: Scene, long: Scene) -> None:
    """From a long clip to a short one, features do not move as padding to a fixed length makes them."""
    found = course(at, (_shortest(short), short, long))
    if found is None:
        return
    expected, share = _padded(short, long), float(found.shares[1])
    fits = FIT[0] <= share / expected <= FIT[1] and found.shares[0] >= GROWING * share
    require(
        not (fits and found.cosine(2, 1) >= SAME),
        f"the mean features of a steady clip depend on its length: from {_length(long)} to {_length(short)} they move "
        f"{share:.0%} of the way that half silence moves them, in its direction; padding to a fixed length moves them "
        f"{expected:.0%}. Usual cause: that padding is averaged in. {REMEDY} If "
        "the model pads nothing, announce it: --expect padding='absolute positions'.",
    )


def _shortest(short: Scene) -> Scene:
    if not short.frames:
        return Scene(SHORTEST[0], short.seed, short.mood)
    return Scene(SHORTEST[1] * short.seconds / short.frames, short.seed, short.mood, SHORTEST[1])


def _padded(short: Scene, long: Scene) -> float:
    """Share by which padding to any fixed length moves the mean; half silence takes away half of ``long``."""
    return 2 * (1 - short.seconds / long.seconds)


def _times(step: float, others: float) -> str:
    return f"{step / others:.0f} times" if others > 1e-3 * step else "far beyond"


def _length(scene: Scene) -> str:
    return f"{scene.frames} frames" if scene.frames else f"{scene.seconds:g} s"
