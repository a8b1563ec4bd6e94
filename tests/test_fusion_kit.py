"""Every shipped fusion over vectors keeps the contract, trains in a run's way, and stacks if its spec says so."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_arrays import clips
from test_fusion import DIMS, batch, streams
from torch import Tensor, nn

from mer_core import fit
from mer_core.plugin import FeatureSet, Fusion, StreamInfo, TargetSpec
from mer_core.registry import discover
from mer_core.spec import FusionSpec
from mer_core.testing import check_plugin, checks, conformance
from mer_plugins.fusion.specs import FUSIONS
from mer_plugins.trainers.cv import CrossValidation, CvOptions

NAMES = [spec.name for spec in FUSIONS if "clip" in spec.levels]
EACH = pytest.mark.parametrize("name", NAMES)
TARGETS = TargetSpec(("angry", "happy", "sad"), ("valence", "arousal"))
CHEAP = tuple(check.name for check in checks("fusion") if check.name not in ("light-import", "options"))
SMALL = {"hidden": 8, "dropout": 0.25}
DONE = ("attention", "concat", "late", "transformer")
"""Looked at by name, here or in test_conformance_training.py."""


def made(name: str, **options: object) -> Fusion:
    catalogue = discover()
    given = catalogue.options_class(FusionSpec, name)(**{**SMALL, **options})
    return catalogue.load(FusionSpec, name)(given)


def built(name: str, order: dict[str, int] = DIMS, **options: object) -> nn.Module:
    torch.manual_seed(0)
    return made(name, **options).build(streams(order), TARGETS).double()


@conformance("transformer", options={"hidden": 8, "feedforward": 16})
def test_transformer_keeps_the_contract(check: Callable[[], None]) -> None:
    check()


@conformance("late", options=SMALL)
def test_late_keeps_the_contract(check: Callable[[], None]) -> None:
    check()


@pytest.mark.parametrize("name", [name for name in NAMES if name not in DONE])
def test_kept_by_all_others(name: str) -> None:
    options = {**SMALL, **({"feedforward": 16} if name == "misa" else {})}
    found = check_plugin(name, kind="fusion", only=CHEAP, options=options)
    assert found.ok, str(found)
    assert "skipped" not in {result.outcome for result in found.results}
    zero = check_plugin(
        name, kind="fusion", only=("starts", "absence", "cleared-values"), options={**options, "absent": "zero"}
    )
    assert zero.ok, str(zero)


@EACH
def test_continuous_values_beside_classes(name: str) -> None:
    module, (x, mask) = built(name), batch(4)
    out = module(x, mask)
    assert (out.logits.shape, out.values.shape) == ((4, 3), (4, 2))
    assert all(head.values.shape == (4, 2) for head in out.heads.values())
    sum(part.values.sum() for part in (out, *out.heads.values())).backward()
    assert any(p.grad is not None and p.grad.any() for p in module.streams.parameters())


def turned(name: str, key: str, value: Tensor) -> Tensor:
    """A part of the state whose axes count streams, for streams in the opposite order."""
    count = len(DIMS)
    if key in ("fc_att.weight", "fc_att.bias", "kinds", "log_weights"):
        return value.flip(0)
    if (name, key) == ("tfn", "post_fusion_layer_1.weight"):
        width = round(value.shape[1] ** (1 / count))
        return value.view(-1, width, width, width).permute(0, 3, 2, 1).flatten(1)
    wide = ("attention_mlp.linear_1.weight", "joint.linear_1.weight", "post_fusion_layer_1.weight", "fusion_1.weight")
    if key in wide:
        return value.view(len(value), -1, count, SMALL["hidden"]).flip(2).flatten(1)
    return value


def moved(name: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state of a module over the same streams in the opposite order: every list of parts turned round."""
    lists = re.compile(
        r"((?:^|\.)(?:encoders|factors|answers|project|private|rebuild|likelihoods|predictors|alone)\.)(\d+)"
    )
    longest: dict[str, int] = {}
    for key in state:
        if found := lists.search(key):
            longest[found[1]] = max(longest.get(found[1], 0), int(found[2]))
    return {
        lists.sub(lambda m: f"{m[1]}{longest[m[1]] - int(m[2])}", key): turned(name, key, value)
        for key, value in state.items()
    }


@EACH
def test_order_of_streams_does_not_matter_with_weights_moved_along(name: str) -> None:
    one, (x, mask) = built(name, dropout=0), batch()
    two = built(name, dict(reversed(DIMS.items())), dropout=0)
    before = {key: value.clone() for key, value in two.state_dict().items()}
    two.load_state_dict(moved(name, one.state_dict()))
    assert any(not torch.equal(before[key], value) for key, value in two.state_dict().items())
    mask["text:b"][2:5] = False
    for layer in [m for module in (one, two) for m in module.modules() if isinstance(m, nn.Dropout)]:
        layer.p = 0.0
    here, there = one(x, mask), two(x, mask)
    assert torch.allclose(here.logits, there.logits, atol=1e-12)
    assert torch.allclose(here.values, there.values, atol=1e-12)
    assert here.losses.keys() == there.losses.keys()
    assert all(torch.allclose(loss, there.losses[key], atol=1e-12) for key, loss in here.losses.items())


@EACH
def test_losses_that_depend_on_the_other_clips_of_a_batch_are_declared(name: str) -> None:
    module, (x, mask) = built(name, dropout=0), batch()
    for layer in [m for m in module.modules() if isinstance(m, nn.Dropout)]:
        layer.p = 0.0
    together = module(x, mask).losses
    clips_alone = [({n: v[[row]] for n, v in x.items()}, {n: v[[row]] for n, v in mask.items()}) for row in range(8)]
    alone = [module(*clip).losses for clip in clips_alone]
    means = {key: torch.stack([losses[key] for losses in alone]).mean() for key in together}
    coupled = {key for key, loss in together.items() if not torch.allclose(loss, means[key], atol=1e-9)}
    assert coupled == set(getattr(module, "coupled", ()))


@pytest.mark.parametrize("absent", ["mask", "zero"])
@EACH
def test_clips_without_any_stream_take_no_part_in_auxiliary_losses(name: str, absent: str) -> None:
    module, (x, mask) = built(name, dropout=0, absent=absent), batch()
    for layer in [m for m in module.modules() if isinstance(m, nn.Dropout)]:
        layer.p = 0.0
    mask["text:b"][2] = False
    more = {n: torch.cat([bits, torch.zeros(4, dtype=torch.bool)]) for n, bits in mask.items()}
    expected, found = module(x, mask).losses, module({n: torch.cat([v, v[:4]]) for n, v in x.items()}, more).losses
    assert expected.keys() == found.keys()
    assert all(torch.allclose(loss, found[key], atol=1e-12) for key, loss in expected.items())


@pytest.mark.parametrize("count", [1, 2, 5])
@EACH
def test_any_number_of_streams(name: str, count: int) -> None:
    dims = {f"m{number}:x": 3 + number for number in range(count)}
    module = built(name, dims)
    out = module(*batch(3, dims))
    sum(part.logits.sum() for part in (out, *out.heads.values())).add(sum(out.losses.values())).backward()
    reached = [all(p.grad is not None for p in encoder.parameters()) for encoder in module.streams.encoders]
    assert reached == [True] * count


@pytest.fixture(scope="module")
def train_set() -> FeatureSet:
    """Three streams of two modalities: another one beside those of the arrays."""
    found = clips(0)
    info = StreamInfo(name="speech:pitch", modality="speech", dim=3)
    more = replace(found.table["text:bert"], info=info, values=found.table["text:bert"].values[:, :3].copy())
    return replace(found, table={**found.table, "speech:pitch": more})


@EACH
def test_a_run_of_each_and_folds_trained_at_once_are_folds_trained_one_by_one(name: str, train_set: FeatureSet) -> None:
    options = {**SMALL, **({"feedforward": 16} if name == "misa" else {})}
    asked = {"epochs": 8, "lr": 5e-3, "precision": "float64"}
    found = fit(train_set, fusion=name, fusion_options=options, trainer_options=asked, folds=2)
    assert found.model.summary["stacked"] == next(spec.stackable for spec in FUSIONS if spec.name == name)
    first, last = (found.model.summary["curves"][0]["train_loss"][place] for place in (0, -1))
    assert last < first
    assert np.isfinite(found.predict(train_set)).all()
    data = replace(train_set, folds=found.plan.folds)
    one, other = (
        CrossValidation(CvOptions(**{**asked, "epochs": 3, "stacked": stacked})).fit(made(name, **options), data, 0)
        for stacked in (True, False)
    )
    np.testing.assert_allclose(one.predict(data.table, fold=1), other.predict(data.table, fold=1), atol=1e-9)


def test_the_table_in_the_docs() -> None:
    page = (Path(__file__).parent.parent / "docs" / "fusions.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("| `")
    ]
    written = {row[0].strip("`"): tuple(row[3:]) for row in rows if len(row) == 6}
    targets = TargetSpec(tuple("abcdef"))
    assert list(written) == [spec.name for spec in FUSIONS]
    for spec in FUSIONS:
        options = discover().options_class(FusionSpec, spec.name)()
        infos = streams({"speech:a": 1024, "text:b": 5120, "video:c": 768}, spec.levels[0])
        with torch.device("meta"):
            module = discover().load(FusionSpec, spec.name)(options).build(infos, targets)
        parameters = sum(p.numel() for p in module.parameters())
        levels = {"clip": "vectors", "frame": "frames"}
        stacks = ("vectors" if "clip" in spec.levels else "yes") if spec.stackable else "no"
        expected = (", ".join(levels[level] for level in spec.levels), f"{parameters:,}", stacks)
        assert written[spec.name] == expected
