"""Modality dropout in the trainer ``cv``: rates, policies, placement, scaling, and what a cleared bit reaches."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from test_trainer import DIMS, SMALL, assert_close, make_data, train, weights
from torch import Tensor

from mer_core.cli.dropout_rates import dropout_rates
from mer_core.errors import OptionError, UsageError
from mer_core.feature_set import FeatureSet, Fold, StreamInfo
from mer_core.options import validate
from mer_plugins.fusion.attention import Attention, AttentionOptions
from mer_plugins.fusion.concat import Concat, ConcatOptions
from mer_plugins.trainers.masking import ModalityDropout
from mer_plugins.trainers.noise import Noise
from mer_plugins.trainers.options import CvOptions

STREAMS = {name: StreamInfo(name, name.partition(":")[0], dim) for name, dim in DIMS.items()}
ROWS = 60_000
STRANGE: list[dict[str, Any]] = [
    {"modality_dropout_policy": "drop_one", "modality_dropout_per": "batch", "modality_dropout": 0.5},
    {"modality_dropout_by": "stream", "modality_dropout_scale": "inverse"},
    {"modality_dropout": {"speech": 0.6, "text": 0.1}},
]


def kept(**options: Any) -> dict[str, Tensor]:
    """Presence of three streams after one step on clips that have them all: [2 members, ROWS]."""
    mask = {name: torch.ones(2, ROWS, dtype=torch.bool) for name in STREAMS}
    drop = ModalityDropout(STREAMS, CvOptions(**options))
    return drop({}, mask, Noise(0, 2, "cpu", torch.float32))[1]


def gone(bits: Tensor, expected: float) -> bool:
    """Within four standard deviations of a binomial share."""
    share = 1 - bits.float().mean().item()
    return abs(share - expected) <= 4 * (expected * (1 - expected) / bits.numel()) ** 0.5


def full(data: FeatureSet) -> FeatureSet:
    """``data`` with every stream present."""
    table = {n: dataclasses.replace(p, present=np.ones_like(p.present)) for n, p in data.table.items()}
    return dataclasses.replace(data, table=table)


# frequencies


def test_rates_by_modality_and_by_stream() -> None:
    both = kept(modality_dropout={"speech": 0.2, "text": 0.5}, modality_dropout_policy="allow")
    assert torch.equal(both["speech:a"], both["speech:b"])
    assert gone(both["speech:a"], 0.2)
    assert gone(both["text:c"], 0.5)
    assert gone(both["speech:a"] | both["text:c"], 0.1)
    rates = {"speech": 0.2, "speech:b": 0.4}
    each = kept(modality_dropout=rates, modality_dropout_policy="allow", modality_dropout_by="stream")
    assert all(gone(each[name], rate) for name, rate in (("speech:a", 0.2), ("speech:b", 0.4), ("text:c", 0.0)))
    assert gone(each["speech:a"] | each["speech:b"], 0.08)
    alike = kept(modality_dropout=0.3, modality_dropout_by="stream")
    assert gone(alike["text:c"], 0.3 - 0.3**3 / 3)
    assert (alike["speech:a"] | alike["speech:b"] | alike["text:c"]).all()


def test_two_draws_per_batch_as_av_hubert() -> None:
    """Both of its settings at .5, over steps: .5 nothing goes, .25 speech, .25 text."""
    drop = ModalityDropout(STREAMS, CvOptions(**STRANGE[0]))
    mask, noise = {name: torch.ones(2, 5, dtype=torch.bool) for name in STREAMS}, Noise(0, 2, "cpu", torch.float32)
    steps = [drop({}, mask, noise)[1] for _ in range(4000)]
    speech, text = (torch.stack([step[name] for step in steps]) for name in ("speech:b", "text:c"))
    assert (speech == speech[..., :1]).all()
    assert not torch.equal(speech[:, 0], speech[:, 1])
    assert all(gone(bits[..., 0], 0.25) for bits in (speech, text))
    assert (speech | text).all()


def test_bits_alone_change_unless_scaling_is_asked_for() -> None:
    mask = {name: torch.ones(1, 8, dtype=torch.bool) for name in STREAMS}
    x = {name: torch.randn(1, 8, dim) for name, dim in DIMS.items()}
    noise = Noise(0, 1, "cpu", torch.float32)
    plain = ModalityDropout(STREAMS, CvOptions(modality_dropout=0.5))(x, mask, noise)[0]
    assert all(plain[name] is x[name] for name in x)
    rates = CvOptions(modality_dropout={"speech": 0.5, "text": 0.2}, modality_dropout_scale="inverse")
    scaled = ModalityDropout(STREAMS, rates)(x, mask, noise)[0]
    assert torch.equal(scaled["speech:b"], x["speech:b"] * 2)
    assert torch.allclose(scaled["text:c"], x["text:c"] * 1.25)


def test_frames_of_a_stream_go_together() -> None:
    mask = {"speech:a": torch.rand(2, 50, 7) < 0.5, "text:c": torch.ones(2, 50, dtype=torch.bool)}
    drop = ModalityDropout({name: STREAMS[name] for name in mask}, CvOptions(modality_dropout=0.5))
    found = drop({}, mask, Noise(0, 2, "cpu", torch.float32))[1]["speech:a"]
    dropped = ~found.any(-1)
    assert 0.2 < dropped.float().mean() < 0.6
    assert torch.equal(found[~dropped], mask["speech:a"][~dropped])


# training


def test_rates_of_zero_are_no_dropout() -> None:
    data = make_data()
    none = train(data, modality_dropout=0.0)
    for kind in ({"modality_dropout": {"text": 0.0}}, {"modality_dropout": 0.0, "modality_dropout_scale": "inverse"}):
        assert_close(none, train(data, **kind))


@pytest.mark.parametrize("kind", STRANGE, ids=["two draws", "streams, scaled", "rates"])
def test_stacked_equals_single_and_other_folds_do_not_matter(kind: dict[str, Any]) -> None:
    data = make_data(60, folds=3)
    first = (Fold(np.arange(40), np.arange(40, 60)), Fold(np.arange(20, 60), np.arange(20)))
    two = dataclasses.replace(data, folds=first)
    three = dataclasses.replace(data, folds=(*first, Fold(np.arange(10, 50), np.arange(10))))
    few, many = train(two, precision="float64", **kind), train(three, precision="float64", **kind)
    assert_close(few, train(two, precision="float64", stacked=False, **kind), 1e-9)
    kept, other = weights(few), weights(many)
    assert max(float((kept[name] - other[name]).abs().max()) for name in kept) < 1e-12
    assert_close(few, train(two, precision="float64", **kind))


@pytest.mark.parametrize("absent", ["mask", "zero"])
@pytest.mark.parametrize(("fusion", "options"), [(Attention, AttentionOptions), (Concat, ConcatOptions)])
def test_what_is_dropped_changes_no_output_and_no_gradient(fusion: Any, options: Any, absent: str) -> None:
    module = fusion(options(**SMALL, absent=absent)).build(STREAMS, make_data().targets).eval()
    mask = {name: torch.tensor([True, name != "text:c"]) for name in STREAMS}
    for hole in (float("nan"), float("inf"), 1e9):
        x = {name: torch.ones(2, dim) for name, dim in DIMS.items()}
        x["text:c"][1] = hole
        x = {name: value.requires_grad_() for name, value in x.items()}
        logits = module(x, mask).logits
        logits.sum().backward()
        assert logits.isfinite().all()
        assert all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())
        assert (x["text:c"].grad[1] == 0).all()
        assert x["text:c"].grad[0].abs().max() > 0


@pytest.mark.parametrize("absent", ["mask", "zero"])
def test_the_fusions_option_absent_is_the_placement(absent: str) -> None:
    """``zero``: the embedding is a zero vector before its encoder; ``mask``: the hidden state is, after it."""
    module = Concat(ConcatOptions(**SMALL, absent=absent)).build(STREAMS, make_data().targets).eval()
    x = {name: torch.randn(5, dim) for name, dim in DIMS.items()}
    there = {name: torch.ones(5, dtype=torch.bool) for name in STREAMS}
    dropped = module(x, {**there, "text:c": ~there["text:c"]}).logits
    if absent == "mask":
        encoder = module.streams.encoders[list(STREAMS).index("text:c")]
        encoder.register_forward_hook(lambda m, given, hidden: torch.zeros_like(hidden))
    else:
        x["text:c"] = torch.zeros_like(x["text:c"])
    assert torch.equal(dropped, module(x, there).logits)


# how rates are written


@pytest.mark.parametrize(
    ("text", "rates"),
    [("0.3", 0.3), ("0", 0.0), ("speech=0.2,text=0.5", {"speech": 0.2, "text": 0.5}), (None, None)],
)
def test_the_flag(text: str | None, rates: Any) -> None:
    assert dropout_rates(text) == rates
    if text is not None:
        assert CvOptions(modality_dropout=text).modality_dropout == rates


@pytest.mark.parametrize("text", ["much", "1.0", "-0.1", "speech=", "speech=2", "speech=0.2,text", "=0.2"])
def test_rates_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--modality-dropout") as caught:
        dropout_rates(text)
    assert caught.value.hint.startswith("Rates are from 0 to below 1: write 0.3, or speech=0.2,text=0.5.")
    with pytest.raises(OptionError, match="cv: option modality_dropout: "):
        validate(CvOptions, {"modality_dropout": text}, "cv")


def test_rates_of_strangers() -> None:
    with pytest.raises(OptionError, match=r"no modality 'speach'\. Did you mean 'speech'"):
        kept(modality_dropout={"speach": 0.1})
    with pytest.raises(OptionError, match="no stream 'speech:a'"):
        kept(modality_dropout={"speech:a": 0.1})
    with pytest.raises(OptionError, match=r"at most, not 1\.2"):
        CvOptions(modality_dropout={"speech": 0.6, "text": 0.6}, modality_dropout_policy="drop_one")
    notes = train(make_data(), modality_dropout={"video": 0.2}, epochs=1).summary["notes"]
    assert notes == ["Modality dropout was given a rate for video, which these streams lack."]
