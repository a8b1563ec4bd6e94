"""The fusions give the numbers of the code they come from: MERTools' MER2024 baseline, and for MulT the authors'.

How the numbers were made: a module of the other code was given the weights that `filled` gives ours (layers have their
counterparts; parts that code has and never uses are left as they are), and asked in double precision and evaluation
mode about the clips of `waves`. Ours differed by less than 1e-16, MulT by 1e-9 (MERTools) and 1e-8 (the authors):
their softmax and their positions are in single precision.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from test_fusion_kit import made
from torch import Tensor, nn

from mer_core.feature_set import Level
from mer_core.plugin import StreamInfo, TargetSpec

TARGETS = TargetSpec(("angry", "happy", "sad"), ("valence",))
DIMS = {"speech:a": 5, "text:b": 7, "video:c": 3}
FRAMES = {"speech:a": 4, "text:b": 6, "video:c": 5}
ORDER = {"a": "speech:a", "t": "text:b", "v": "video:c"}
"""The other codes have an order of their own, each another one."""


def filled(module: nn.Module) -> nn.Module:
    """Weights that follow from names and places alone."""
    with torch.no_grad():
        for key, p in module.named_parameters():
            places = torch.arange(p.numel(), dtype=torch.float64)
            p.copy_(0.3 * torch.sin(places * 0.7 + sum(key.encode())).view(p.shape))
    return module.eval()


def built(name: str, order: str, level: Level, options: dict[str, Any]) -> nn.Module:
    names = [ORDER[letter] for letter in order]
    streams = {name: StreamInfo(name, name.partition(":")[0], DIMS[name], level) for name in names}
    return filled(made(name, **{"hidden": 8, **options}).build(streams, TARGETS).double())


def waves(level: Level, frames: dict[str, int]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Four clips of cosines, everything present."""
    x = {}
    for number, (name, dim) in enumerate(DIMS.items()):
        shape = (4, dim) if level == "clip" else (4, frames[name], dim)
        x[name] = torch.cos(torch.arange(math.prod(shape), dtype=torch.float64) * 1.3 + number).view(shape)
    return x, {name: torch.ones(value.shape[:-1], dtype=torch.bool) for name, value in x.items()}


@torch.no_grad()
def answers(module: nn.Module, level: Level, frames: dict[str, int]) -> tuple[Tensor, float]:
    """Logits and values of clips 0 and 3, and the sum of auxiliary losses."""
    out = module(*waves(level, frames))
    return torch.cat([out.logits, out.values], 1)[[0, 3]], float(sum(out.losses.values()))


MISA = {"feedforward": 2048}
NCE = {"nce": 1.0, "likelihood": 0.0}
BASELINE = [
    ("attention", "atv", "clip", {}, [.30490, .34417, .22354, .00068, .29765, .33328, .21391, -.00338], 0),
    ("lf-dnn", "avt", "clip", {}, [.28442, .46640, .43363, .20431, .25803, .45475, .44193, .22885], 0),
    ("tfn", "avt", "clip", {"width": 8}, [.15955, .30028, .30081, .16442, .14187, .29309, .30734, .18174], 0),
    ("lmf", "avt", "clip", {"rank": 3}, [.42662, .08901, .26696, -.29036, .42633, .08942, .26649, -.28988], 0),
    ("misa", "tva", "clip", MISA, [.43151, .18935, .07300, -.02518, .43151, .18935, .07300, -.02518], .778276),
    ("mmim", "tav", "clip", NCE, [.27019, .31587, .21435, .01473, .26837, .33064, .23909, .03832], 4.160037),
    ("attention", "atv", "frame", {}, [.25343, .22450, .08938, -.08775, .26108, .22973, .08986, -.09225], 0),
    ("lf-dnn", "avt", "frame", {}, [.22265, .46718, .49659, .30121, .22942, .45953, .47796, .27995], 0),
    ("tfn", "avt", "frame", {"width": 8}, [.30262, .46669, .41586, .17647, .30960, .47291, .41854, .17441], 0),
    ("lmf", "avt", "frame", {"rank": 3}, [.42731, .08804, .26810, -.29154, .42725, .08811, .26804, -.29149], 0),
    ("misa", "tva", "frame", MISA, [.43151, .18935, .07300, -.02518, .43151, .18935, .07300, -.02518], .665218),
    ("mmim", "tav", "frame", NCE, [.35373, .20021, -.04859, -.27748, .35351, .21416, -.02673, -.25752], 4.177281),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "order", "level", "options", "expected", "loss"), BASELINE, ids=[f"{row[0]}-{row[2]}" for row in BASELINE]
)
def test_the_baselines_numbers(
    name: str, order: str, level: Level, options: dict[str, Any], expected: list[float], loss: float
) -> None:
    found, extra = answers(built(name, order, level, options), level, FRAMES)
    assert found.flatten().tolist() == pytest.approx(expected, abs=6e-6)
    assert extra == pytest.approx(loss, abs=2e-5), "MISA's square roots keep off zero, which changes its loss by 3e-6"


def test_ef_lstm_over_steps_that_are_frames_has_the_baselines_numbers() -> None:
    module = built("ef-lstm", "tav", "frame", {"steps": 6, "layers": 2, "absent": "zero"})
    expected = [0.51313664, 0.27425093, -0.09314811, -0.42063135, 0.51329353, 0.27869247, -0.08641558, -0.41462985]
    assert answers(module, "frame", dict.fromkeys(DIMS, 6))[0].flatten().tolist() == pytest.approx(expected, abs=2e-8)


UNEQUAL = {"speech:a": 6, "text:b": 4, "video:c": 5}


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        (1, [0.51409875, 0.08529947, 0.18648432, -0.1349933, 0.51232599, 0.08668906, 0.18563848, -0.13478895]),
        (3, [0.50956866, 0.08978295, 0.18256554, -0.13209206, 0.51863803, 0.08136512, 0.1893591, -0.13647632]),
    ],
)
def test_mult_without_positions_has_the_baselines_numbers(kernel: int, expected: list[float]) -> None:
    module = built("mult", "tav", "frame", {"heads": 2, "layers": 2, "kernel": kernel, "positions": "none"})
    assert answers(module, "frame", UNEQUAL)[0].flatten().tolist() == pytest.approx(expected, abs=2e-8)


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        (UNEQUAL, [-1.77460302, 1.5497805, 0.22141428, -2.12446809, -1.75107349, 1.53582131, 0.21395318, -2.10192043]),
        (
            dict.fromkeys(DIMS, 4),
            [-1.79726665, 1.53160367, 0.26500127, -2.1564643, -1.80278508, 1.54134787, 0.25930315, -2.15964938],
        ),
    ],
)
def test_mult_has_the_authors_numbers_before_its_last_layer(frames: dict[str, int], expected: list[float]) -> None:
    """Theirs ends there: its output has four columns."""
    module = built("mult", "tav", "frame", {"heads": 2, "layers": 2})
    found = module.fused(*waves("frame", frames))[[0, 3]].detach()
    assert found.flatten().tolist() == pytest.approx(expected, abs=5e-8)
