"""Modality dropout: frequencies, policies, and that only presence bits change (METHODS 2.4)."""

from __future__ import annotations

import pytest
import torch

from mer_core.errors import OptionError
from mer_core.modality_dropout import drop_modalities

ROWS = 200_000
ALL = torch.ones(ROWS, 4, dtype=torch.bool)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def near(share: float, expected: float, count: int = ROWS) -> bool:
    """Within four standard deviations of a binomial share."""
    return abs(share - expected) < 4 * (expected * (1 - expected) / count) ** 0.5


def test_frequencies_of_equation_2() -> None:
    kept = drop_modalities(ALL, 0.3, noise(ROWS, 4), "allow")
    for modality in range(4):
        assert near(1 - kept[:, modality].float().mean().item(), 0.3)
    counts = torch.bincount(kept.sum(1), minlength=5) / ROWS
    for count, expected in enumerate((0.0081, 0.0756, 0.2646, 0.4116, 0.2401)):
        assert near(counts[count].item(), expected)


def test_frequencies_with_keep_one() -> None:
    kept = drop_modalities(ALL, 0.3, noise(ROWS, 4))
    assert kept.any(1).all()
    for modality in range(4):
        assert near(1 - kept[:, modality].float().mean().item(), 0.297975)


def test_the_rescued_modality_is_uniform_among_those_present() -> None:
    present = torch.tensor([True, False, True, True]).expand(ROWS, 4)
    drawn = noise(ROWS, 4, seed=1)
    rescued = drop_modalities(present, 0.6, drawn) & ~drop_modalities(present, 0.6, drawn, "allow")
    happened = int(rescued.any(1).sum())
    assert near(happened / ROWS, 0.6**3)
    shares = rescued.sum(0) / happened
    assert shares[1] == 0
    assert all(near(shares[m].item(), 1 / 3, happened) for m in (0, 2, 3))


def test_absent_modalities_stay_absent() -> None:
    present = noise(ROWS, 4, seed=2) < 0.5
    for policy in ("keep_one", "allow"):
        assert not (drop_modalities(present, 0.5, noise(ROWS, 4), policy) & ~present).any()
    assert drop_modalities(present, 0.5, noise(ROWS, 4)).any(1).equal(present.any(1))


def test_rate_zero_is_identity() -> None:
    assert drop_modalities(ALL, 0.0, noise(ROWS, 4)) is ALL


def test_one_decision_for_the_whole_batch() -> None:
    kept = drop_modalities(ALL[:64], 0.5, noise(1, 4).expand(64, 4))
    assert (kept == kept[0]).all()


@pytest.mark.parametrize("rate", [-0.1, 1.0, 2.0])
def test_impossible_rates_are_refused(rate: float) -> None:
    with pytest.raises(OptionError, match="outside"):
        drop_modalities(ALL, rate, noise(ROWS, 4))
