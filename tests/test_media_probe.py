"""What files declare, and how much of it is there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from media_maker import numbered, tone, write_media

from mer_core.errors import MediaError
from mer_core.media.probe import MediaInfo, decoded_share, probe


def noise(count: int, seed: int = 0) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).integers(0, 255, (count, 48, 64, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2 s of noise with sound, its index at the front."""
    path = tmp_path_factory.mktemp("p") / "whole.mp4"
    return write_media(path, noise(50), tone(2, 48000), pixels="yuv420p", options={"movflags": "faststart"})


def test_facts_of_a_video(whole: Path) -> None:
    info = probe(whole)
    assert info.duration == pytest.approx(2.0, abs=0.05)
    assert (info.has_audio, info.has_video) == (True, True)
    assert (info.width, info.height, info.frames) == (64, 48, 50)
    assert info.fps == pytest.approx(25)
    assert (info.audio_rate, info.channels) == (48000, 1)


def test_facts_of_sound(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", np.stack([tone(0.5, 44100)] * 2, 1), 44100)
    info = probe(tmp_path / "a.flac")
    assert info == MediaInfo(info.duration, True, False, audio_rate=44100, channels=2)
    assert info.duration == pytest.approx(0.5, abs=1e-3)


def test_facts_of_silent_pictures(tmp_path: Path) -> None:
    info = probe(write_media(tmp_path / "a.mkv", [numbered(i) for i in range(10)]))
    assert (info.has_audio, info.has_video, info.audio_rate, info.frames) == (False, True, None, None)
    assert info.duration == pytest.approx(0.4, abs=0.05)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none.mp4", "does not exist"),
        ("empty.mp4", "is empty"),
        ("text.mp4", "cannot be read as media"),
        ("zeros.mp4", "cannot be read as media"),
        ("folder", "is not a file"),
        ("titles.srt", "neither sound nor pictures"),
        ("list.mp4", "cannot be read as media"),
        ("half.mp4", "cannot be read as media"),
    ],
)
def test_what_is_no_media(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("This is not a video.\n" * 50)
    (tmp_path / "zeros.mp4").write_bytes(bytes(10000))
    (tmp_path / "folder").mkdir()
    (tmp_path / "titles.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nHello\n\n")
    (tmp_path / "list.mp4").write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:9,\nhttp://localhost:9/a.ts\n#EXT-X-ENDLIST\n"
    )
    index_at_the_end = write_media(tmp_path / "good.mp4", noise(5)).read_bytes()
    (tmp_path / "half.mp4").write_bytes(index_at_the_end[: len(index_at_the_end) // 2])
    for look in (probe, decoded_share):
        with pytest.raises(MediaError, match=reason) as caught:
            look(tmp_path / name)
        assert name in caught.value.message
        assert caught.value.hint


@pytest.mark.parametrize(
    ("suffix", "codec", "sound"),
    [
        ("mp4", "libx264", "aac"),
        ("mkv", "libx264", "libopus"),
        ("webm", "libvpx-vp9", "libopus"),
        ("avi", "mpeg4", "pcm_s16le"),
        ("ts", "libx264", "aac"),
        ("mov", "mjpeg", "pcm_s16le"),
        ("flv", "libx264", "aac"),
    ],
)
def test_intact_files_are_whole(tmp_path: Path, suffix: str, codec: str, sound: str) -> None:
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = write_media(
        tmp_path / f"a.{suffix}", noise(30), tone(1.2, 48000), codec=codec, pixels=pixels, sound_codec=sound
    )
    assert decoded_share(path) > 0.97


@pytest.mark.parametrize("times", [[0, 40, 900, 940, 980, 1900], [0, 500, 540, 580, 620, 3000]])
@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_a_variable_frame_rate_is_no_damage(tmp_path: Path, suffix: str, times: list[int]) -> None:
    assert decoded_share(write_media(tmp_path / f"a.{suffix}", noise(6), times=times)) > 0.97


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("seconds", [0.4, 3.0])
def test_tracks_of_unequal_length_are_no_damage(tmp_path: Path, suffix: str, seconds: float) -> None:
    path = write_media(tmp_path / f"a.{suffix}", noise(25), tone(seconds, 48000))
    assert decoded_share(path) > 0.97


@pytest.mark.parametrize("suffix", ["mp4", "m4a", "wav"])
def test_twenty_milliseconds_are_whole(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix == "wav":
        soundfile.write(path, tone(0.02, 16000), 16000)
    else:
        write_media(path, [numbered(0)] if suffix == "mp4" else None, tone(0.02, 48000))
    assert decoded_share(path) > 0.95
    assert probe(path).has_audio


@pytest.mark.parametrize("kept", [0.9, 0.6, 0.2])
def test_a_cut_off_mp4_shows(tmp_path: Path, whole: Path, kept: float) -> None:
    content = whole.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: int(len(content) * kept)])
    assert decoded_share(tmp_path / "cut.mp4") == pytest.approx(kept, abs=0.12)
    assert decoded_share(tmp_path / "cut.mp4") < 0.95


@pytest.mark.parametrize("suffix", ["mkv", "avi", "wav", "flac"])
def test_other_cut_off_files_show(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix in ("mkv", "avi"):
        write_media(path, noise(50), codec="mpeg4", pixels="yuv420p")
    else:
        soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 48000), 16000)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert 0.3 < decoded_share(path) < 0.7


def test_a_hole_shows(tmp_path: Path, whole: Path) -> None:
    content = bytearray(whole.read_bytes())
    begin = len(content) // 4
    content[begin : len(content) * 3 // 4] = bytes(len(content) * 3 // 4 - begin)
    (tmp_path / "hole.mp4").write_bytes(content)
    assert decoded_share(tmp_path / "hole.mp4") < 0.95


@pytest.mark.parametrize("suffix", ["mp3", "mp4"])
def test_a_cover_is_no_video(tmp_path: Path, suffix: str) -> None:
    import av

    path = tmp_path / f"a.{suffix}"
    with av.open(str(path), "w") as file:
        sound = file.add_stream("libmp3lame" if suffix == "mp3" else "aac", rate=44100, layout="mono")
        cover = file.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic.value
        picture = av.VideoFrame.from_ndarray(numbered(0), format="rgb24").reformat(format="yuvj420p")
        for packet in [*cover.encode(picture), *cover.encode()]:
            file.mux(packet)
        frame = av.AudioFrame.from_ndarray(tone(1, 44100)[None].astype(np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        resampler = av.AudioResampler("fltp", "mono", 44100, frame_size=sound.codec_context.frame_size)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            for packet in sound.encode(piece):
                file.mux(packet)
        for packet in sound.encode():
            file.mux(packet)
    info = probe(path)
    assert (info.has_audio, info.has_video, info.width) == (True, False, None)
