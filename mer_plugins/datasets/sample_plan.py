"""Who says what in the sample data set, and which emotion each channel shows. Numpy only.

This is the generative model: for a clip of class ``y`` each modality ``m`` draws the class it
*shows* independently, the true one with probability ``CEILINGS[m]``, its twin under ``m`` with
``TWIN_SHARE`` of the rest, any other class with what remains. Twins differ by modality (a voice
mistakes angry for happy, a face mistakes sad for worried), which is why several modalities together
know more than each alone. The voice, face, movement and sentence are then made from the shown class
and never see the true one, so no classifier of one modality can beat its ceiling except by luck.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LABELS = ("neutral", "angry", "happy", "sad", "worried", "surprise")
"""The six classes, in MER2024's order."""

CEILINGS: Mapping[str, float] = {"speech": 0.66, "text": 0.64, "image": 0.62, "video": 0.54}
"""Probability that a modality shows the true class: the Bayes accuracy of that modality alone."""

TWIN_SHARE = 0.72
"""When a modality does not show the true class: the probability that it shows the class's twin."""

TWINS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "speech": (("neutral", "sad"), ("angry", "happy"), ("worried", "surprise")),
    "text": (("neutral", "happy"), ("angry", "worried"), ("sad", "surprise")),
    "image": (("neutral", "angry"), ("happy", "surprise"), ("sad", "worried")),
    "video": (("neutral", "worried"), ("angry", "surprise"), ("happy", "sad")),
}
"""Classes that a modality mistakes for one another. No two modalities share a pair."""

SPEAKERS = 8
"""Speakers of the train and unlabelled splits."""

VISITORS = 2
"""Further speakers, met in the test split only."""

TEST_SHARE, UNLABELLED_SHARE = 0.1, 0.1

ABSENCES = ("text", "speech", "text", "image", "voice-only", "text", "speech", "image")
"""What incomplete clips lack, in turn; ``voice-only`` is a sound file without any picture."""


@dataclass(frozen=True, slots=True)
class ClipPlan:
    """All that is decided about a clip before a sample of sound or a pixel is made.

    ``shown`` maps each modality to the class it shows; ``absent`` is empty or one of ``ABSENCES``;
    ``index`` seeds the clip's own random numbers.
    """

    index: int
    id: str
    label: str
    split: str
    speaker: int
    shown: Mapping[str, str]
    absent: str = ""

    @property
    def language(self) -> str:
        """``zh`` for every other speaker, ``en`` for the rest."""
        return "zh" if self.speaker % 2 else "en"


def channel(modality: str) -> NDArray[np.float64]:
    """``P(shown | true)`` of one modality, [6, 6], rows sum to 1."""
    right = CEILINGS[modality]
    table = np.full((len(LABELS), len(LABELS)), (1 - right) * (1 - TWIN_SHARE) / (len(LABELS) - 2))
    np.fill_diagonal(table, right)
    for one, other in TWINS[modality]:
        i, j = LABELS.index(one), LABELS.index(other)
        table[i, j] = table[j, i] = (1 - right) * TWIN_SHARE
    return table


def ceiling(modalities: Iterable[str]) -> float:
    """Bayes accuracy of a complete clip seen through ``modalities``, classes equally frequent."""
    joint = np.full((len(LABELS), 1), 1 / len(LABELS))
    for modality in modalities:
        joint = (joint[:, :, None] * channel(modality)[:, None, :]).reshape(len(LABELS), -1)
    return float(joint.max(axis=0).sum())


def plan_clips(count: int, seed: int, incomplete: float = 0.12) -> tuple[ClipPlan, ...]:
    """Decide about ``count`` clips: classes and speakers balanced, order shuffled.

    Args:
        count: number of clips over all splits.
        seed: of every random choice.
        incomplete: share of train and unlabelled clips that lack something.
    """
    rng = np.random.default_rng([seed, count])
    rows = list(_rows(count))
    shown = {m: _shown([label for label, _, _ in rows], [split for _, split, _ in rows], m, rng) for m in CEILINGS}
    absent = _absences([split for _, split, _ in rows], incomplete, rng)
    places = rng.permutation(count)
    plans = [
        ClipPlan(place, f"sample_{place:04d}", label, split, speaker, {m: shown[m][row] for m in CEILINGS}, absent[row])
        for row, ((label, split, speaker), place) in enumerate(zip(rows, places.tolist(), strict=True))
    ]
    return tuple(sorted(plans, key=lambda plan: plan.index))


def _rows(count: int) -> Iterator[tuple[str, str, int]]:
    """(label, split, speaker) of each clip: every speaker in turn says all six classes."""
    test, unlabelled = round(count * TEST_SHARE), round(count * UNLABELLED_SHARE)
    sizes = {"train": count - test - unlabelled, "test": test, "unlabelled": unlabelled}
    for split, size in sizes.items():
        first, people = (SPEAKERS, VISITORS) if split == "test" else (0, SPEAKERS)
        for i in range(size):
            yield LABELS[i % len(LABELS)], split, first + (i // len(LABELS)) % people


def _shown(labels: list[str], splits: list[str], modality: str, rng: np.random.Generator) -> list[str]:
    """The class shown by ``modality`` for each clip.

    Within a split and class the uniform numbers behind the draw are stratified: shares come out as
    stated instead of scattering from seed to seed.
    """
    table = channel(modality)
    found = [""] * len(labels)
    for key in sorted(set(zip(splits, labels, strict=True))):
        members = [i for i, pair in enumerate(zip(splits, labels, strict=True)) if pair == key]
        true = LABELS.index(key[1])
        order = np.argsort(-table[true], kind="stable")
        uniform = (rng.permutation(len(members)) + rng.random()) / len(members)
        picks = np.searchsorted(np.cumsum(table[true][order]), uniform, side="right").clip(max=len(LABELS) - 1)
        for i, pick in zip(members, picks.tolist(), strict=True):
            found[i] = LABELS[int(order[pick])]
    return found


def _absences(splits: list[str], share: float, rng: np.random.Generator) -> list[str]:
    open_rows = [i for i, split in enumerate(splits) if split != "test"]
    absent = [""] * len(splits)
    chosen = rng.permutation(open_rows)[: round(share * len(open_rows))]
    for turn, i in enumerate(chosen.tolist()):
        absent[i] = ABSENCES[turn % len(ABSENCES)]
    return absent
