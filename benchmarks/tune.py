"""How fast ``mer tune`` searches, beside the same trainings one after another and beside their arithmetic.

    python benchmarks/tune.py [--size small|mer2024] [--trials 12] [--folds 2] [--epochs 2] [--threads 1]

A search trains a number of draws (hidden width, dropout, learning rate: MERBench's) on every fold. Measured in one
process, turn by turn, in seconds per epoch of one draw and fold:

* stacks: all draws and folds as the trainer ``cv`` trains them for ``mer tune``, draws of equal shape as one stack;
* draw after draw: the same trainer, whose folds alone are one stack, for each draw in turn;
* the conventional way: for each draw and fold a plain loop (Dataset, DataLoader with per-sample collate, Adam), with
  validation after each epoch;
* the floor: all matrix products of these epochs at the rate of plain batched products of just those shapes.

Seconds are those of the processor, of all threads together, so that use one thread, the default here. The seconds
of the conventional way are those of one draw of each width on one fold, times how many draws and folds have it.
Other work on a machine only adds: the best turn of each counts.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from conventional import loader, make_data, product_step, products, run_epoch

from mer_core.plugin import FeatureSet, Trial
from mer_core.search import Listed, draw
from mer_plugins.fusion.attention import Attention, AttentionOptions
from mer_plugins.trainers.cv import CrossValidation, CvOptions

SIZES = {
    "small": (360, {"speech:a": 69, "video:c": 56}),
    "middle": (2000, {"speech:a": 512, "text:b": 768, "video:c": 512}),
    "mer2024": (5030, {"speech:a": 1024, "text:b": 5120, "video:c": 768}),
}
"""Clips, and columns of the streams."""
SPACE = {
    "hidden": Listed((64, 128, 256)),
    "dropout": Listed((0.2, 0.3, 0.4, 0.5)),
    "lr": Listed((1e-3, 1e-4)),
}
BATCH = 32
"""As in the baseline."""

CLOCK = time.process_time
"""Processor time of all threads: other work on the machine adds little to it, but wakes caches cold."""

Draw = dict[str, Any]


def fusion(one: Draw) -> Attention:
    """The attention fusion of a draw."""
    return Attention(AttentionOptions(hidden=one["hidden"], dropout=one["dropout"]))


def options(one: Draw, epochs: int, **more: Any) -> CvOptions:
    """Options of the trainer for a draw."""
    return CvOptions(epochs=epochs, batch_size=BATCH, lr=one["lr"], **more)


class Stamps:
    """When each epoch of a training ended: the first one counts as preparation."""

    def __init__(self) -> None:
        self.times: list[tuple[str, float]] = []

    def __call__(self, stage: str, done: int, total: int, note: str) -> None:
        """Progress, as trainers tell it."""
        self.times.append((note, CLOCK()))

    def epochs(self) -> float:
        """Seconds of the best epoch but the first of every stack, added up."""
        stacks: list[list[float]] = []
        for note, at in self.times:
            if "epoch 1/" in note:
                stacks.append([])
            stacks[-1].append(at)
        return sum(float(np.diff(own).min()) for own in stacks)


def stacked(data: FeatureSet, draws: Sequence[Draw], epochs: int, **more: Any) -> float:
    """Seconds of one epoch of all draws and folds, in stacks."""
    stamps = Stamps()
    trials = [Trial(fusion=fusion(one), options=options(one, epochs + 1, **more)) for one in draws]
    for _ in CrossValidation(CvOptions(), "cpu").fit_trials(trials, data, 0, stamps):
        pass
    return stamps.epochs()


def one_by_one(data: FeatureSet, draws: Sequence[Draw], epochs: int) -> float:
    """Seconds of one epoch of all draws, each with its folds as a stack: measured for one of each width."""
    spent = 0.0
    for hidden, count in Counter(one["hidden"] for one in draws).items():
        one = next(own for own in draws if own["hidden"] == hidden)
        stamps = Stamps()
        CrossValidation(options(one, epochs + 1, stacked=True), "cpu").fit(fusion(one), data, 0, stamps)
        spent += count * stamps.epochs()
    return spent


def conventional(data: FeatureSet, draws: Sequence[Draw]) -> float:
    """Seconds of one epoch of all draws and folds, one after the other: measured for one of each width."""
    spent = 0.0
    for hidden, count in Counter(one["hidden"] for one in draws).items():
        one = next(own for own in draws if own["hidden"] == hidden)
        spent += count * len(data.folds) * min(_epochs(data, one, 3))
    return spent


def _epochs(data: FeatureSet, one: Draw, turns: int) -> Iterator[float]:
    fold = data.folds[0]
    module = fusion(one).build(data.streams, data.targets)
    optimiser = torch.optim.Adam(module.parameters(), lr=one["lr"], weight_decay=1e-5)
    for _ in range(turns):
        started = CLOCK()
        run_epoch(module, optimiser, loader(data, BATCH, fold.train), [loader(data, BATCH, fold.val)])
        yield CLOCK() - started


def floor(data: FeatureSet, draws: Sequence[Draw], turns: int) -> float:
    """Seconds of all matrix products of one epoch of all draws and folds, batched over draws, the best of ``turns``."""
    steps = -(-len(data.folds[0].train) // BATCH)
    spent = 0.0
    for hidden, count in Counter(one["hidden"] for one in draws).items():
        members = min(count * len(data.folds), 20)
        spent += steps * _step(data, hidden, members, turns) * count * len(data.folds) / members
    return spent


def _step(data: FeatureSet, hidden: int, members: int, turns: int) -> float:
    dims = {name: info.dim for name, info in data.streams.items()}
    step, spent = product_step(products(dims, hidden), members, BATCH), []
    for _ in range(turns + 1):
        started = CLOCK()
        step()
        spent.append(CLOCK() - started)
    return min(spent[1:])


def measure(size: str, trials: int, folds: int, epochs: int) -> dict[str, float]:
    """All figures; seconds of one epoch of one draw and fold."""
    clips, dims = SIZES[size]
    data, draws = make_data(clips, dims, folds, parts=5), draw(SPACE, trials, 0)
    turns = {
        "conventional_s": lambda: conventional(data, draws),
        "draw_after_draw_s": lambda: one_by_one(data, draws, epochs),
        "stacks_s": lambda: stacked(data, draws, epochs),
        "stacks_bfloat16_s": lambda: stacked(data, draws, epochs, precision="bfloat16"),
        "floor_s": lambda: floor(data, draws, 10),
    }
    found = {name: min(run() for _ in range(2)) / (len(draws) * folds) for name, run in turns.items()}
    loop, stacks = found["conventional_s"], found["stacks_s"]
    return {
        **found,
        "times_conventional": loop / stacks,
        "times_conventional_bfloat16": loop / found["stacks_bfloat16_s"],
        "times_draw_after_draw": found["draw_after_draw_s"] / stacks,
        "conventional_over_floor": loop / found["floor_s"],
        "share_of_floor": found["floor_s"] / stacks,
    }


def main() -> None:
    """Measure and print a table (JSON on stdout, the rest on stderr)."""
    parser = argparse.ArgumentParser(description="A search beside conventional trainings and the floor.")
    parser.add_argument("--size", choices=list(SIZES), default="small")
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=2, help="measured epochs of the trainer")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    found = {"threads": given.threads, **measure(given.size, given.trials, given.folds, given.epochs)}
    for name, value in found.items():
        print(f"{name:32s} {value:9.5f}", file=sys.stderr)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
