"""Clips that are shorter than any model's window, alone and beside a longer one: parts of ``short`` and
``batch-invariance``."""

from __future__ import annotations

from typing import Any

import numpy as np

from mer_core.inputs import AudioInput
from mer_core.testing.bench import MIXED, ORDINARY, Bench
from mer_core.testing.compare import described
from mer_core.testing.inputs import Scene
from mer_core.testing.kit import CheckFailed, NotApplicable, require
from mer_core.types import Failure, Features, Missing

TINY = (1, 100, 400)
"""Samples of such clips."""

ONE = Scene(seconds=0.05, seed=2, frames=1)
"""Where nothing is heard: one frame, one character."""

WINDOW = "Guard clips that are shorter than the model's window: pad them to it, or return Missing(reason)."

LATEST = 0.25
"""Such a clip may have the frames of so many seconds more: those whose windows begin in it."""


def scenes(at: Bench) -> list[tuple[Scene, str]]:
    """Clips shorter than any window, and what to call them: of a few samples where the plugin hears something."""
    rates = [wanted.rate for wanted in at.maker.inputs.values() if isinstance(wanted, AudioInput)]
    if not rates:
        return [(ONE, "a clip of one frame or one character")] if at.maker.inputs else []
    return [
        (Scene(seconds=count / rates[0], seed=2, frames=1), f"a clip of {count} sample{'s' * (count > 1)}")
        for count in TINY
    ]


def beside(at: Bench, scene: Scene) -> str:
    """What is wrong with the answers to ``scene`` and a longer clip in one batch; empty if nothing is.

    A run bisects a batch that raises, and so does this; a Failure is as good as Missing.
    """
    asked = (MIXED[0], scene)
    try:
        samples = [at.maker.sample(one, number) for number, one in enumerate(asked)]
        again = at.maker.sample(scene, 1)
    except (CheckFailed, NotApplicable):
        return ""  # a deriver cannot make an input of so short a clip
    long, found = at.engine_answer(samples)
    if wrong := at.differs(long, at.alone(MIXED[0])):
        return f"the longer one is answered otherwise than alone: {wrong}"
    if isinstance(found, Missing | Failure):
        return ""
    alone = at.engine_answer([again])[0]
    if wrong := at.differs(found, alone):
        return wrong if type(found) is type(alone) else f"{described(found)}, but alone {described(alone)}"
    return ""


def require_within(at: Bench, scene: Scene, name: str) -> None:
    """No frames of padding behind a clip that is shorter than any window; a Failure is as good as Missing."""
    try:
        sample = at.maker.sample(scene)
        few, many = (_frames(at.alone(one)) for one in (MIXED[1], ORDINARY))
    except (CheckFailed, NotApplicable):
        return
    rate = (many - few) / (ORDINARY.seconds - MIXED[1].seconds)
    found, seconds = _frames(at.engine_answer([sample])[0]), scene.seconds
    most = 1 + rate * (seconds + LATEST) + max(0.0, few - rate * MIXED[1].seconds)
    require(
        rate <= 0 or found <= most,
        f"{name} ({1000 * seconds:.1f} ms): {found} frames, but a clip of {ORDINARY.seconds:g} s has {many}. Cut off "
        "frames of padding.",
    )


def _frames(answer: Any) -> int:
    return len(answer.values) if isinstance(answer, Features) and np.ndim(answer.values) == 2 else 0
