"""What a media file says about itself, and how much of it is true."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mer_core.errors import MediaError
from mer_core.media.container import Kind, Media, presented
from mer_core.media.picture import Upright

UNDECLARED = frozenset({"aac", "ac3", "eac3", "mp3", "mpegts", "mpeg", "h264", "hevc", "m4v", "mjpeg", "image2", "gif"})
"""Formats without an index: their duration is a guess from the bit rate or from what is there."""


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """Facts about a media file, as its header declares them.

    ``duration`` in seconds (the longest track), ``width`` x ``height`` in pixels of the upright
    image with square pixels, ``fps`` the average frame rate, ``frames`` their number,
    ``audio_rate`` in Hz. None where the file does not say or has no such track.
    """

    duration: float | None
    has_audio: bool
    has_video: bool
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    frames: int | None = None
    audio_rate: int | None = None
    channels: int | None = None


def probe(path: Path) -> MediaInfo:
    """Open ``path``, decode one frame if it has pictures, and say what it holds.

    Raises:
        MediaError: the file is missing, empty, not media, or none of its pictures decodes.
    """
    with Media(path) as media:
        return media_info(media, first_upright(media) if media.picture is not None else None)


def first_upright(media: Media) -> Upright:
    """How the pictures of ``media`` are turned upright, from the first that decodes.

    Raises:
        MediaError: there is no video track, or no picture decodes.
    """
    stream = media.stream("picture")
    for _, frame in media.frames("picture"):
        return Upright(frame, stream.sample_aspect_ratio)
    raise MediaError(f"no picture of {media.path} can be decoded.", "Check that it plays; copy or download it again.")


def media_info(media: Media, upright: Upright | None) -> MediaInfo:
    """The facts of an open file; ``upright`` where its pictures are known."""
    lengths = [media.duration(kind) for kind in _kinds(media)]
    known = [length for length in lengths if length]
    return MediaInfo(
        duration=max(known) if known else None,
        has_audio=media.sound is not None,
        has_video=media.picture is not None,
        **_picture_facts(media.picture, upright),
        **_sound_facts(media.sound),
    )


def _kinds(media: Media) -> list[Kind]:
    kinds: list[Kind] = []
    if media.sound is not None:
        kinds.append("sound")
    if media.picture is not None:
        kinds.append("picture")
    return kinds


def _picture_facts(stream: Any | None, upright: Upright | None) -> dict[str, Any]:
    if stream is None or upright is None:
        return {}
    rate = stream.average_rate
    width, height = upright.size
    return {"width": width, "height": height, "fps": float(rate) if rate else None, "frames": stream.frames or None}


def _sound_facts(stream: Any | None) -> dict[str, Any]:
    if stream is None:
        return {}
    return {"audio_rate": stream.codec_context.sample_rate or None, "channels": stream.codec_context.channels or None}


def decoded_share(path: Path) -> float:
    """The share, 0 to 1, of the declared duration that really decodes; the worst track counts.

    Decodes the whole file on one thread. Where a track declares no duration of its own, the
    file's is compared with the track that gets furthest; where the format declares none at all,
    1 if anything decodes.

    Raises:
        MediaError: the file cannot be opened.
    """
    with Media(path) as media:
        seconds = {kind: _decoded_seconds(media, kind) for kind in _kinds(media)}
        if media.container.format.name in UNDECLARED:
            return float(all(span > 0 for span, _ in seconds.values()))
        return min(1.0, *_shares(media, seconds), *_file_share(media, seconds))


def _shares(media: Media, seconds: dict[Kind, tuple[float, float]]) -> list[float]:
    """Per track with a duration of its own: decoded over declared."""
    found = []
    for kind, (total, _) in seconds.items():
        stream = media.stream(kind)
        if stream.duration:
            found.append(total / float(stream.duration * stream.time_base))
        elif total == 0:
            found.append(0.0)
    return found


def _file_share(media: Media, seconds: dict[Kind, tuple[float, float]]) -> list[float]:
    """For a file whose tracks declare nothing: where the last frame ends over what it declares."""
    undeclared = [end for kind, (_, end) in seconds.items() if not media.stream(kind).duration]
    if not undeclared or not media.container.duration:
        return []
    return [max(end for _, end in seconds.values()) / (media.container.duration / 1e6)]


def _decoded_seconds(media: Media, kind: Kind) -> tuple[float, float]:
    """(seconds of intact frames, time at which the last one ends)."""
    total = end = 0.0
    rate = getattr(media.stream(kind), "average_rate", None)
    step = float(1 / rate) if rate else 0.0
    for time, frame in media.frames(kind):
        if not frame.is_corrupt:
            span = presented(frame) or step
            total, end = total + span, time + span
    return total, end
