"""Arrays on their way to a device: the one place for it, and batches that overlap there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mer_plugins
from mer_plugins.hf import to_device
from mer_plugins.speech.pieces import one_behind, side_by_side


@pytest.mark.parametrize("kind", [np.float32, np.int64, np.uint8, np.bool_])
def test_on_a_cpu_nothing_is_copied(kind: Any) -> None:
    array: Any = np.arange(12).reshape(3, 4).astype(kind)
    found = to_device(array, "cpu")
    assert found.data_ptr() == array.ctypes.data
    np.testing.assert_array_equal(found.numpy(), array)
    assert to_device(found, "cpu") is found


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_gpu_fetches_from_pinned_memory_and_nobody_waits(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    def pin(tensor: torch.Tensor) -> torch.Tensor:
        calls.append("pinned")
        return tensor.clone()

    def to(tensor: torch.Tensor, where: str, non_blocking: bool = False) -> torch.Tensor:
        calls.append((where, non_blocking))
        return tensor

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    monkeypatch.setattr(torch.Tensor, "to", to)
    for given in (np.ones((2, 3), np.float32), torch.ones(2, 3)):
        assert to_device(given, device).shape == (2, 3)
    assert calls == ["pinned", (device, True)] * 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")
def test_what_arrives_on_a_gpu_is_what_was_sent() -> None:
    array = np.random.default_rng(0).standard_normal((64, 1000)).astype(np.float32)
    found = to_device(array, "cuda")
    assert found.is_cuda
    assert to_device(found, "cuda") is found
    np.testing.assert_array_equal(found.cpu().numpy(), array)


def test_extractors_send_arrays_in_one_place() -> None:
    top = Path(mer_plugins.__file__).parent
    files = [path for name in ("speech", "image", "video", "text") for path in sorted((top / name).glob("*.py"))]
    assert not [path.name for path in files if re.search(r"pin_memory|from_numpy\(.*\)\.to\(", path.read_text())]


def test_waves_lie_side_by_side_with_zeros_behind_the_shorter_ones() -> None:
    found = side_by_side([np.ones(3, np.float32), np.full(1, 2, np.float32)])
    assert found.dtype == np.float32
    assert found.tolist() == [[1, 1, 1], [2, 0, 0]]


def test_each_batch_is_fetched_once_the_next_one_has_been_begun() -> None:
    seen: list[str] = []

    def begun() -> Iterator[int]:
        for number in range(3):
            seen.append(f"begun {number}")
            yield number

    for number in one_behind(begun()):
        seen.append(f"fetched {number}")
    assert seen == ["begun 0", "begun 1", "fetched 0", "begun 2", "fetched 1", "fetched 2"]
    assert list(one_behind([])) == []
    assert list(one_behind([7])) == [7]
