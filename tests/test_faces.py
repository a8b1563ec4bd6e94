"""Face tracks: linking, the main face, repair of landmarks, asking for the face at a time."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from mer_core.media.faces import EYES_IN_BOX, Detection, FaceTrack, choose_main, repair_points
from mer_core.types import Derived, Missing

SIZE = (640, 360)


def face(x: float, y: float = 100, side: float = 80, score: float = 0.9, eyes: bool = True) -> Detection:
    centre = np.array([x + side / 2, y + side / 2])
    return Detection((x, y, side, side), score, EYES_IN_BOX * side + centre if eyes else None)


def times(count: int, step: float = 0.2) -> list[float]:
    return [step * i for i in range(count)]


def track_of(frames: list[list[Detection]], step: float = 0.2) -> FaceTrack:
    found = choose_main(times(len(frames), step), frames, SIZE)
    assert isinstance(found, FaceTrack)
    return found


def reason_of(frames: list[list[Detection]]) -> str:
    found = choose_main(times(len(frames)), frames, SIZE)
    assert isinstance(found, Missing)
    return found.reason


def test_the_larger_face_is_the_main_one() -> None:
    track = track_of([[face(10, side=60), face(300, side=120)] for _ in range(6)])
    assert track.boxes[:, 2].tolist() == [120] * 6
    assert track.quality() == {"coverage": 1.0, "size": 120.0, "score": 0.9, "jumps": 0.0}


def test_continuity_beats_a_moment_of_size() -> None:
    frames = [[face(50 + 4 * i)] for i in range(12)]
    for i in (5, 6):
        frames[i].insert(0, face(400, side=150))
    assert (track_of(frames).boxes[:, 2] == 80).all()


def test_a_moving_face_is_followed_past_another() -> None:
    frames = [sorted([face(20 * i), face(300, side=70)], key=lambda d: d.box[0]) for i in range(15)]
    track = track_of(frames)
    assert track.boxes[:, 0].tolist() == [20.0 * i for i in range(15)]
    assert track.quality()["jumps"] == 0


def test_lone_detections_are_rejected() -> None:
    empty: list[list[Detection]] = [[] for _ in range(20)]
    assert reason_of(empty) == "no face found in 20 frames"
    empty[7] = [face(100)]
    assert "only 1 lone or weak detection" in reason_of(empty)
    empty[17] = [face(400)]
    assert "only 2 lone or weak detections" in reason_of(empty)


def test_a_lone_detection_beside_the_main_face_is_not_part_of_it() -> None:
    frames = [[face(100)] for _ in range(10)]
    frames[4] = [face(500)]
    track = track_of(frames)
    assert len(track) == 9
    assert track.quality()["coverage"] == 0.9


def test_weak_detections_are_not_believed_however_many() -> None:
    assert "weak" in reason_of([[face(100, score=0.3)] for _ in range(40)])


def test_a_picture_of_one_frame_may_have_a_face() -> None:
    assert len(track_of([[face(100)]])) == 1
    assert "no face" in reason_of([[face(100, score=0.3)]])
    assert "no frames" in reason_of([])


def test_after_a_cut_a_face_of_similar_size_takes_over_and_is_counted() -> None:
    frames = [[face(50)] for _ in range(10)] + [[face(400, side=100)] for _ in range(6)]
    track = track_of(frames)
    assert len(track) == 16
    assert track.quality()["jumps"] == 1
    assert len(track_of([[face(50)] for _ in range(10)] + [[face(400, side=30)] for _ in range(6)])) == 10


def test_detections_without_landmarks_get_the_usual_eyes() -> None:
    track = track_of([[face(100, eyes=False)] for _ in range(4)])
    assert track.points == pytest.approx(track_of([[face(100)] for _ in range(4)]).points)


def test_missing_and_jumping_eyes_are_repaired() -> None:
    frames = [[face(10.0 * i)] for i in range(9)]
    expected = track_of(frames).points
    frames[3][0].points[1] = np.nan  # type: ignore[index]
    frames[6][0].points[0] += (25, 12)  # type: ignore[index]
    assert track_of(frames).points == pytest.approx(expected, abs=1e-6)


def test_a_turned_head_does_not_blow_the_face_up() -> None:
    frames = [[face(100)] for _ in range(9)]
    narrow = frames[4][0].points
    assert narrow is not None
    narrow[:] = narrow.mean(0) + (narrow - narrow.mean(0)) * 0.6 + np.array([1, 0])
    points = track_of(frames).points
    distance = np.linalg.norm(points[:, 1] - points[:, 0], axis=1)
    assert distance[4] == pytest.approx(0.95 * distance[0])
    assert points[4].mean(0) == pytest.approx(points[0].mean(0) + np.array([1, 0]), abs=1e-6)


def test_repair_keeps_slopes_and_more_landmarks() -> None:
    rng = np.random.default_rng(0)
    boxes = np.tile([100.0, 50.0, 80.0, 80.0], (6, 1))
    points = np.tile(rng.uniform(60, 180, (68, 2)), (6, 1, 1))
    assert repair_points(np.arange(6) * 0.2, boxes, points) == pytest.approx(points)


def test_the_face_at_a_time_is_interpolated_within_the_gap() -> None:
    frames = [[face(100 + 10 * i, score=0.6 + 0.1 * i)] if i in (0, 1, 2) else [] for i in range(12)]
    track = track_of(frames)
    points, score = track.at(0.3) or (None, None)
    assert points == pytest.approx(track.points[1:3].mean(0))
    assert score == pytest.approx(0.75)
    assert track.at(0.4 + 0.5) is not None
    assert track.at(0.4 + 0.51) is None
    assert track.at(0.6, max_gap=0.1) is None


def test_a_long_gap_and_a_jump_are_not_interpolated() -> None:
    cut = track_of([[face(50)] for _ in range(5)] + [[face(400)] for _ in range(5)])
    before, after = cut.at(0.85), cut.at(0.95)
    assert before is not None
    assert after is not None
    assert before[0][0, 0] < 100
    assert after[0][0, 0] > 400
    gap = track_of([[face(100)] for _ in range(3)] + [[] for _ in range(8)] + [[face(100)] for _ in range(3)])
    assert gap.at(1.3) is None
    assert gap.at(0.7) is not None


def test_a_track_survives_storage() -> None:
    track = track_of([[face(100 + i)] for i in range(5)] + [[]])
    derived = track.to_derived()
    json.dumps(dict(derived.info))
    back = FaceTrack.from_derived(Derived(derived.arrays, json.loads(json.dumps(dict(derived.info)))))
    assert back.size == SIZE
    assert back.frames_seen == 6
    for name in ("times", "boxes", "points", "scores"):
        assert np.array_equal(getattr(back, name), getattr(track, name))
    assert derived.info["quality"]["coverage"] == pytest.approx(5 / 6, abs=1e-4)
    assert "outlines" not in derived.arrays
    assert back.outlines is back.outline(0.2) is None


def test_a_track_may_know_the_outline_of_the_face() -> None:
    plain = track_of([[face(100 + 10 * i)] for i in range(3)])
    track = FaceTrack.from_derived(replace(plain, outlines=plain.points + 5).to_derived())
    assert track.outline(0.2) == pytest.approx(plain.points[1] + 5)
    assert track.outline(0.3) == pytest.approx(plain.points[1:].mean(0) + 5)
    assert track.outline(3.0) is None
    half = track.scaled((320, 180)).outlines
    assert half == pytest.approx((plain.points + 5) / 2)


def test_a_track_scales_with_the_frame() -> None:
    track = track_of([[face(100)] for _ in range(3)])
    half = track.scaled((320, 180))
    assert half.size == (320, 180)
    assert half.points == pytest.approx(track.points / 2)
    assert half.boxes == pytest.approx(track.boxes / 2)
    assert track.scaled(SIZE) is track
