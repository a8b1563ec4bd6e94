"""Which frames are taken (test and training sampling of ViFi-CLIP, Rasheed et al. 2023)."""

from __future__ import annotations

import numpy as np
import pytest

from mer_core.errors import UsageError
from mer_core.media.sampling import RatePicker, TimePicker, segment_indices

CENTRES = {
    (100, 8): [6, 18, 31, 43, 56, 68, 81, 93],
    (25, 8): [1, 4, 7, 10, 14, 17, 20, 23],
    (5, 8): [0, 0, 1, 2, 2, 3, 4, 4],
    (30, 16): [0, 2, 4, 6, 8, 10, 12, 14, 15, 17, 19, 21, 23, 25, 27, 29],
    (1, 3): [0, 0, 0],
}


@pytest.mark.parametrize(("asked", "wanted"), CENTRES.items())
def test_1_4_centres_of_segments(asked: tuple[int, int], wanted: list[int]) -> None:
    assert segment_indices(*asked) == wanted


def test_1_4_random_sampling_stays_in_its_segment() -> None:
    draws = np.array([segment_indices(100, 8, np.random.default_rng(seed)) for seed in range(300)])
    assert (draws.min(0) == 12 * np.arange(8)).all()
    assert (draws.max(0) == 12 * np.arange(8) + 11).all()


def test_1_4_random_sampling_of_a_short_video_rounds_half_to_even() -> None:
    assert segment_indices(5, 8, np.random.default_rng(0)) == [0, 1, 1, 2, 2, 3, 4, 4]


@pytest.mark.parametrize("asked", [(0, 8), (5, 0)])
def test_nothing_to_take(asked: tuple[int, int]) -> None:
    with pytest.raises(UsageError):
        segment_indices(*asked)


def picks(times: np.ndarray, fps: float | None) -> list[float]:
    picker, found = RatePicker(fps), []
    for time in times:
        if picker.wants(time):
            picker.take(time)
            found.append(round(float(time), 3))
    return found


def test_rate_counts_from_zero_without_drift() -> None:
    assert picks(np.arange(25) / 25, 5) == [0.0, 0.2, 0.4, 0.6, 0.8]
    ntsc = picks(np.arange(3000) * 1001 / 30000, 5)
    assert len(ntsc) == 501
    assert np.abs(np.array(ntsc) - np.arange(501) / 5).max() < 0.034


def test_rate_never_repeats_and_survives_rounded_times() -> None:
    assert picks(np.arange(10) / 10, 25) == [round(i / 10, 3) for i in range(10)]
    assert picks(np.round(np.arange(60) / 30, 3), 15) == [round(i / 30, 3) for i in range(0, 60, 2)]
    assert len(picks(np.arange(7) / 3, None)) == 7


def test_rate_over_a_gap_takes_one_frame_after_it() -> None:
    assert picks(np.array([0, 0.1, 0.2, 1.7, 1.75, 1.8]), 5) == [0, 0.2, 1.7, 1.8]


@pytest.mark.parametrize("fps", [0, -1, float("nan")])
def test_impossible_rate(fps: float) -> None:
    with pytest.raises(UsageError):
        RatePicker(fps)


def test_time_picker_repeats_and_replaces() -> None:
    picker = TimePicker([0.0, 0.0, 0.2, 0.3])
    assert picker.wants(0.0) == 2
    picker.take(0.0)
    assert picker.wants(0.1) == 0
    assert picker.wants(0.35) == 2
    picker.take(0.35)
    assert picker.done
