"""Whether numbers are numbers, in every type that weights come in."""

from __future__ import annotations

import pytest
import torch

from mer_plugins.finite import all_finite


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("place", [0, 700, -1])
def test_one_cell_is_enough(dtype: torch.dtype, place: int) -> None:
    values = torch.randn(1001, generator=torch.Generator().manual_seed(0)).to(dtype)
    assert all_finite(values)
    assert all_finite(torch.finfo(dtype).max * torch.ones(3, dtype=dtype))
    for odd in (float("nan"), float("inf"), -float("inf")):
        spoilt = values.clone()
        spoilt[place] = odd
        assert not all_finite(spoilt)
        assert not all_finite(spoilt.view(7, 11, 13).transpose(0, 2))


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_eight_bits_are_enough_for_nan(dtype: torch.dtype) -> None:
    assert all_finite(torch.ones(4).to(dtype))
    assert not all_finite(torch.tensor([1.0, float("nan")]).to(dtype))


def test_nothing_holds_nothing_odd() -> None:
    assert all_finite(torch.empty(0, 4))
