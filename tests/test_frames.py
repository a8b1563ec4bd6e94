"""Clips of a stream at either level."""

from __future__ import annotations

import numpy as np
import pytest

from mer_core.errors import DataError
from mer_core.frames import frames_of, offsets_of
from mer_core.plugin import StreamData, StreamInfo, pad_clips, take_clips

FRAMES = StreamData(
    StreamInfo("speech:a", "speech", 2, "frame"),
    np.arange(12, dtype=np.float16).reshape(6, 2),
    np.array([True, False, True]),
    np.array([[0, 2], [2, 2], [3, 6]]),
)
VECTORS = StreamData(
    StreamInfo("text:b", "text", 2), np.arange(6, dtype=np.float32).reshape(3, 2), np.array([True, False, True])
)


def test_frames_are_padded_to_the_longest_of_the_batch() -> None:
    values, mask = pad_clips(FRAMES, np.array([2, 0, 1]))
    assert values.dtype == np.float32
    assert values.tolist() == [
        [[6, 7], [8, 9], [10, 11]],
        [[0, 1], [2, 3], [0, 0]],
        [[0, 0], [0, 0], [0, 0]],
    ]
    assert mask.tolist() == [[True] * 3, [True, True, False], [False] * 3]


def test_a_batch_without_any_frame_has_one_that_is_absent() -> None:
    values, mask = pad_clips(FRAMES, np.array([1]))
    assert values.shape == (1, 1, 2)
    assert not mask.any()


def test_clips_are_taken_without_copying_frames() -> None:
    taken = take_clips(FRAMES, np.array([2, 1]))
    assert taken.values is FRAMES.values
    assert pad_clips(taken, np.array([0]))[0].tolist() == [[[6, 7], [8, 9], [10, 11]]]
    assert taken.present.tolist() == [True, False]


def test_vectors_are_rows() -> None:
    taken = take_clips(VECTORS, np.array([2, 1]))
    assert taken.values.tolist() == [[4, 5], [2, 3]]
    values, mask = pad_clips(taken, np.array([1, 0]))
    assert values.tolist() == [[2, 3], [4, 5]]
    assert mask.tolist() == [False, True]


def test_frames_of_clips_that_are_there() -> None:
    assert frames_of(FRAMES, np.array([2, 1, 0])).tolist() == [3, 4, 5, 0, 1]
    assert frames_of(FRAMES, np.array([1])).tolist() == []
    assert frames_of(VECTORS, np.array([1, 2])).tolist() == [2]


def test_frames_without_offsets_are_refused() -> None:
    with pytest.raises(DataError, match=r"speech:a: the offsets of its frames have the shape \(3,\)"):
        offsets_of(StreamData(FRAMES.info, FRAMES.values, FRAMES.present, np.array([0, 2, 3])))
