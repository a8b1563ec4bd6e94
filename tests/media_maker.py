"""Small media files for tests, written with PyAV: every frame says which one it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

FPS = 25


def tone(seconds: float, rate: int, frequency: float = 440.0, level: float = 0.5) -> np.ndarray:
    """A sine, float64 [N]."""
    return level * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def numbered(index: int, width: int = 64, height: int = 48) -> np.ndarray:
    """The picture of frame ``index`` (below 100): the left half's grey is its tens, the right's its units."""
    image = np.full((height, width, 3), 10 + 24 * (index % 10), dtype=np.uint8)
    image[:, : width // 2] = 10 + 24 * (index // 10 % 10)
    return image


def index_of(image: np.ndarray) -> int:
    """Which frame :func:`numbered` made this."""
    half = image.shape[1] // 2
    units = round((float(image[:, half:].mean()) - 10) / 24)
    return units + (10 * round((float(image[:, :half].mean()) - 10) / 24) if half else 0)


def quadrants(width: int = 64, height: int = 48) -> np.ndarray:
    """Red upper left, green upper right, blue lower left, black lower right."""
    image = np.zeros((height, width, 3), dtype=np.uint8)
    image[: height // 2, : width // 2, 0] = 255
    image[: height // 2, width // 2 :, 1] = 255
    image[height // 2 :, : width // 2, 2] = 255
    return image


def write_media(
    path: Path,
    pictures: list[np.ndarray] | None = None,
    sound: np.ndarray | None = None,
    *,
    codec: str = "libx264",
    pixels: str = "yuv444p",
    times: list[int] | None = None,
    fps: int = FPS,
    gop: int = 250,
    sound_codec: str = "aac",
    rate: int = 48000,
    layout: str = "mono",
    sound_from: float = 0.0,
    rotation: dict[str, Any] | None = None,
    aspect: Fraction | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Write a media file. ``sound`` is [channels, N]; ``times`` are presentation times in ms."""
    with av.open(str(path), "w", options=options or {}) as file:
        video = _video_stream(file, pictures[0], codec, pixels, fps, gop, aspect) if pictures else None
        audio = file.add_stream(sound_codec, rate=rate, layout=layout) if sound is not None else None
        if video is not None and rotation:
            video.set_display_rotation(**rotation)
        for packet in _pictures(video, pictures or [], times, pixels):
            file.mux(packet)
        for packet in _sound(audio, sound, rate, layout, sound_from):
            file.mux(packet)
    return path


def _video_stream(file: Any, first: np.ndarray, codec: str, pixels: str, fps: int, gop: int, aspect: Any) -> Any:
    lossless = {"qp": "0", "bf": "2", "g": str(gop), "preset": "ultrafast"} if codec == "libx264" else {}
    stream = file.add_stream(codec, rate=fps, options=lossless)
    stream.height, stream.width = first.shape[:2]
    stream.pix_fmt = pixels
    if aspect:
        stream.codec_context.sample_aspect_ratio = aspect
    return stream


def _pictures(stream: Any, pictures: list[np.ndarray], times: list[int] | None, pixels: str) -> Any:
    if stream is None:
        return
    if times:
        stream.codec_context.time_base = Fraction(1, 1000)
    for number, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixels, threads=1)
        if times:
            frame.pts, frame.time_base = times[number], Fraction(1, 1000)
        yield from stream.encode(frame)
    yield from stream.encode()


def _sound(stream: Any, sound: np.ndarray | None, rate: int, layout: str, begins: float) -> Any:
    if stream is None or sound is None:
        return
    kind = stream.codec_context.format.name
    values = np.ascontiguousarray(np.atleast_2d(sound).astype(np.float32))
    frame = av.AudioFrame.from_ndarray(values, format="fltp", layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = rate, round(begins * rate), Fraction(1, rate)
    resampler = av.AudioResampler(format=kind, layout=layout, rate=rate, frame_size=stream.codec_context.frame_size)
    for piece in [*resampler.resample(frame), *resampler.resample(None)]:
        yield from stream.encode(piece)
    yield from stream.encode()


@dataclass
class Shown:
    """Frames in memory as a frame stream."""

    images: list[np.ndarray]
    step: float = 0.2

    @property
    def size(self) -> tuple[int, int]:
        return self.images[0].shape[1], self.images[0].shape[0]

    def __iter__(self) -> Iterator[tuple[float, np.ndarray]]:
        return ((i * self.step, image) for i, image in enumerate(self.images))
