"""Are two answers of a plugin the same, and if not, by how much do they differ?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mer_core.types import Derived, Failure, Features

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FLOOR = 0.1
"""A column's spread counts as at least this share of the typical column's."""

EVEN, ENDS = 0.2, 0.2
"""Differences of all frames are alike if none is smaller than this share of the largest; the frames at the beginning
and at the end are at most this share of all each."""

TIME_SLACK = 1e-6
"""Times (seconds) that differ by less are the same."""


def described(answer: Any) -> str:
    """An answer in a few words."""
    if isinstance(answer, Features):
        return f"features {list(np.shape(answer.values))}"
    if isinstance(answer, Derived):
        return "an artefact of " + ", ".join(f"{name} {list(array.shape)}" for name, array in answer.arrays.items())
    reason = getattr(answer, "reason", None)
    name = "Failure" if isinstance(answer, Failure) else type(answer).__name__
    return f"{name} ({reason})" if reason is not None else name


def pooled(answer: Features) -> Floats:
    """Features as one vector [D]: the mean over time; NaN and infinite cells count as 0."""
    values = np.nan_to_num(np.asarray(answer.values, np.float64), posinf=0.0, neginf=0.0)
    found: Floats = np.atleast_2d(values).mean(axis=0)
    return found


def spread(answers: Sequence[Any]) -> Floats:
    """How far each column of some clips' features usually varies [D]; never 0."""
    usable = [np.atleast_2d(a.values) for a in answers if isinstance(a, Features)]
    rows = [row for row in usable if row.shape[1] == usable[0].shape[1]]
    if not rows:
        return np.ones(1)
    stacked = np.nan_to_num(np.concatenate(rows).astype(np.float64), posinf=0.0, neginf=0.0)
    deviations = stacked.std(axis=0)
    typical = float(np.sqrt((deviations**2).mean())) or float(np.abs(stacked).max()) or 1.0
    found: Floats = np.maximum(deviations, FLOOR * typical)
    return found


def difference(found: Any, expected: Any, scale: Floats, tolerance: float) -> str:
    """How ``found`` differs from ``expected`` by more than ``tolerance`` times ``scale``; empty if it does not."""
    if type(found) is not type(expected):
        return f"{described(found)} instead of {described(expected)}"
    if isinstance(expected, Features):
        return _features(found, expected, scale, tolerance)
    return _derived(found, expected, tolerance) if isinstance(expected, Derived) else ""


def _features(found: Features, expected: Features, scale: Floats, tolerance: float) -> str:
    if np.shape(found.values) != np.shape(expected.values):
        return f"{described(found)} instead of {described(expected)}"
    if (found.times is None) != (expected.times is None) or (
        found.times is not None and not _near(found.times, expected.times, TIME_SLACK)
    ):
        return "other times"
    share = largest(found.values, expected.values, scale)
    if share <= tolerance:
        return ""
    wrong = f"values differ by up to {share:.2g} of their spread (at most {tolerance:g} counts as the same)"
    place = whereabouts(found, expected, scale, tolerance)
    return f"{wrong}, {place}" if place else wrong


def whereabouts(found: Features, expected: Features, scale: Floats, tolerance: float) -> str:
    """Where in time features of one shape differ: ``most at the last frame, 2.00 s (1.9; elsewhere 0.04)``.

    Empty where they have no or a single frame.
    """
    if np.ndim(expected.values) != 2 or len(expected.values) < 2:
        return ""
    frames = by_frame(found.values, expected.values, scale)
    worst, count = int(frames.argmax()), len(frames)
    name = {0: "the first frame", count - 1: "the last frame"}.get(worst, f"frame {worst} of {count}")
    at = f", {float(expected.times[worst]):.2f} s" if expected.times is not None else ""
    if (frames > tolerance).all() and frames.min() >= EVEN * frames.max():
        return "at all frames"
    return f"most at {name}{at} ({frames[worst]:.2g}; elsewhere {np.median(np.delete(frames, worst)):.2g})"


def only_at_ends(found: Any, expected: Any, scale: Floats, tolerance: float) -> bool:
    """Whether features of one shape differ in their first or last frames alone, :data:`ENDS` of all at most."""
    same = isinstance(found, Features) and isinstance(expected, Features)
    if not same or np.ndim(expected.values) != 2 or np.shape(found.values) != np.shape(expected.values):
        return False
    wrong = np.flatnonzero(by_frame(found.values, expected.values, scale) > tolerance)
    edge = max(1.0, ENDS * len(expected.values))
    return len(wrong) > 0 and bool(((wrong < edge) | (wrong >= len(expected.values) - edge)).all())


def by_frame(found: Any, expected: Any, scale: Floats) -> Floats:
    """Largest difference of each frame [T] of two arrays [T, D]; see :func:`largest`."""
    frames = [largest(one, other, scale) for one, other in zip(found, expected, strict=True)]
    return np.array(frames, np.float64)


def largest(found: Any, expected: Any, scale: Floats) -> float:
    """Largest difference of two arrays of one shape, in units of ``scale``; cells both not finite count as equal."""
    a, b = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    with np.errstate(invalid="ignore"):
        gap = np.where(a == b, 0.0, np.abs(a - b)) / scale
    gap = np.where(np.isnan(a) & np.isnan(b), 0.0, gap)
    return float(np.nan_to_num(gap, nan=np.inf).max(initial=0.0))


def _derived(found: Derived, expected: Derived, tolerance: float) -> str:
    if sorted(found.arrays) != sorted(expected.arrays):
        return f"arrays {sorted(found.arrays)} instead of {sorted(expected.arrays)}"
    for name, array in expected.arrays.items():
        if np.shape(found.arrays[name]) != np.shape(array):
            return f"{name} has shape {np.shape(found.arrays[name])} instead of {np.shape(array)}"
        if wrong := _array(found.arrays[name], array, tolerance):
            return f"{name} {wrong}"
    return "" if _text(found.info) == _text(expected.info) else f"info {found.info} instead of {expected.info}"


def _array(found: Any, expected: Any, tolerance: float) -> str:
    if np.asarray(expected).dtype.kind not in "biuf":
        return "" if np.array_equal(found, expected) else "has other contents"
    deviation = float(np.nanstd(expected)) if np.size(expected) else 1.0
    share = largest(found, expected, np.array(deviation or 1.0))
    said = f"differs by up to {share:.2g} of its spread (at most {tolerance:g} counts as the same)"
    return said if share > tolerance else ""


def _text(info: Any) -> str:
    return json.dumps(dict(info), sort_keys=True, default=repr)


def _near(found: Any, expected: Any, slack: float) -> bool:
    return np.shape(found) == np.shape(expected) and bool(
        np.allclose(np.asarray(found, float), np.asarray(expected, float), rtol=0, atol=slack, equal_nan=True)
    )


def distance(found: Any, expected: Any, scale: Floats, tolerance: float) -> float:
    """How far two answers are apart, whatever their lengths: 0 for the same one."""
    if isinstance(found, Features) and isinstance(expected, Features):
        a, b = pooled(found), pooled(expected)
        return float(np.linalg.norm((a - b) / scale)) if a.shape == b.shape else np.inf
    return 0.0 if not difference(found, expected, scale, tolerance) else 1.0
