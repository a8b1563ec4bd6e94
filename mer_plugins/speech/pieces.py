"""Clips cut into pieces, encoded together, and put together again: what the speech extractors share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from torch import Tensor

from mer_core.plugin import Audio, Failure, Features, FloatArray, Missing, Sample
from mer_plugins.speech.chunks import Grid, by_length

RATE = 16000
"""Samples per second that all of these models were trained on."""

BUDGET = {"cuda": 60 * RATE, "cpu": 15 * RATE}
"""Samples computed at once, longer pieces alone: on a CPU larger batches are no faster."""

SLACK = {"cuda": 0.3, "cpu": 0.1}
"""Share of a batch's longest piece by which another one may be shorter; the rest is padding, and wasted."""

Answer = Features | Missing | Failure
ItemT = TypeVar("ItemT")


@dataclass(frozen=True, slots=True)
class Piece:
    """A window of clip number ``clip``: its samples, and which of its frames count."""

    clip: int
    samples: FloatArray
    kept: slice


def extract_in_pieces(
    batch: Sequence[Sample],
    cut: Callable[[int, Audio], Iterable[Piece]],
    encode: Callable[[Sequence[Piece]], Iterable[FloatArray]],
    answer: Callable[[Audio, list[FloatArray]], Answer],
) -> list[Answer]:
    """One answer per clip, in order.

    Args:
        cut: number and sound of a clip -> its pieces in order, none where it cannot be encoded.
        encode: all pieces of the batch -> values [T, D] of each, in order.
        answer: sound of a clip, and the values of its pieces that count, in order -> its features.
    """
    clips = [sample.audio() for sample in batch]
    pieces = [piece for number, audio in enumerate(clips) for piece in cut(number, audio)]
    parts: list[list[FloatArray]] = [[] for _ in clips]
    for piece, values in zip(pieces, encode(pieces), strict=True):
        parts[piece.clip].append(values[piece.kept])
    return [answer(audio, found) for audio, found in zip(clips, parts, strict=True)]


def encode_by_length(
    pieces: Sequence[Piece], grid: Grid, device: str, encode: Callable[[Sequence[FloatArray]], Tensor]
) -> list[FloatArray]:
    """Values [T, D] of each piece, computed in batches of similar length; ``encode`` gives float32 [B, T, D] of waves.

    A batch is begun before the values of the one before it are fetched, so that a GPU never waits for that.
    """
    found: list[FloatArray] = [np.empty(0, np.float32)] * len(pieces)
    lengths = [len(piece.samples) for piece in pieces]
    kind = device_kind(device)
    groups = by_length(lengths, BUDGET[kind], SLACK[kind])
    for chosen, values in one_behind((chosen, encode([pieces[i].samples for i in chosen])) for chosen in groups):
        for row, index in zip(values.cpu().numpy(), chosen, strict=True):
            found[index] = row[: grid.frames(lengths[index])]
    return found


def one_behind(items: Iterable[ItemT]) -> Iterator[ItemT]:
    """``items``, each once the next one has been made."""
    waiting: list[ItemT] = []
    for item in items:
        yield from waiting
        waiting = [item]
    yield from waiting


def side_by_side(waves: Sequence[FloatArray]) -> FloatArray:
    """Waves as float32 [B, N], zeros behind the shorter ones."""
    whole = np.zeros((len(waves), max(map(len, waves))), np.float32)
    for row, wave in zip(whole, waves, strict=True):
        row[: len(wave)] = wave
    return whole


def unheard(audio: Audio, short: str) -> Missing | Failure:
    """The answer for a clip without any piece: not finite, or too short for what ``short`` says."""
    if not np.isfinite(audio.samples).all():
        return Failure("the sound has samples that are not numbers")
    return Missing(f"the sound is shorter than {short}")


def device_kind(device: str) -> str:
    """``cuda`` or ``cpu``, for tables of batch sizes."""
    return "cuda" if device.startswith("cuda") else "cpu"


def normalised(wave: FloatArray, epsilon: float) -> FloatArray:
    """``wave`` with mean 0 and variance 1 over its whole length (population variance); silence becomes zeros.

    ``epsilon`` is added to the variance.
    """
    centred = wave - wave.mean(dtype=np.float64)
    found: FloatArray = (centred / np.sqrt(centred.var() + epsilon)).astype(np.float32)
    return found
