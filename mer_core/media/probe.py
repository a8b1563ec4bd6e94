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
    for _, frame in media.frames("picture"):
        return Upright(frame, media.stream("picture").sample_aspect_ratio)
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
    if stream is None or stream.codec_context is None:
        return {}
    return {"audio_rate": stream.codec_context.sample_rate or None, "channels": stream.codec_context.channels or None}


def decoded_share(path: Path) -> float:
    """The share, 0 to 1, of the declared duration that really decodes; the worst track counts.

    Decodes the whole file on one thread: where its last intact frame ends over where it should,
    times the share of packets that are intact. Where a track declares no duration of its own, the
    track that gets furthest is compared with the file's; where the format declares none at all, 1
    if anything decodes.

    Raises:
        MediaError: the file cannot be opened.
    """
    with Media(path) as media:
        tracks = {kind: _decode_track(media, kind) for kind in _kinds(media)}
        if media.container.format.name in UNDECLARED:
            return min(track.intact for track in tracks.values())
        furthest = max(track.end for track in tracks.values())
        shares = [_track_share(media, kind, track, furthest) for kind, track in tracks.items()]
    return max(0.0, min(1.0, _riff_share(path), *shares))


def held_until(media: Media) -> float | None:
    """Where a file that was cut off stops holding what its index promises, in seconds; None if it holds all.

    Reads only the index that mp4 and its kin open with; other formats always give None.
    """
    if "mp4" not in media.container.format.name:
        return None
    size = media.path.stat().st_size
    lost = [
        media.time(entry.timestamp, media.base(kind))
        for kind in _kinds(media)
        for entry in media.stream(kind).index_entries
        if entry.pos + entry.size > size
    ]
    return max(0.0, min(lost)) if lost else None


@dataclass(frozen=True, slots=True)
class _Track:
    """What decoding a track found: first and last time of an intact frame, share of intact packets."""

    begin: float
    end: float
    intact: float


def _decode_track(media: Media, kind: Kind) -> _Track:
    begin, end, corrupt = None, 0.0, 0
    rate = getattr(media.stream(kind), "average_rate", None)
    for time, frame in media.frames(kind):
        if frame.is_corrupt:
            corrupt += 1
            continue
        begin = time if begin is None else begin
        end = time + (presented(frame) or float(1 / rate if rate else 0))
    if begin is None:
        return _Track(0.0, 0.0, 0.0)
    return _Track(begin, end, 1 - min(1.0, (corrupt + media.packets_damaged) / max(1, media.packets_read)))


def _track_share(media: Media, kind: Kind, track: _Track, furthest: float) -> float:
    stream = media.stream(kind)
    if stream.duration:
        declared = float(stream.duration * media.base(kind))
        begin = track.begin if "mp4" in media.container.format.name else 0.0
        return track.intact * (track.end - begin) / declared
    declared = float(media.container.duration or 0) / 1e6
    return track.intact * (furthest / declared if declared else 1.0)


def _riff_share(path: Path) -> float:
    """For WAV and AVI, the file's size over the one in its first bytes (libraries believe the former)."""
    with path.open("rb") as file:
        head = file.read(8)
    declared = int.from_bytes(head[4:8], "little") if head[:4] == b"RIFF" else 0
    return path.stat().st_size / (declared + 8) if 0 < declared < 0xFFFFFFFF else 1.0
