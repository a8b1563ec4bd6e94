"""Which predictions become labels.

Class-balanced selection with agreement of unimodal models follows what is known of H. Chen et al., "Semi-supervised
multimodal emotion recognition with class-balanced pseudo-labeling", ACM MM 2023, which arXiv 2409.07078 takes over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mer_plugins.trainers.checks import refuse_thresholds
from mer_plugins.trainers.options import CvOptions
from mer_plugins.trainers.plan import Part, Plan, Rows

Pseudo = Mapping[int, int]
"""Row -> class index."""


def with_pseudo(plan: Plan, labels: Rows, pseudo: Sequence[Pseudo]) -> tuple[Plan, Rows]:
    """The plan whose members also learn from their ``pseudo`` rows, and labels [F, N] (or [N] if nobody does)."""
    if not any(pseudo):
        return plan, labels
    parts = [_extended(part, own) for part, own in zip(plan.parts, pseudo, strict=True)]
    each = np.repeat(labels[None], len(parts), axis=0)
    for row, own in zip(each, pseudo, strict=True):
        row[list(own)] = list(own.values())
    return replace(plan, parts=tuple(parts)), each


def _extended(part: Part, own: Pseudo) -> Part:
    more = np.asarray(sorted(own), np.int64)
    return Part(np.concatenate([part.train, more[~np.isin(more, part.train)]]), part.choose)


def agreed(guess: Rows, others: Sequence[Rows], present: Sequence[NDArray[np.bool_]], mode: str) -> NDArray[np.bool_]:
    """bool [n]: enough of the modalities that a clip has say ``guess`` [n] by themselves.

    Args:
        others: per modality, what its own model says [n]; ``present``: per modality, whether the clip has it.
        mode: ``majority`` (more than half), ``all``, ``any`` or ``off``.
    """
    if mode == "off" or not others:
        return np.ones(len(guess), np.bool_)
    has = np.stack(present)
    votes = (has & (np.stack(others) == guess)).sum(axis=0)
    count = has.sum(axis=0)
    enough = {"all": votes == count, "any": votes > 0, "majority": 2 * votes > count}[mode]
    return np.asarray(enough & (count > 0), np.bool_)


def choose(
    probabilities: NDArray[np.float64],
    allowed: NDArray[np.bool_],
    ids: Sequence[str],
    options: CvOptions,
    classes: Sequence[str],
) -> dict[int, int]:
    """Which of n clips get which label: position -> class index.

    Args:
        probabilities: [n, C]; ``allowed`` [n]; ``ids`` [n] decide between equal confidences.
    """
    guess, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    if options.self_training == "per-class-threshold":
        bounds = thresholds(options.pseudo_thresholds, classes)
        return {int(at): int(guess[at]) for at in np.flatnonzero(allowed & (sure >= bounds[guess]))}
    allowed = allowed & (sure >= options.pseudo_confidence)
    found: dict[int, int] = {}
    for label in range(probabilities.shape[1]):
        own = np.flatnonzero(allowed & (guess == label)).tolist()
        own.sort(key=lambda at: (-sure[at], ids[at]))
        found |= dict.fromkeys(own[: options.pseudo_per_class], label)
    return found


def thresholds(given: Mapping[str, float], classes: Sequence[str]) -> NDArray[np.float64]:
    """[C] the bound of each class.

    Raises:
        OptionError: a class that the data do not have, or one without a bound.
    """
    refuse_thresholds(given, classes)
    return np.asarray([given.get(name, given.get("*", 1.0)) for name in classes])
