"""Pictures: upright, on time, only those asked for, and never all held at once."""

from __future__ import annotations

import sys
import tracemalloc
import weakref
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from media_maker import index_of, numbered, quadrants, tone, write_media

from mer_core.errors import MediaError
from mer_core.inputs import FramesInput
from mer_core.media import video
from mer_core.media.container import Media
from mer_core.media.picture import Upright
from mer_core.media.sampling import segment_indices
from mer_core.media.video import VideoReader
from mer_core.types import Frames, Missing


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 frames at 25 per second, one key frame, B frames, 64 x 48."""
    return write_media(tmp_path_factory.mktemp("v") / "a.mp4", [numbered(i) for i in range(100)])


@pytest.fixture(scope="module")
def formats(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The same 100 frames, with one key frame and with many, in containers that seek differently."""
    folder = tmp_path_factory.mktemp("f")
    images = [numbered(i, 32, 32) for i in range(100)]
    cases = [(f"{gop}.{suffix}", gop) for gop in (250, 12) for suffix in ("mp4", "mkv", "ts", "flv")]
    return [write_media(folder / name, images, gop=gop) for name, gop in cases]


def read(path: Path, start: float | None = None, end: float | None = None, **wanted: Any) -> Frames:
    with VideoReader(path, start, end) as reader:
        found = reader.read({"frames": FramesInput(**wanted)})["frames"]
    assert isinstance(found, Frames)
    return found


def indices(frames: Frames) -> list[int]:
    return [index_of(image) for image in frames.images]


def test_all_frames_with_their_times(clip: Path) -> None:
    frames = read(clip)
    assert frames.images.shape == (100, 48, 64, 3)
    assert frames.images.dtype == np.uint8
    assert indices(frames) == list(range(100))
    np.testing.assert_allclose(frames.times, np.arange(100) / 25)
    assert frames.quality is not None
    assert (frames.quality == 1).all()


@pytest.mark.parametrize("count", [1, 8, 16, 100, 130])
def test_count_is_exact(clip: Path, count: int) -> None:
    assert indices(read(clip, count=count)) == segment_indices(100, count)


def test_count_within_a_segment(clip: Path) -> None:
    frames = read(clip, 1.0, 2.0, count=8)
    assert indices(frames) == [25 + i for i in (1, 4, 7, 10, 14, 17, 20, 23)]
    np.testing.assert_allclose(frames.times, [i / 25 for i in (1, 4, 7, 10, 14, 17, 20, 23)], atol=1e-6)


def test_rate(clip: Path) -> None:
    assert indices(read(clip, fps=5)) == list(range(0, 100, 5))
    assert indices(read(clip, fps=1000)) == list(range(100))
    assert indices(read(clip, 1.02, 2.0, fps=5)) == [26, 31, 36, 41, 46]


@pytest.mark.parametrize(
    ("start", "end"), [(0.5, 1.0), (1.23, 2.9), (3.9, None), (None, 0.2), (0.04, 0.08), (3.0, 99.0)]
)
def test_segments_to_the_frame(formats: list[Path], start: float, end: float) -> None:
    wanted = [i for i in range(100) if (start or 0) <= i / 25 + 1e-9 and (end is None or i / 25 < end - 1e-9)]
    for path in formats:
        frames = read(path, start, end)
        assert indices(frames) == wanted, path.name
        np.testing.assert_allclose(frames.times, np.array(wanted) / 25 - (start or 0), atol=1e-3)


def test_a_segment_between_two_frames_shows_the_one_on_screen(clip: Path) -> None:
    for wanted in ({}, {"fps": 5}, {"count": 2}):
        frames = read(clip, 1.005, 1.025, **wanted)
        assert set(indices(frames)) == {25}
        assert set(frames.times) == {0.0}
    assert len(read(clip, 1.005, 1.025, count=2)) == 2
    assert indices(read(clip, 3.99, 9.0)) == [99]


def test_a_segment_after_the_end(clip: Path) -> None:
    with pytest.raises(MediaError, match=r"from 7.0 s on"):
        read(clip, 7.0, 8.0)


def test_variable_frame_rate(tmp_path: Path) -> None:
    times = [0, 40, 80, 120, 1000, 1040, 1500, 1510, 1520, 2000]
    path = write_media(tmp_path / "a.mkv", [numbered(i) for i in range(10)], times=times)
    frames = read(path)
    assert indices(frames) == list(range(10))
    np.testing.assert_allclose(frames.times, np.array(times) / 1000)
    assert indices(read(path, fps=5)) == [0, 4, 6, 9]
    assert indices(read(path, 1.0, 1.6)) == [4, 5, 6, 7, 8]
    assert indices(read(path, count=5)) == [1, 3, 5, 7, 9]


@pytest.mark.parametrize(
    ("turn", "same_as"),
    [
        ({"degrees": 90}, lambda image: np.rot90(image, 1)),
        ({"degrees": -90}, lambda image: np.rot90(image, -1)),
        ({"degrees": 180}, lambda image: np.rot90(image, 2)),
        ({"degrees": 0, "hflip": True}, lambda image: image[:, ::-1]),
        ({"degrees": 90, "hflip": True}, None),
    ],
)
def test_rotation(tmp_path: Path, turn: dict[str, Any], same_as: Any) -> None:
    if not hasattr(av.VideoStream, "set_display_rotation"):
        pytest.skip("this PyAV writes no display matrix")
    path = write_media(tmp_path / "a.mp4", [quadrants()] * 3, rotation=turn)
    stored = read(write_media(tmp_path / "plain.mp4", [quadrants()] * 3)).images[0]
    image = read(path).images[0]
    with VideoReader(path) as reader:
        assert reader.size == (image.shape[1], image.shape[0])
        assert reader.size == ((48, 64) if abs(turn["degrees"]) == 90 else (64, 48))
        assert (reader.info.width, reader.info.height) == reader.size
    if same_as is None:  # mirrored after the turn: a transposition of one kind or the other
        assert any(
            (image == other).all() for other in (stored.transpose(1, 0, 2), np.rot90(stored, 2).transpose(1, 0, 2))
        )
    else:
        np.testing.assert_array_equal(image, same_as(stored))
    assert read(path, max_side=32).images.shape[1:3] == ((32, 24) if abs(turn["degrees"]) == 90 else (24, 32))


def test_pixel_aspect_becomes_square(tmp_path: Path) -> None:
    path = write_media(tmp_path / "a.mkv", [numbered(i) for i in range(3)], aspect=Fraction(3, 2))
    assert read(path).images.shape == (3, 48, 96, 3)
    odd = write_media(tmp_path / "b.mkv", [numbered(i) for i in range(3)], aspect=Fraction(101, 100))
    assert read(odd).images.shape == (3, 48, 64, 3)


def test_max_side_never_enlarges(clip: Path) -> None:
    assert read(clip, count=1, max_side=32).images.shape == (1, 24, 32, 3)
    assert read(clip, count=1, max_side=640).images.shape == (1, 48, 64, 3)
    assert read(clip, count=1, max_side=1).images.shape == (1, 1, 1, 3)


@pytest.mark.parametrize("side", [1, 2, 3])
def test_tiny_pictures(tmp_path: Path, side: int) -> None:
    path = write_media(tmp_path / "a.mkv", [numbered(i, side, side) for i in range(4)], codec="ffv1")
    assert read(path, fps=5, max_side=320).images.shape == (1, side, side, 3)
    assert indices(read(path)) == [0, 1, 2, 3]


@pytest.mark.parametrize("pixels", ["gray", "yuv420p", "yuv422p10le", "bgra", "bgr0"])
def test_pixel_formats(tmp_path: Path, pixels: str) -> None:
    path = write_media(tmp_path / "a.mkv", [numbered(20, 33, 17)], codec="ffv1", pixels=pixels)
    assert np.abs(read(path).images.astype(int) - numbered(20, 33, 17)).max() <= 2


@pytest.mark.parametrize("space", [1, 3, 5, 9, 14])
def test_colour_spaces(space: int) -> None:
    frame = av.VideoFrame.from_ndarray(quadrants(), format="rgb24").reformat(format="yuv444p")
    frame.colorspace = space
    image = Upright(frame).image(frame)
    assert np.abs(image.astype(int) - quadrants()).max() <= 90


def test_a_format_without_times_or_seeking(tmp_path: Path) -> None:
    path = write_media(tmp_path / "a.h264", [numbered(i) for i in range(60)], fps=25)
    frames = read(path)
    assert indices(frames) == list(range(60))
    assert (np.diff(frames.times) > 0).all()
    assert len(read(path, count=8)) == 8
    assert indices(read(path, 1.0, 1.2))[0] in (24, 25, 26)


def test_one_pass_serves_all_requests(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    walk = Media.frames

    def counted(media: Media, *args: Any) -> Iterator[tuple[float, Any]]:
        for item in walk(media, *args):
            decoded.append(item[0])
            yield item

    with VideoReader(clip) as reader:
        monkeypatch.setattr(Media, "frames", counted)
        wanted = {
            "a": FramesInput(fps=5),
            "b": FramesInput(count=8, max_side=32),
            "c": FramesInput(),
            "d": FramesInput(fps=5),
        }
        found = reader.read(wanted)
    assert len(decoded) == 100
    assert {name: len(frames) for name, frames in found.items() if isinstance(frames, Frames)} == {
        "a": 20, "b": 8, "c": 100, "d": 20,
    }  # fmt: skip


def test_a_count_stops_when_it_is_served(clip: Path) -> None:
    with VideoReader(clip) as reader:
        times = [time for time, _ in reader.stream_of(FramesInput(count=2))]
    assert times == [1.0, 3.0]


def test_stream_is_lazy_and_starts_anew(clip: Path) -> None:
    with VideoReader(clip, 1.0, 3.0) as reader:
        stream = reader.stream(fps=5, max_side=32)
        assert stream.size == (32, 24)
        first = [(time, index_of(image)) for time, image in stream]
        next(iter(stream))
        assert [(time, index_of(image)) for time, image in stream] == first
    assert [index for _, index in first] == list(range(25, 75, 5))
    np.testing.assert_allclose([time for time, _ in first], np.arange(10) / 5, atol=1e-6)
    assert len(list(stream)) == 10, "a closed reader's stream opens the file again"


def test_two_passes_at_once_are_refused(clip: Path) -> None:
    with VideoReader(clip) as reader:
        slow = iter(reader.stream())
        next(slow)
        reader.read({"a": FramesInput(fps=1)})
        with pytest.raises(MediaError, match="second pass"):
            next(slow)


def test_cut_off_file_gives_the_frames_that_are_left(tmp_path: Path) -> None:
    path = write_media(
        tmp_path / "a.mp4", [quadrants() // 8 + numbered(i) // 2 for i in range(100)], options={"movflags": "faststart"}
    )
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    frames = read(path, max_side=16)
    assert 10 < len(frames) < 90
    assert len(read(path, count=8)) == 8


def test_damage_in_the_middle_is_skipped(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (60, 48, 64, 3), dtype=np.uint8)
    path = write_media(tmp_path / "a.mkv", list(noise), codec="ffv1", pixels="bgr0")
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 2000] = bytes(2000)
    path.write_bytes(content)
    frames = read(path, max_side=16)
    assert 40 < len(frames) <= 60
    assert (np.diff(frames.times) > 0).all()


def test_no_pictures(tmp_path: Path) -> None:
    path = write_media(tmp_path / "a.mp4", sound=tone(0.3, 48000))
    with pytest.raises(MediaError, match="no picture track"):
        VideoReader(path)


class Track:
    """A face from 1 s to 3 s, with points in an image of half the size."""

    size = (32, 24)

    def at(self, time: float, max_gap: float = 0.5) -> tuple[np.ndarray, float] | None:
        return (np.array([[12.0, 10.0], [20.0, 10.0]]), 0.75) if 1 <= time < 3 else None

    def outline(self, time: float, max_gap: float = 0.5) -> np.ndarray:
        return np.array([[8.0, 4.0], [24.0, 4.0], [16.0, 20.0]])


def test_faces_are_cut_along_the_track(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def crop(image: np.ndarray, points: np.ndarray, size: int, outline: np.ndarray) -> np.ndarray:
        seen.extend([points, outline])
        return numbered(index_of(image), size, size)

    monkeypatch.setattr("mer_core.media.align.crop_face", crop)
    with VideoReader(clip) as reader:
        wanted = {
            "f": FramesInput(fps=5, faces=True, size=32),
            "c": FramesInput(count=4, faces=True),
            "w": FramesInput(fps=5),
        }
        found = reader.read(wanted, Track())  # type: ignore[arg-type]
        none = reader.read({"f": wanted["f"], "c": wanted["c"]}, None)
        sizes = [reader.stream_of(wanted["f"], Track()).size, reader.stream_of(wanted["w"]).size]  # type: ignore[arg-type]
    assert indices(found["f"]) == list(range(25, 75, 5))  # type: ignore[arg-type]
    assert found["f"].images.shape == (10, 32, 32, 3)  # type: ignore[union-attr]
    np.testing.assert_array_equal(found["f"].quality, 0.75)  # type: ignore[union-attr]
    assert indices(found["c"]) == [25 + i for i in segment_indices(50, 4)]  # type: ignore[arg-type]
    assert found["c"].images.shape[1] == 128  # type: ignore[union-attr]
    assert len(found["w"]) == 20  # type: ignore[arg-type]
    np.testing.assert_array_equal(seen[0], [[24, 20], [40, 20]])
    np.testing.assert_array_equal(seen[1], [[16, 8], [48, 8], [32, 40]])
    assert none == {"f": Missing("no face in view"), "c": Missing("no face in view")}
    assert sizes == [(32, 32), (64, 48)]


def test_real_faces_are_upright_squares(clip: Path) -> None:
    pytest.importorskip("mer_core.media.align")
    with VideoReader(clip) as reader:
        found = reader.read({"f": FramesInput(fps=5, faces=True, size=64)}, Track())["f"]  # type: ignore[arg-type]
    assert isinstance(found, Frames)
    assert found.images.shape == (10, 64, 64, 3)


def test_full_size_frames_are_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """120 frames of 640 x 360 (83 MB as RGB) read at a rate, a count and as faces."""
    path = write_media(tmp_path / "a.mp4", [numbered(i, 640, 360) for i in range(120)], pixels="yuv420p")
    full, live, most = 640 * 360 * 3, [0], [0]
    convert, walk = Upright.image, Media.frames

    def counted(self: Upright, frame: Any, max_side: int | None = None) -> np.ndarray:
        image = convert(self, frame, max_side)
        if image.nbytes == full:
            live[0] += 1
            most[0] = max(most[0], live[0])
            weakref.finalize(image, lambda: live.__setitem__(0, live[0] - 1))
        return image

    def watched(media: Media, *args: Any) -> Iterator[tuple[float, Any]]:
        older: list[Any] = []
        for time, frame in walk(media, *args):
            yield time, frame
            older.append(frame)
            del frame
            if len(older) > 3:
                holders = sys.getrefcount(older[0]) - 2
                assert holders == 0, "a decoded frame is still held three frames later"
                older.pop(0)

    monkeypatch.setattr(Upright, "image", counted)
    monkeypatch.setattr(Media, "frames", watched)
    wanted = {
        "a": FramesInput(fps=25, max_side=64),
        "b": FramesInput(count=8, max_side=64),
        "f": FramesInput(faces=True, size=32),
    }
    with VideoReader(path) as reader:
        tracemalloc.start()
        found = reader.read(wanted, Track())  # type: ignore[arg-type]
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        for _time, _image in reader.stream():
            assert live[0] <= 3
    assert len(found["a"]) == 120  # type: ignore[arg-type]
    assert most[0] <= 3
    kept = sum(frames.images.nbytes for frames in found.values() if isinstance(frames, Frames))
    assert peak < 2 * kept + 8 * full


def test_module_loads_no_face_code() -> None:
    assert not hasattr(video, "crop_face")
