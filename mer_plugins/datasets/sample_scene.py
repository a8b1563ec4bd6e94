"""What the camera of the sample data set sees: a room, a person who moves, or nobody.

The movement of head, body and hands belongs to the class that the video channel shows; the face's
expression belongs to the image channel's; the mouth speaks to a rhythm of its own that belongs to
neither.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

import cv2
import numpy as np
from numpy.typing import NDArray

from mer_plugins.datasets.sample_face import (
    CENTRE,
    Expression,
    Image,
    Looks,
    blob,
    ellipse,
    expression_of,
    face,
    mix,
    polygon,
    portrait,
    shade,
)

WIDTH, HEIGHT = 320, 240
"""Size of the picture, pixels."""

HEAD = (160.0, 107.0)
"""Where the middle of the head rests, pixels."""

ZOOM = 0.56
"""Canvas pixels of the face to pixels of the picture."""

OPENINGS = (0.0, 0.12, 0.3, 0.5)
"""How far the mouth is open while speaking."""


@dataclass(frozen=True, slots=True)
class Movement:
    """How a person moves; distances in pixels, rates in Hz, angles in degrees.

    ``sway`` sideways and ``nod`` up and down at ``rate``; ``tilt`` with the sway; ``sink`` down over
    the clip; ``near`` growth of the head in the first half second; ``hands`` how high both are
    raised (0 out of view, 1 beside the face), ``beat`` and ``wring`` their movement up-down and
    sideways at ``rate``.
    """

    sway: float
    nod: float
    rate: float
    tilt: float
    sink: float
    near: float
    hands: float
    beat: float
    wring: float


MOVEMENTS: Mapping[str, Movement] = {
    "neutral": Movement(1.5, 0.5, 0.4, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0),
    "angry": Movement(1.5, 5.0, 1.6, 0.5, 0.0, 0.04, 0.45, 15.0, 1.0),
    "happy": Movement(14.0, 2.0, 0.9, 6.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    "sad": Movement(1.5, 0.5, 0.3, 2.0, 22.0, -0.03, 0.0, 0.0, 0.0),
    "worried": Movement(4.0, 0.5, 1.9, 1.0, 3.0, -0.02, 0.22, 1.0, 9.0),
    "surprise": Movement(1.5, 3.0, 0.5, 1.0, -6.0, 0.11, 0.95, 3.0, 2.0),
}
"""The movement of each class, before the jitter of the single clip."""

JITTER = Movement(0.5, 0.4, 0.08, 0.5, 1.5, 0.01, 0.0, 1.0, 0.8)
"""Standard deviation around ``MOVEMENTS`` from clip to clip."""


@dataclass(frozen=True, slots=True)
class Pose:
    """Where things are in one frame: head centre, size and angle, and how far each hand is moved."""

    x: float
    y: float
    size: float
    angle: float
    raised: float
    hand_x: float
    hand_y: float


def film(
    image_shows: str, video_shows: str, looks: Looks, times: NDArray[np.float64], rng: np.random.Generator
) -> Iterator[Image]:
    """Frames of a person, RGB [240, 320, 3], one for each of ``times`` (seconds)."""
    room, body, hand = background(rng), _body(looks), _hand(looks)
    heads = _heads(looks, expression_of(image_shows, rng))
    poses = _poses(_jittered(MOVEMENTS[video_shows], rng), times, rng)
    mouth, blinks = _speaking(times, rng), _blinks(times, rng)
    for pose, opening, blink in zip(poses, mouth.tolist(), blinks.tolist(), strict=True):
        frame = room.copy()
        lean = (0.4 * (pose.x - HEAD[0]), 0.35 * (pose.y - HEAD[1]))
        _stamp(frame, *body, (WIDTH / 2, HEIGHT / 2), 1.0, 0.2 * pose.angle, lean[0] + WIDTH / 2, lean[1] + HEIGHT / 2)
        _stamp(frame, *heads[bool(blink), opening], CENTRE, ZOOM * pose.size, pose.angle, pose.x, pose.y)
        _hands(frame, hand, pose)
        yield frame


def empty_room(times: NDArray[np.float64], rng: np.random.Generator) -> Iterator[Image]:
    """Frames of a room with nobody in view; only the light changes a little."""
    room = background(rng).astype(np.float32)
    for time in times.tolist():
        yield np.clip(room * (1 + 0.015 * np.sin(1.7 * time)), 0, 255).astype(np.uint8)


def background(rng: np.random.Generator) -> Image:
    """A plain room: wall, a window or a picture, a shelf; RGB [240, 320, 3]."""
    tones = ((206, 214, 222), (222, 214, 200), (204, 218, 206), (216, 206, 216), (198, 208, 216))
    tone = np.array(tones[int(rng.integers(len(tones)))], float)
    fade = np.linspace(1.06, 0.86, HEIGHT)[:, None, None] * np.linspace(0.97, 1.03, WIDTH)[None, :, None]
    image = np.clip(tone * fade, 0, 255).astype(np.uint8)
    x, y = float(rng.choice([8, 250])) + rng.uniform(-4, 4), rng.uniform(18, 40)
    frame, inside = ((250, 250, 248), (176, 204, 226)) if rng.random() < 0.5 else ((120, 92, 70), (196, 178, 150))
    _box(image, x, y, 62, 78, frame)
    _box(image, x + 5, y + 5, 52, 68, inside)
    if rng.random() < 0.6:
        _box(image, 258 - x + rng.uniform(-4, 4), rng.uniform(90, 150), 58, 5, (150, 116, 86))
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 1.6), np.uint8)


def _box(image: Image, x: float, y: float, wide: float, tall: float, colour: tuple[int, int, int]) -> None:
    polygon(image, np.array([[x, y], [x + wide, y], [x + wide, y + tall], [x, y + tall]]), colour)


def _jittered(movement: Movement, rng: np.random.Generator) -> Movement:
    values = (
        getattr(movement, f.name) + getattr(JITTER, f.name) * float(np.clip(rng.normal(), -2, 2))
        for f in fields(Movement)
    )
    return Movement(*values)


def _poses(move: Movement, times: NDArray[np.float64], rng: np.random.Generator) -> list[Pose]:
    phase, slow = rng.uniform(0, 2 * np.pi, 2)
    place = np.array(HEAD) + rng.uniform(-5, 5, 2)
    size = rng.uniform(0.97, 1.04)
    part = times / max(times[-1], 0.1)
    swing = np.sin(2 * np.pi * move.rate * times + phase)
    bob = np.sin(2 * np.pi * move.rate * times + phase + 1.2)
    onset = 1 / (1 + np.exp(-(times - 0.45) * 14))
    drift = 0.8 * np.sin(1.3 * times + slow)
    return [
        Pose(*row)
        for row in zip(
            place[0] + move.sway * swing + drift,
            place[1] + move.nod * bob + move.sink * (part - 0.3) + 0.5 * drift,
            size * (1 + move.near * onset),
            move.tilt * swing,
            move.hands * (onset if move.hands > 0.5 else np.ones_like(onset)),
            move.wring * swing,
            move.beat * bob,
            strict=True,
        )
    ]


def _heads(looks: Looks, show: Expression) -> dict[tuple[bool, int], tuple[Image, Image]]:
    """The head drawn once for every opening of the mouth, and once with closed eyes."""
    base, alpha = portrait(looks)
    return {
        (blink, k): (face(base, looks, show, gape, blink), alpha)
        for blink in (False, True)
        for k, gape in enumerate(OPENINGS)
    }


def _speaking(times: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Index into ``OPENINGS`` at each time: syllables at about 3.7 Hz whatever the sound does."""
    wave = 0.5 + 0.5 * np.sin(2 * np.pi * (3.7 * times + rng.uniform()))
    wave *= 0.6 + 0.4 * np.sin(2 * np.pi * (0.8 * times + rng.uniform()))
    return np.round(np.clip(wave, 0, 1) * (len(OPENINGS) - 1)).astype(np.int64)


def _blinks(times: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.bool_]:
    """One blink of a tenth of a second about every two seconds."""
    start = rng.uniform(0.2, 2.0)
    return ((times - start) % 2.1 < 0.1) & (times >= start)


def _body(looks: Looks) -> tuple[Image, Image]:
    """Neck, shoulders and shirt on a canvas that reaches a little below the picture."""
    image = np.full((HEIGHT + 40, WIDTH, 3), looks.shirt, np.uint8)
    alpha = np.zeros((HEIGHT + 40, WIDTH), np.uint8)
    x = np.linspace(-1, 1, 41)
    shoulder = 173 + 46 * np.abs(x) ** 3
    torso = np.vstack([np.stack([160 + 92 * x, shoulder], 1), [[256, 320], [64, 320]]])
    neck = np.array([[140, 130], [180, 130], [182, 174], [160, 196], [138, 174]], float)
    polygon(alpha, torso, 255)
    polygon(alpha, neck, 255)
    blob(image, (160, 210), (90, 60), shade(looks.shirt, 1.25), 0.6)
    polygon(image, neck + np.array([0, 3]), shade(looks.shirt, 0.7))
    polygon(image, neck, shade(looks.skin, 0.8))
    return image, alpha


def _hand(looks: Looks) -> tuple[Image, Image]:
    """A raised right hand with its sleeve on a canvas of 80 x 240 pixels; the palm is at (40, 40)."""
    image = np.full((240, 80, 3), shade(looks.skin, 0.97), np.uint8)
    alpha = np.zeros((240, 80), np.uint8)
    for across, tip in ((-12, 12), (-4, 6), (4, 7), (12, 13)):
        ellipse(alpha, (40 + across, tip + 13), (4.4, 15), 255, angle=across * 0.9)
    ellipse(alpha, (22, 42), (5, 14), 255, angle=-38)
    ellipse(alpha, (40, 40), (16, 18), 255)
    sleeve = np.array([[28, 66], [52, 66], [62, 240], [18, 240]], float)
    polygon(alpha, np.array([[31, 50], [49, 50], [51, 70], [29, 70]], float), 255)
    polygon(alpha, sleeve, 255)
    for across in (-8, 0, 8):
        blob(image, (40 + across, 20), (1.6, 12), shade(looks.skin, 0.7), 0.7)
    polygon(image, sleeve, shade(looks.shirt, 0.88))
    return image, alpha


def _hands(frame: Image, hand: tuple[Image, Image], pose: Pose) -> None:
    """Both hands; at a height of 0 they are below the picture."""
    if pose.raised <= 0.02:
        return
    y = 268 - 150 * pose.raised
    for side in (-1, 1):
        image, alpha = hand if side > 0 else (hand[0][:, ::-1].copy(), hand[1][:, ::-1].copy())
        x = 160 + side * (52 + 52 * pose.raised)
        _stamp(frame, image, alpha, (40, 40), 0.8, side * -8.0, x + pose.hand_x, y + pose.hand_y)


def _stamp(
    frame: Image, image: Image, alpha: Image, pivot: tuple[float, float], size: float, angle: float, x: float, y: float
) -> None:
    """Lay ``image`` over ``frame`` so that ``pivot`` lands on (x, y), turned by ``angle`` degrees."""
    tall, wide = alpha.shape
    turn = cv2.getRotationMatrix2D(pivot, -angle, size)
    turn[:, 2] += (x - pivot[0], y - pivot[1])
    corners = turn @ np.array([[0, wide, wide, 0], [0, 0, tall, tall], [1, 1, 1, 1]], float)
    low = np.maximum(np.floor(corners.min(axis=1)).astype(int), 0)
    high = np.minimum(np.ceil(corners.max(axis=1)).astype(int), (frame.shape[1], frame.shape[0]))
    if (high <= low).any():
        return
    turn[:, 2] -= low
    target = (int(high[0] - low[0]), int(high[1] - low[1]))
    part = frame[low[1] : high[1], low[0] : high[0]]
    over = cv2.warpAffine(image, turn, target, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    part[:] = mix(part, over, cv2.warpAffine(alpha, turn, target, flags=cv2.INTER_LINEAR))
