"""Modality dropout: frequencies, policies, and that only presence bits change."""

from __future__ import annotations

import pytest
import torch

from mer_core.errors import OptionError
from mer_core.modality_dropout import drop_modalities, drop_one

ROWS = 200_000
ALL = torch.ones(ROWS, 4, dtype=torch.bool)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def near(share: float, expected: float, count: int = ROWS) -> bool:
    """Within four standard deviations of a binomial share."""
    return abs(share - expected) <= 4 * (expected * (1 - expected) / count) ** 0.5


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


# a rate for each modality

RATES = (0.5, 0.2, 0.0, 0.8)


def test_each_modality_goes_at_its_own_rate() -> None:
    kept = drop_modalities(ALL, RATES, noise(ROWS, 4, seed=3), "allow")
    for modality, rate in enumerate(RATES):
        assert near(1 - kept[:, modality].float().mean().item(), rate)
    both = (~kept[:, 0] & ~kept[:, 3]).float().mean().item()
    assert near(both, 0.5 * 0.8)


def test_rescue_stays_uniform_under_unequal_rates() -> None:
    present = torch.tensor([True, True, False, True]).expand(ROWS, 4)
    drawn = noise(ROWS, 4, seed=4)
    lost = ~drop_modalities(present, RATES, drawn, "allow").any(1)
    assert near(lost.float().mean().item(), 0.5 * 0.2 * 0.8)
    kept = drop_modalities(present, RATES, drawn)[lost]
    assert (kept.sum(1) == 1).all()
    assert all(near(kept[:, m].float().mean().item(), 1 / 3, len(kept)) for m in (0, 1, 3))


def test_equal_rates_are_one_rate_and_zeros_are_identity() -> None:
    drawn = noise(1000, 4)
    assert drop_modalities(ALL[:1000], [0.6] * 4, drawn).equal(drop_modalities(ALL[:1000], 0.6, drawn))
    assert drop_modalities(ALL, [0.0] * 4, noise(ROWS, 4)) is ALL


# two draws


def test_two_draws_of_av_hubert() -> None:
    """Both of its settings at .5: .5 nothing goes, .25 each one goes, never both."""
    kept = drop_one(ALL[:, :2], (0.25, 0.25), noise(ROWS, 2, seed=5))
    shares = [(kept == torch.tensor(row)).all(1).float().mean().item() for row in ([1, 1], [0, 1], [1, 0], [0, 0])]
    assert all(near(*pair) for pair in zip(shares, (0.5, 0.25, 0.25, 0.0), strict=True))


def test_two_draws_follow_unequal_rates_and_keep_the_last() -> None:
    kept = drop_one(ALL, (0.1, 0.0, 0.3, 0.2), noise(ROWS, 2, seed=6))
    assert ((~kept).sum(1) <= 1).all()
    for modality, rate in enumerate((0.1, 0.0, 0.3, 0.2)):
        assert near(1 - kept[:, modality].float().mean().item(), rate)
    alone = torch.tensor([False, False, True, False]).expand(ROWS, 4)
    assert drop_one(alone, (0.1, 0.0, 0.3, 0.2), noise(ROWS, 2)).equal(alone)
    assert drop_one(ALL[:, :1], (0.9,), noise(ROWS, 2)).all()


def test_two_draws_once_for_the_batch() -> None:
    present = noise(64, 4, seed=7) < 0.8
    kept = drop_one(present, [0.25] * 4, torch.tensor([[0.9, 0.6]]).expand(64, 2))
    others = present[:, [0, 1, 3]].any(1)
    assert not kept[others, 2].any()
    assert kept[:, [0, 1, 3]].equal(present[:, [0, 1, 3]])
    assert drop_one(ALL, [0.0] * 4, noise(ROWS, 2)) is ALL


@pytest.mark.parametrize("rates", [(0.6, 0.6), (-0.1, 0.3)])
def test_impossible_rates_of_one_going_are_refused(rates: tuple[float, float]) -> None:
    with pytest.raises(OptionError, match="add up to"):
        drop_one(ALL[:, :2], rates, noise(ROWS, 2))
