"""Sound: any rate, layout and format to mono float32; segments; files that are not what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from media_maker import numbered, tone, write_media

from mer_core.errors import MediaError
from mer_core.media.audio import read_audio, resample


def sine_error(samples: np.ndarray, rate: int, frequency: float = 440.0, level: float = 0.5) -> float:
    """Largest deviation from the sine that was written, away from the ends."""
    inner = slice(rate // 20, -rate // 20)
    return float(np.abs(samples - tone(len(samples) / rate, rate, frequency, level))[inner].max())


@pytest.mark.parametrize(
    ("suffix", "subtype", "error"),
    [
        ("wav", "PCM_U8", 0.01),
        ("wav", "PCM_16", 1e-3),
        ("wav", "PCM_24", 1e-3),
        ("wav", "PCM_32", 1e-3),
        ("wav", "FLOAT", 1e-3),
        ("wav", "DOUBLE", 1e-3),
        ("flac", "PCM_16", 1e-3),
        ("ogg", "VORBIS", 0.02),
        ("mp3", "MPEG_LAYER_III", 0.02),
    ],
)
def test_plain_files(tmp_path: Path, suffix: str, subtype: str, error: float) -> None:
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, np.stack([tone(0.6, 44100)] * 2, axis=1), 44100, subtype=subtype)
    audio = read_audio(path, 16000)
    assert audio.samples.dtype == np.float32
    assert audio.rate == 16000
    assert len(audio.samples) == pytest.approx(9600, abs=1)
    assert sine_error(audio.samples, 16000) < error


@pytest.mark.parametrize("native", [8000, 11025, 16000, 22050, 24000, 48000, 96000, 44056])
def test_rates(tmp_path: Path, native: int) -> None:
    soundfile.write(tmp_path / "a.wav", tone(0.5, native), native, subtype="FLOAT")
    samples = read_audio(tmp_path / "a.wav", 16000).samples
    assert len(samples) == -(-round(native / 2) * 16000 // native)
    assert sine_error(samples, 16000) < 2e-3


@pytest.mark.parametrize(
    ("codec", "suffix", "error"),
    [
        ("pcm_u8", "mov", 0.01),
        ("pcm_s16le", "mkv", 1e-3),
        ("pcm_s32le", "mkv", 1e-3),
        ("pcm_f32le", "mov", 1e-3),
        ("pcm_f64le", "mov", 1e-3),
        ("flac", "mkv", 1e-3),
        ("alac", "m4a", 1e-3),
        ("aac", "mp4", 0.03),
        ("libopus", "webm", 0.05),
        ("libmp3lame", "mkv", 0.05),
    ],
)
def test_containers(tmp_path: Path, codec: str, suffix: str, error: float) -> None:
    path = tmp_path / f"a.{suffix}"
    write_media(path, sound=np.stack([tone(0.6, 48000)] * 2), sound_codec=codec, layout="stereo")
    samples = read_audio(path, 16000).samples
    assert len(samples) == pytest.approx(9600, abs=400)
    assert sine_error(samples, 16000) < error


def test_6_8_channels_are_averaged(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.stack([tone(0.3, 16000), 0 * tone(0.3, 16000)], 1), 16000, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav", 16000).samples, 0.5 * tone(0.3, 16000), atol=1e-6)


@pytest.mark.parametrize("suffix", ["wav", "mkv"])
@pytest.mark.parametrize(("channel", "weight"), [(0, 0.2071), (2, 0.2929), (3, 0.0), (5, 0.1464)])
def test_surround_is_mixed_by_position(tmp_path: Path, suffix: str, channel: int, weight: float) -> None:
    sound = np.zeros((6, 4800))
    sound[channel] = tone(0.3, 16000)
    path = tmp_path / f"a.{suffix}"
    if suffix == "wav":
        soundfile.write(path, sound.T, 16000, format="WAVEX", subtype="PCM_16")
    else:
        write_media(path, sound=sound, sound_codec="pcm_s16le", rate=16000, layout="5.1")
    samples = read_audio(path, 16000).samples
    assert np.abs(samples).max() == pytest.approx(0.5 * weight, abs=1e-3)


@pytest.mark.parametrize("native", [16000, 44100, 48000, 8000])
@pytest.mark.parametrize(("start", "end"), [(0.1, 0.35), (0.3333, None), (None, 0.02), (0.98, 5.0)])
def test_a_segment_is_that_part_of_the_whole(tmp_path: Path, native: int, start: float | None, end: float) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, native)
    soundfile.write(tmp_path / "a.wav", noise, native, subtype="FLOAT")
    whole = read_audio(tmp_path / "a.wav", 16000).samples
    part = read_audio(tmp_path / "a.wav", 16000, start, end).samples
    wanted = whole[round((start or 0) * 16000) : None if end is None else round(end * 16000)]
    np.testing.assert_allclose(part, wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("codec", "suffix", "slack"),
    [("aac", "mp4", 1), ("libmp3lame", "mp3", 1), ("pcm_s16le", "mkv", 1), ("libopus", "mkv", 16)],  # 1 ms in Matroska
)
def test_a_segment_of_a_container_is_in_place(tmp_path: Path, codec: str, suffix: str, slack: int) -> None:
    seconds = np.arange(3 * 48000) / 48000
    sweep = 0.5 * np.sin(2 * np.pi * (200 * seconds + 300 * seconds**2))
    pictures = None if suffix == "mp3" else [numbered(i) for i in range(75)]
    path = write_media(tmp_path / f"a.{suffix}", pictures, sweep, sound_codec=codec)
    whole = read_audio(path, 16000).samples
    part = read_audio(path, 16000, 1.234, 2.0).samples
    assert len(part) == round(2.0 * 16000) - round(1.234 * 16000)
    shifts = range(-20, 21)
    begin = round(1.234 * 16000)
    errors = [np.abs(part - whole[begin + shift : begin + shift + len(part)]).mean() for shift in shifts]
    assert abs(shifts[int(np.argmin(errors))]) <= slack
    assert min(errors) < 0.02


def test_sound_that_starts_late_is_preceded_by_silence(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    write_media(path, [numbered(i) for i in range(25)], tone(0.4, 48000), sound_codec="pcm_s16le", sound_from=0.5)
    samples = read_audio(path, 16000).samples
    assert np.abs(samples[:7900]).max() < 1e-3
    assert np.abs(samples[8100:]).max() > 0.4
    assert np.abs(read_audio(path, 16000, 0.1, 0.3).samples).max() < 1e-3


def test_resampling_neither_delays_nor_aliases() -> None:
    impulse = np.zeros(4410, dtype=np.float32)
    impulse[2205] = 1
    assert int(resample(impulse, 44100, 16000).argmax()) == 800
    high = resample(tone(0.5, 44100, 9000).astype(np.float32), 44100, 16000)
    assert np.abs(high[800:-800]).max() < 5e-4
    voice = resample(tone(0.5, 44100, 5000).astype(np.float32), 44100, 16000)
    assert np.abs(voice[800:-800]).max() == pytest.approx(0.5, rel=0.01)
    assert resample(np.ones(7, dtype=np.float32), 16000, 8000).shape == (4,)


@pytest.mark.parametrize("suffix", ["wav", "mp4"])
def test_twenty_milliseconds(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix == "wav":
        soundfile.write(path, tone(0.02, 44100), 44100)
    else:
        write_media(path, sound=tone(0.02, 44100), rate=44100)
    assert 320 <= len(read_audio(path, 16000).samples) <= 800


def test_silence_is_sound(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(16000), 16000)
    assert not read_audio(tmp_path / "a.wav", 16000).samples.any()


def test_a_wrong_suffix_does_not_matter(tmp_path: Path) -> None:
    write_media(tmp_path / "a.mp4", sound=tone(0.5, 48000)).rename(tmp_path / "a.wav")
    assert len(read_audio(tmp_path / "a.wav", 16000).samples) > 7500


def test_a_cut_off_wav_gives_what_is_there(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(1, 16000), 16000)
    content = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(content[: len(content) // 2])
    assert len(read_audio(tmp_path / "a.wav", 16000).samples) == pytest.approx(8000, abs=50)


@pytest.mark.parametrize("name", ["none.wav", "empty.wav", "text.mp4", "text.wav", "folder"])
def test_files_that_are_no_media_are_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty.wav").touch()
    (tmp_path / "folder").mkdir()
    for text in ("text.mp4", "text.wav"):
        (tmp_path / text).write_text("This is not a video.\n" * 50)
    with pytest.raises(MediaError, match=name) as caught:
        read_audio(tmp_path / name, 16000)
    assert caught.value.hint


def test_no_sound_track(tmp_path: Path) -> None:
    write_media(tmp_path / "a.mp4", [numbered(i) for i in range(5)])
    with pytest.raises(MediaError, match="no sound track"):
        read_audio(tmp_path / "a.mp4", 16000)


@pytest.mark.parametrize("suffix", ["wav", "mp4"])
def test_a_segment_after_the_end(tmp_path: Path, suffix: str) -> None:
    soundfile.write(tmp_path / "a.wav", tone(0.5, 16000), 16000)
    write_media(tmp_path / "a.mp4", sound=tone(0.5, 16000), rate=16000)
    with pytest.raises(MediaError, match=r"from 3.0 s on"):
        read_audio(tmp_path / f"a.{suffix}", 16000, 3.0, 4.0)


def test_values_that_are_not_finite(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.array([0.0, np.nan, 0.1] * 100), 16000, subtype="FLOAT")
    with pytest.raises(MediaError, match="not finite"):
        read_audio(tmp_path / "a.wav", 16000)


def test_names_that_look_like_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_media(tmp_path / "12:30 中文 #1.mp4", sound=tone(0.5, 16000), rate=16000)
    monkeypatch.chdir(tmp_path)
    assert len(read_audio(Path("12:30 中文 #1.mp4"), 16000).samples) > 7500
