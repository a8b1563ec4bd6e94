"""Pooling of frames and standardisation of columns."""

from __future__ import annotations

import numpy as np
import pytest

from mer_core.errors import DataError
from mer_core.pooling import (
    POOLINGS,
    Standardiser,
    count_nonfinite,
    frame_statistics,
    pool_frames,
    pool_statistics,
    pooled_dim,
)

FRAMES = np.array([[1, 2], [3, 6]], np.float32)


def random(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(3, 2, (rows, columns)).astype(np.float32)


def test_goldens() -> None:
    assert pool_frames(FRAMES, "mean").tolist() == [2, 4]
    assert pool_frames(FRAMES, "mean_std").tolist() == [2, 4, 1, 2]
    assert pool_frames(FRAMES, "mean_var").tolist() == [2, 4, 1, 4]


def test_7_dimensions_of_the_paper() -> None:
    assert [pooled_dim(d, "mean_var") for d in (1024, 5120, 768)] == [2048, 10240, 1536]
    assert pooled_dim(768, "mean") == 768


@pytest.mark.parametrize("pooling", POOLINGS)
def test_one_frame_has_no_spread(pooling: str) -> None:
    pooled = pool_frames(FRAMES[:1], pooling)
    assert pooled[:2].tolist() == [1, 2]
    assert not pooled[2:].any()


@pytest.mark.parametrize("pooling", POOLINGS)
def test_many_clips_at_once_equal_one_after_the_other(pooling: str) -> None:
    clips = [random(t, 5, seed=t) for t in (1, 2, 40)]
    counts, means, stds = zip(*map(frame_statistics, clips), strict=True)
    together = pool_statistics(np.array(counts), np.stack(means), np.stack(stds), pooling)
    assert together.dtype == np.float32
    assert np.array_equal(together, np.stack([pool_frames(clip, pooling) for clip in clips]))


def test_large_offsets_keep_their_small_spread() -> None:
    pooled = pool_frames(random(500, 1) + np.float32(20000), "mean_std")
    assert pooled[1] == pytest.approx(2, rel=0.1)


def test_what_cannot_be_pooled_is_refused() -> None:
    with pytest.raises(DataError, match=r"\(0, 2\)"):
        pool_frames(FRAMES[:0], "mean")
    with pytest.raises(DataError, match="median"):
        pool_frames(FRAMES, "median")
    with pytest.raises(DataError, match="differ"):
        pool_statistics(1, np.zeros(3), np.zeros(2), "mean")


def test_standardised_columns_have_mean_0_and_deviation_1_on_the_rows_given() -> None:
    values, rows = random(50, 300), np.arange(0, 50, 2)
    done = Standardiser.fit(values, rows).apply(values)
    assert np.abs(done[rows].mean(axis=0)).max() < 1e-5
    assert np.abs(done[rows].std(axis=0) - 1).max() < 1e-5


def test_rows_not_given_change_nothing() -> None:
    values, rows = random(50, 7), np.arange(30)
    other = values.copy()
    other[30:] = np.nan
    one, two = Standardiser.fit(values, rows), Standardiser.fit(other, rows)
    assert all(np.array_equal(getattr(one, k), getattr(two, k)) for k in ("median", "mean", "scale"))


@pytest.mark.parametrize("count", [7, 8])
def test_holes_get_the_training_median(count: int) -> None:
    values = random(count, 3)
    fitted = Standardiser.fit(values, np.ones(count, bool), standardise=False)
    assert np.allclose(fitted.median, np.median(values, axis=0))
    holes = np.array([[np.nan, 1, np.inf]], np.float32)
    assert np.array_equal(fitted.apply(holes)[0], [fitted.median[0], 1, fitted.median[2]])


def test_holes_in_training_are_left_out_of_the_median() -> None:
    values = np.array([[1], [2], [np.nan], [9], [-np.inf]], np.float32)
    fitted = Standardiser.fit(values, np.arange(5))
    assert fitted.median[0] == 2
    assert fitted.mean[0] == pytest.approx((1 + 2 + 2 + 9 + 2) / 5)


def test_constant_and_empty_columns_become_zero() -> None:
    values = random(20, 3)
    values[:, 0], values[:, 1] = 5000.123, np.nan
    done = Standardiser.fit(values, np.arange(20)).apply(values)
    assert not done[:, :2].any()
    assert done[:, 2].any()
    new = np.array([[1e9, 3, 0]], np.float32)
    assert not Standardiser.fit(values, np.arange(20)).apply(new)[0, :2].any()


def test_nothing_infinite_comes_out() -> None:
    values = np.array([[1e-20], [2e-20], [3e38]], np.float32)
    assert np.isfinite(Standardiser.fit(values, np.arange(2)).apply(values)).all()
    assert Standardiser.fit(values, np.arange(2), limit=4.0).apply(values)[2, 0] == 4


def test_without_rows_or_standardising_values_stay() -> None:
    values = random(4, 2)
    assert np.array_equal(Standardiser.fit(values, np.arange(0)).apply(values), values)
    assert np.array_equal(Standardiser.fit(values, np.arange(4), standardise=False, limit=0.1).apply(values), values)


def test_holes_are_counted_in_the_rows_asked_for() -> None:
    values = random(4, 2)
    values[0, 1] = values[3, 1] = np.nan
    assert count_nonfinite(values, np.array([True, True, True, False])).tolist() == [0, 1]
