"""Gradient modulation (OGM-GE) in the trainer ``cv``: goldens, scores, stacking, noise, refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from test_trainer import DIMS, SMALL, OtherFusion, Recurrent, assert_close, make_data, train, weights

from mer_core.errors import PluginError
from mer_core.feature_set import StreamInfo
from mer_plugins.fusion.attention import Attention, AttentionOptions
from mer_plugins.fusion.concat import Concat, ConcatOptions
from mer_plugins.trainers.modulation import Modulation, coefficients, encoder_weights
from mer_plugins.trainers.options import CvOptions
from mer_plugins.trainers.stack import Looped, Members, Stacked

STREAMS = {name: StreamInfo(name, name.partition(":")[0], dim) for name, dim in DIMS.items()}
QUICK: dict[str, Any] = {"gradient_modulation": "ogm-ge", "precision": "float64", "epochs": 3}


@pytest.mark.parametrize(("ratio", "alpha", "k"), [(1.5, 0.1, 0.851115), (3, 0.1, 0.708687), (1.5, 0.8, 0.166345)])
def test_golden_coefficients(ratio: float, alpha: float, k: float) -> None:
    found = coefficients(torch.tensor([[ratio * 0.2, 0.2], [0.2, ratio * 0.2]], dtype=torch.float64), alpha)
    assert torch.allclose(found, torch.tensor([[k, 1], [1, k]], dtype=torch.float64), atol=1e-6)


def test_of_more_than_two_each_is_compared_with_the_mean_of_the_others() -> None:
    found = coefficients(torch.tensor([0.6, 0.3, 0.1, float("nan")], dtype=torch.float64), 0.1)
    assert found.tolist() == pytest.approx([0.708687, 1, 1, 1], abs=1e-6)
    assert coefficients(torch.tensor([0.4, float("nan")]), 0.5).tolist() == [1, 1]
    assert coefficients(torch.tensor([0.4, 0.4]), 0.5).tolist() == [1, 1]


def made(kind: type[Stacked] | type[Looped], count: int = 2) -> Members:
    modules = []
    for seed in range(count):
        torch.manual_seed(seed)
        modules.append(Attention(AttentionOptions(**SMALL, dropout=0.0)).build(STREAMS, make_data().targets).double())
    return kind(modules)


def batch() -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
    torch.manual_seed(5)
    x = {name: torch.randn(2, 7, dim, dtype=torch.float64) for name, dim in DIMS.items()}
    mask = {name: torch.rand(2, 7) < 0.7 for name in DIMS}
    return x, mask, torch.randint(0, 6, (2, 7)), torch.arange(7).expand(2, 7) < 6


def modulation(names: dict[str, list[str]], **options: Any) -> Modulation:
    return Modulation(names, STREAMS, CvOptions(**{"gradient_modulation": "ogm", **options}), 0, 2, "cpu")


@pytest.mark.parametrize("kind", [Stacked, Looped])
def test_gradients_of_the_leading_modality_shrink(kind: Any) -> None:
    """Only matrices of its encoders, by the golden factor; scores are those of one modality alone."""
    members, (x, mask, labels, rows) = made(kind), batch()
    module = Attention(AttentionOptions(**SMALL)).build(STREAMS, make_data().targets)
    change = modulation(encoder_weights(module, STREAMS))
    members.train(True)
    members.forward(x, mask, {}).logits.square().sum().backward()
    names = [name for name, _ in module.named_parameters()]
    before = {(n, f): members.gradient(n, f).clone() for n in names for f in range(2)}
    scores = change.scores(members, x, mask, labels, rows)
    alone = {name: bits & (STREAMS[name].modality == "text") for name, bits in mask.items()}
    with torch.no_grad():
        right = members.forward(x, alone, {}).logits.softmax(-1).gather(-1, labels[..., None])[..., 0]
    seen = alone["text:c"] & rows
    assert scores[:, 1].tolist() == pytest.approx([right[f][seen[f]].mean().item() for f in range(2)])
    change(members, x, mask, labels, rows)
    factors = coefficients(scores, 0.5)
    assert (factors < 1).sum() == 2
    for (name, fold), old in before.items():
        modality = next((i for i, own in enumerate(change.weights.values()) if name in own), None)
        factor = 1.0 if modality is None else factors[fold, modality]
        assert torch.allclose(members.gradient(name, fold), old * factor, rtol=0, atol=1e-12)


def test_noise_has_each_gradients_own_deviation() -> None:
    change = modulation({"speech": [], "text": []}, gradient_modulation="ogm-ge")
    gradient = torch.linspace(-3, 5, 200_000, dtype=torch.float64)
    noisy = gradient.clone()
    change._change(noisy, 0.25, 0)
    added = noisy - 0.25 * gradient
    assert added.mean().abs().item() < 4 * gradient.std().item() / 200_000**0.5
    assert added.std().item() == pytest.approx(gradient.std().item(), rel=4 / 400_000**0.5)


@pytest.mark.parametrize("fusion", [Attention(AttentionOptions(**SMALL)), Concat(ConcatOptions(**SMALL))])
def test_stacked_equals_single_and_the_same_seed_gives_the_same(fusion: Any) -> None:
    data = make_data()
    stacked = train(data, fusion, **QUICK)
    assert_close(stacked, train(data, fusion, stacked=False, **QUICK), 1e-9)
    assert_close(stacked, train(data, fusion, **QUICK))
    found = stacked.summary["gradient_modulation"]
    assert list(found) == ["speech", "text"]
    assert all(len(row) == 3 and 0 < min(row) <= max(row) <= 1 for row in found.values())
    with pytest.raises(AssertionError):
        assert_close(stacked, train(data, fusion, **{**QUICK, "gradient_modulation": "off"}))


def test_it_stops_after_its_share_of_the_epochs() -> None:
    data, kind = make_data(), {"gradient_modulation": "ogm", "schedule": "constant"}
    early = train(data, epochs=4, gradient_modulation_until=0.25, **kind).summary["gradient_modulation"]
    once = train(data, epochs=1, gradient_modulation_until=1.0, **kind).summary["gradient_modulation"]
    assert early == once


def test_weights_are_matrices_of_encoders() -> None:
    found = encoder_weights(Concat(ConcatOptions(**SMALL)).build(STREAMS, make_data().targets), STREAMS)
    assert found["text"] == [f"streams.encoders.2.linear_{n}.weight" for n in (1, 2, 3)]
    assert len(found["speech"]) == 6


def test_fusions_that_name_no_encoders_are_refused() -> None:
    with pytest.raises(PluginError, match="does not say which of its weights encode which stream"):
        train(make_data(), OtherFusion(Recurrent), gradient_modulation="ogm")


def test_one_modality_has_nothing_to_compete_with() -> None:
    data = make_data()
    table = {name: part for name, part in data.table.items() if part.info.modality == "speech"}
    speech = type(data)(ids=data.ids, targets=data.targets, labels=data.labels, table=table, folds=data.folds)
    one, other = (train(speech, epochs=2, gradient_modulation=how) for how in ("off", "ogm-ge"))
    assert_close(one, other)
    assert weights(one).keys() == weights(other).keys()
    assert "gradient_modulation" not in other.summary
