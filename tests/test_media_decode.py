"""One clip's inputs: present, absent or broken, never an exception."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from media_maker import index_of, numbered, tone, write_media

from mer_core.inputs import AudioInput, DerivedInput, FramesInput, Input, TextInput
from mer_core.media.container import Media
from mer_core.media.decode import ClipReader, decode_inputs
from mer_core.types import Audio, Clip, Derived, Failure, Frames, Missing, Text

INPUTS: dict[str, Input] = {
    "audio": AudioInput(16000),
    "frames": FramesInput(fps=5, max_side=32),
    "stream": FramesInput(fps=5, stream=True),
    "text": TextInput(),
    "faces": FramesInput(fps=5, faces=True, size=32),
    "ranking": DerivedInput("ranking"),
}


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2 s at 25 frames per second with sound."""
    path = tmp_path_factory.mktemp("d") / "a.mp4"
    return write_media(path, [numbered(i) for i in range(50)], tone(2, 44100), rate=44100)


def track_of(size: tuple[int, int] = (64, 48), times: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5, 2.0)) -> Derived:
    """A still face with two eyes, as a deriver stores it."""
    from mer_core.media.faces import FaceTrack

    count = len(times)
    return FaceTrack(
        times=np.array(times),
        boxes=np.tile([20.0, 8.0, 24.0, 24.0], (count, 1)),
        points=np.tile([[26.0, 18.0], [38.0, 18.0]], (count, 1, 1)),
        scores=np.full(count, 0.5),
        size=size,
        frames_seen=count,
    ).to_derived()


def test_everything_of_a_whole_clip(video: Path) -> None:
    ranking = Derived({"scores": np.ones(6)})
    clip = Clip(id="a", video=video, text="你好", language="zh")
    with ClipReader(clip) as reader:
        found = reader.decode(INPUTS, {"ranking": ranking, "faces": track_of()})
        streamed = [index_of(image) for _, image in found["stream"]]  # type: ignore[union-attr]
    assert list(found) == list(INPUTS)
    assert isinstance(found["audio"], Audio)
    assert found["audio"].duration == pytest.approx(2.0, abs=0.05)
    assert isinstance(found["frames"], Frames)
    assert [index_of(image) for image in found["frames"].images] == list(range(0, 50, 5)) == streamed
    assert found["text"] == Text("你好", "zh")
    assert found["ranking"] is ranking
    assert isinstance(found["faces"], Frames)
    assert found["faces"].images.shape == (10, 32, 32, 3)
    assert found["faces"].quality is not None


def test_each_file_is_opened_once(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    begin = Media._open

    def counted(media: Media) -> None:
        opened.append(media.path)
        begin(media)

    monkeypatch.setattr(Media, "_open", counted)
    with ClipReader(Clip(id="a", video=video)) as reader:
        first = reader.decode({"stream": INPUTS["stream"]}, {})
        assert len(list(first["stream"])) == 10  # type: ignore[arg-type]
        reader.decode({"audio": INPUTS["audio"], "frames": INPUTS["frames"]}, {})
    assert opened == [video]


def test_start_and_end_cut_sound_and_pictures(video: Path) -> None:
    found = decode_inputs(Clip(id="a", video=video, start=0.5, end=1.5), INPUTS, {"faces": Missing("no face")})
    assert found["audio"].duration == 1.0  # type: ignore[union-attr]
    assert index_of(found["frames"].images[0]) == 13  # type: ignore[union-attr]
    assert len(found["frames"]) == 5  # type: ignore[arg-type]
    assert found["faces"] == Missing("no face")
    assert next(index_of(image) for _, image in found["stream"]) == 13  # type: ignore[union-attr]


def test_sound_from_its_own_file(video: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "b.wav", tone(0.7, 22050), 22050)
    found = decode_inputs(Clip(id="a", video=video, audio=tmp_path / "b.wav"), INPUTS, {})
    assert found["audio"].duration == pytest.approx(0.7, abs=1e-3)  # type: ignore[union-attr]


def test_two_rates_do_not_disturb_each_other(video: Path) -> None:
    clip = Clip(id="a", video=video)
    both = decode_inputs(clip, {"a": AudioInput(16000), "b": AudioInput(24000)}, {})
    alone = decode_inputs(clip, {"b": AudioInput(24000)}, {})
    np.testing.assert_array_equal(both["b"].samples, alone["b"].samples)  # type: ignore[union-attr]


def test_a_clip_without_anything() -> None:
    found = decode_inputs(Clip(id="a"), INPUTS, {"ranking": Missing("no text")})
    assert found == {
        "audio": Missing("no audio"),
        "frames": Missing("no video"),
        "stream": Missing("no video"),
        "text": Missing("no text"),
        "faces": Missing("no video"),
        "ranking": Missing("no text"),
    }


def test_tracks_that_are_not_there(tmp_path: Path) -> None:
    silent = write_media(tmp_path / "silent.mp4", [numbered(i) for i in range(5)])
    blind = write_media(tmp_path / "blind.mp4", sound=tone(0.5, 48000))
    assert decode_inputs(Clip(id="a", video=silent, text=" \n"), INPUTS, {})["audio"] == Missing("no audio track")
    found = decode_inputs(Clip(id="a", video=blind, text=" \n"), INPUTS, {})
    assert isinstance(found["audio"], Audio)
    assert found["frames"] == found["faces"] == found["stream"] == Missing("no video track")
    assert found["text"] == Missing("no text")


def test_what_was_not_derived_is_a_failure(video: Path) -> None:
    found = decode_inputs(Clip(id="a", video=video), INPUTS, {})
    assert found["ranking"] == Failure("ranking was not derived", "decode")
    assert found["faces"] == Failure("faces were not derived", "decode")
    assert isinstance(found["frames"], Frames)
    broken = decode_inputs(Clip(id="a", video=video), INPUTS, {"faces": Failure("cascade", "faces")})
    assert broken["faces"] == Failure("cascade", "faces")
    nonsense = decode_inputs(Clip(id="a", video=video), INPUTS, {"faces": Derived({})})["faces"]
    assert isinstance(nonsense, Failure)
    assert nonsense.stage == "faces"


@pytest.mark.parametrize("name", ["none.mp4", "empty.mp4", "text.mp4", "cut.mp4", "none.wav", "text.wav"])
def test_broken_files_are_failures_that_name_them(tmp_path: Path, name: str, video: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    for text in ("text.mp4", "text.wav"):
        (tmp_path / text).write_text("This is not a video.\n" * 50)
    (tmp_path / "cut.mp4").write_bytes(video.read_bytes()[:3000])
    found = decode_inputs(Clip(id="a", video=tmp_path / name, text="x"), INPUTS, {"faces": track_of()})
    for answer in (found["audio"], found["frames"], found["faces"], found["stream"]):
        assert isinstance(answer, Failure)
        assert answer.stage == "decode"
        assert name in answer.reason
    assert isinstance(found["text"], Text)


def test_segments_outside_the_file_are_failures(video: Path) -> None:
    found = decode_inputs(Clip(id="a", video=video, start=10.0, end=11.0), INPUTS, {"faces": track_of()})
    assert isinstance(found["audio"], Failure)
    assert isinstance(found["frames"], Failure)


def test_a_library_that_throws_is_a_failure(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def bad(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("mer_core.media.picture.Upright.image", bad)
    found = decode_inputs(Clip(id="a", video=video), INPUTS, {"faces": track_of()})
    assert found["frames"] == Failure("RuntimeError: boom", "decode")
    assert isinstance(found["audio"], Audio)


def test_twenty_milliseconds_and_one_pixel(tmp_path: Path) -> None:
    tiny = write_media(
        tmp_path / "a.mkv", [numbered(0, 1, 1)], tone(0.02, 48000), codec="ffv1", sound_codec="pcm_s16le"
    )
    found = decode_inputs(Clip(id="a", video=tiny), INPUTS, {"faces": Missing("no face")})
    assert found["frames"].images.shape == (1, 1, 1, 3)  # type: ignore[union-attr]
    assert len(found["audio"].samples) == 320  # type: ignore[union-attr]


@pytest.mark.real
def test_real_clips(real_data: Path) -> None:
    """Decoding twice gives the same bits, and a segment is that part of the whole."""
    inputs: dict[str, Input] = {"audio": AudioInput(), "frames": FramesInput(fps=5, max_side=64)}
    for name in ("single_face", "sample_00000167", "sample_00001073"):
        path = real_data / "clips" / f"{name}.mp4"
        whole = decode_inputs(Clip(id="a", video=path), inputs, {})
        again = decode_inputs(Clip(id="a", video=path), inputs, {})
        part = decode_inputs(Clip(id="a", video=path, start=0.6, end=1.8), inputs, {})
        np.testing.assert_array_equal(whole["audio"].samples, again["audio"].samples)  # type: ignore[union-attr]
        np.testing.assert_array_equal(whole["frames"].images, again["frames"].images)  # type: ignore[union-attr]
        cut = whole["audio"].samples[9600:28800]  # type: ignore[union-attr]
        np.testing.assert_allclose(part["audio"].samples, cut, atol=2e-3)  # type: ignore[union-attr]
        assert len(part["frames"]) == 6  # type: ignore[arg-type]


def test_no_file_stays_open(video: Path) -> None:
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else None
    if before is None:
        pytest.skip("no /proc here")
    found = decode_inputs(Clip(id="a", video=video), INPUTS, {"faces": track_of()})
    list(found["stream"])  # type: ignore[arg-type]
    assert len(os.listdir("/proc/self/fd")) == before
