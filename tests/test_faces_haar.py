"""The haar deriver and the contact sheet: on drawn faces, and on the real clips where there are any."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from media_maker import Shown, write_media

from mer_core.errors import EnvironmentProblem, MediaError, UsageError
from mer_core.inputs import FramesInput
from mer_core.media.faces import FaceTrack
from mer_core.types import Clip, Derived, Failure, Missing, Sample
from mer_core.workflows.faces import face_sheet
from mer_plugins.faces.haar import EyeFinder, Haar, HaarOptions

WIDTH, HEIGHT = 320, 240
EYES = np.array([(-25.0, -14.0), (25.0, -14.0)])


def drawn(centre: tuple[float, float], angle: float = 0.0) -> np.ndarray:
    """A face-like drawing: lit head, eyes with brows, nose and mouth, turned by ``angle`` degrees."""
    image = np.full((HEIGHT, WIDTH, 3), 70, np.uint8)
    cx, cy = 160, 120
    cv2.ellipse(image, (cx, cy - 8), (66, 82), 0, 0, 360, (60, 42, 34), -1)
    cv2.ellipse(image, (cx, cy + 4), (58, 72), 0, 0, 360, (214, 172, 146), -1)
    for x, y in EYES:
        at = (int(cx + x), int(cy + y))
        cv2.ellipse(image, at, (13, 7), 0, 0, 360, (238, 236, 232), -1)
        cv2.circle(image, at, 6, (45, 30, 24), -1)
        cv2.ellipse(image, (at[0], at[1] - 16), (17, 4), 0, 180, 360, (60, 40, 30), 4)
        cv2.ellipse(image, (at[0], at[1] + 3), (18, 12), 0, 0, 360, (186, 140, 116), 2)
    cv2.ellipse(image, (cx, cy + 16), (9, 6), 0, 0, 180, (150, 100, 84), 3)
    cv2.line(image, (cx - 5, cy - 8), (cx - 8, cy + 14), (196, 150, 126), 3)
    cv2.ellipse(image, (cx, cy + 38), (22, 7), 0, 0, 360, (150, 62, 62), -1)
    image = cv2.GaussianBlur(image, (0, 0), 1.6)
    matrix = cv2.getRotationMatrix2D((cx, cy), -angle, 1)
    matrix[:, 2] += np.array(centre) - (cx, cy)
    return cv2.warpAffine(image, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)


def eyes_at(centre: tuple[float, float], angle: float = 0.0) -> np.ndarray:
    turn = np.radians(angle)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return EYES @ matrix.T + centre


def track_of(images: list[np.ndarray], **options: object) -> FaceTrack:
    found = Haar(HaarOptions.model_validate(options)).track(Shown(images))
    assert isinstance(found, FaceTrack), found
    return found


def sample(stream: object) -> Sample:
    return Sample("x", {"frames": stream})


def test_a_drawn_face_is_found_and_followed() -> None:
    centres = [(120.0 + 8 * i, 110.0 + 2 * i) for i in range(10)]
    track = track_of([drawn(centre) for centre in centres])
    assert track.quality()["coverage"] == 1
    assert track.quality()["jumps"] == 0
    expected = np.stack([eyes_at(centre) for centre in centres])
    assert np.abs(track.points - expected).max() < 6


def test_a_tilting_head_is_followed_and_its_slope_known() -> None:
    angles = [0, 5, 10, 15, 20, 25, 28]
    track = track_of([drawn((160, 120), angle) for angle in angles])
    assert track.quality()["coverage"] == 1
    across, down = (track.points[:, 1] - track.points[:, 0]).T
    assert np.abs(np.degrees(np.arctan2(down, across)) - angles).max() < 8


def test_following_gives_what_searching_every_frame_gives() -> None:
    images = [drawn((130 + 6 * i, 120)) for i in range(8)]
    followed, searched = track_of(images), track_of(images, rescan=0)
    assert np.abs(followed.points - searched.points).max() < 5


def test_large_frames_are_searched_small_and_answered_large() -> None:
    images = [cv2.resize(drawn((160, 120)), None, fx=4, fy=4) for _ in range(4)]
    track = track_of(images)
    assert track.size == (1280, 960)
    assert np.abs(track.points - (4 * eyes_at((160, 120)) + 1.5)).max() < 20


def test_no_face_is_missing_with_the_reason() -> None:
    rng = np.random.default_rng(1)
    noise = [rng.integers(0, 256, (120, 160, 3), dtype=np.uint8) for _ in range(6)]
    blank = [np.zeros((120, 160, 3), np.uint8)] * 3
    pixel = [np.zeros((1, 1, 3), np.uint8)] * 3
    for images in (noise, blank, pixel):
        [answer] = Haar().derive([sample(Shown(images))])
        assert isinstance(answer, Missing)
        assert f"in {len(images)} frames" in answer.reason
    flash = [*blank, drawn((160, 120)), *blank, *blank]
    [answer] = Haar().derive([sample(Shown(flash))])
    assert isinstance(answer, Missing)


def test_answers_come_in_order_and_do_not_depend_on_each_other() -> None:
    one, two = Shown([drawn((150, 120))] * 4), Shown([np.zeros((90, 90, 3), np.uint8)] * 4)
    haar = Haar()
    answers = haar.derive([sample(one), sample(two), sample(Missing("no video")), sample(one)])
    assert [type(a) for a in answers] == [Derived, Missing, Missing, Derived]
    alone = Haar().derive([sample(one)])[0]
    for answer in (answers[0], answers[3]):
        assert isinstance(answer, Derived)
        assert isinstance(alone, Derived)
        assert all(np.array_equal(answer.arrays[k], alone.arrays[k]) for k in alone.arrays)


def test_media_that_break_midway_are_a_failure() -> None:
    class Broken(Shown):
        def __iter__(self) -> Iterator[tuple[float, np.ndarray]]:
            yield 0.0, self.images[0]
            raise MediaError("the file ends in the middle.")

    [answer] = Haar().derive([sample(Broken([drawn((160, 120))]))])
    assert answer == Failure("the file ends in the middle.", stage="faces")


def test_options_choose_the_input() -> None:
    assert HaarOptions(fps=10).inputs() == {"frames": FramesInput(fps=10, stream=True)}


def test_eyes_of_a_blank_face_are_not_invented() -> None:
    assert np.isnan(EyeFinder().find(np.full((120, 120), 128, np.uint8))).all()


def test_contact_sheet_shows_every_clip(tmp_path: Path) -> None:
    with_face = write_media(tmp_path / "a.mp4", [drawn((150 + i, 120)) for i in range(12)], pixels="yuv420p")
    without = write_media(tmp_path / "b.mp4", [np.full((120, 160, 3), 60, np.uint8)] * 12, pixels="yuv420p")
    (tmp_path / "broken.mp4").write_text("not a video")
    clips = [
        Clip(id="face/一", video=with_face),
        Clip(id="none", video=without),
        Clip(id="broken", video=tmp_path / "broken.mp4"),
        Clip(id="words only", text="hello"),
    ]
    seen: list[str] = []
    out = face_sheet(
        clips, Haar(), tmp_path / "new" / "sheet.png", columns=2, per_clip=3, progress=lambda *a: seen.append(a[3])
    )
    image = cv2.imread(str(out))
    assert image is not None
    assert seen == [clip.id for clip in clips]
    left, right = np.array_split(image, 2, axis=1)
    assert (left[: len(left) // 2].std(axis=2) > 15).mean() > 5 * (right.std(axis=2) > 15).mean()
    assert all(half.min() < 120 for half in np.array_split(right, 2))


def test_contact_sheet_refuses_what_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no clips"):
        face_sheet([], Haar(), tmp_path / "x.png")
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem, match="cannot write"):
        face_sheet([Clip(id="a", text="x")], Haar(), tmp_path / "file" / "x.png")


@pytest.mark.real
def test_real_clips(real_data: Path) -> None:
    from mer_core.media.video import VideoReader

    found: dict[str, FaceTrack | Missing] = {}
    for name in ("no_face", "single_face", "sample_00000167", "sample_00001073"):
        with VideoReader(real_data / "clips" / f"{name}.mp4") as reader:
            found[name] = Haar().track(reader.stream(fps=5))
    assert isinstance(found.pop("no_face"), Missing)
    for name, track in found.items():
        assert isinstance(track, FaceTrack), name
        assert track.quality()["coverage"] >= 0.95, name
        assert track.quality()["jumps"] == 0, name
