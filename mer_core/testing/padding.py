"""The check ``padding``: does what a plugin pads its input with get into the features?

The fault looked for is that of the MER2024 baseline's speech features: sound over 10 s is padded with
zeros to a multiple of 10 s and the padding is averaged in, so that about half of what is averaged
over a clip of 10.2 s is padding. A stationary clip shows it: whatever its length, its mean features
should hardly change, and certainly not towards those of silence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mer_core.spec import AudioInput, FramesInput
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

SEED = 3
STEPS, SHARE, DILUTED = 5.0, 0.2, 0.3
"""A step this many times the others and this share of what half silence does is a fault; so is this
share between a clip and one twice as long."""

AUDIBLE = 0.05
"""Half silence changes the features by at least so much (in spreads), or nothing can be told."""


@dataclass(frozen=True, slots=True)
class Course:
    """How mean features change with the length of a stationary clip.

    ``shares`` [N] says for each of ``scenes`` how far its mean lies on the way from that of the
    longest scene to that of a clip which is silent half of the time: 0 there, 1 as far as half silence.
    """

    scenes: tuple[Scene, ...]
    shares: NDArray[np.float64]


@check(needs=("determinism",), cure="cut the padded frames off, or mask them in the mean")
def padding(subject: Subject) -> None:
    """Padding is not averaged in: the features of a steady clip do not jump with its length."""
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
    return Course(tuple(scenes), (values - values[-1]) @ way / (way @ way))


def mean(at: Bench, scene: Scene) -> NDArray[np.float64] | None:
    """Mean features of a clip in spreads [D]; None where it has none."""
    try:
        answer = at.alone(scene)
    except CheckFailed:
        return None  # the checks short and long tell of it
    return pooled(answer) / at.scale if isinstance(answer, Features) else None


def _require_smooth(found: Course) -> None:
    steps = np.abs(np.diff(found.shares))
    worst = int(steps.argmax())
    others = float(np.delete(steps, worst).max())
    before, after = (_length(found.scenes[number]) for number in (worst, worst + 1))
    require(
        steps[worst] <= max(SHARE, STEPS * others),
        f"from {before} to {after} of a steady clip the mean features move {steps[worst]:.0%} of the way that half "
        f"silence moves them, {_times(steps[worst], others)} the steps beside it: padding is averaged in. Cut the "
        "padded frames off, or mask them in the mean.",
    )


def _require_undiluted(at: Bench, short: Scene, long: Scene) -> None:
    found = course(at, (short, long))
    share = abs(float(found.shares[0])) if found else 0.0
    require(
        share <= DILUTED,
        f"between {_length(short)} and {_length(long)} of a steady clip the mean features move {share:.0%} of the way "
        "that half silence moves them: shorter clips look as if they were more silent, so padding to a fixed length "
        "is averaged in. Cut the padded frames off, or mask them in the mean.",
    )


def _times(step: float, others: float) -> str:
    return f"{step / others:.0f} times" if others > 1e-3 * step else "far beyond"


def _length(scene: Scene) -> str:
    return f"{scene.frames} frames" if scene.frames else f"{scene.seconds:g} s"
