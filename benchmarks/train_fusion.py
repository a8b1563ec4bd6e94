"""How fast fusion training is, beside a conventional loop and beside its own arithmetic.

    python benchmarks/train_fusion.py [--threads 2] [--epochs 3]

Random features of MER2024's size: 5,030 labelled clips, streams of 1024, 5120 and 768 columns, 5 folds, batch
64, hidden 128, and 1,169 test clips. Three things are measured in one process, turn by turn:

* the stacked trainer, as ``mer train`` runs it (and once more evaluating its validation part every epoch, and
  once with its matrix products in bfloat16, an option);
* a conventional loop: Dataset, DataLoader with per-sample collate, fold after fold, validation and test clips
  evaluated each epoch;
* the floor: the floating-point operations of all matrix products of an epoch over the rate of plain batched
  products of just those shapes.

Times are seconds per epoch and fold; the best turn of each counts, because other work on a machine only adds.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from conventional import loader, make_data, product_step, products, run_epoch

from mer_core.feature_set import FeatureSet
from mer_plugins.fusion.attention import Attention, AttentionOptions
from mer_plugins.trainers.cv import CrossValidation, CvOptions

CLIPS, TEST, FOLDS, BATCH, HIDDEN = 5030, 1169, 5, 64, 128
DIMS = {"speech:a": 1024, "text:b": 5120, "video:c": 768}
FUSION = Attention(AttentionOptions(hidden=HIDDEN, dropout=0.3))


def stacked(data: FeatureSet, epochs: int, **options: Any) -> tuple[float, float]:
    """Seconds per epoch and fold (the best epoch), and seconds of preparation; the first epoch is warm-up."""
    stamps = [time.perf_counter()]
    trainer = CrossValidation(CvOptions(epochs=epochs + 1, batch_size=BATCH, **options), "cpu")
    trainer.fit(FUSION, data, 0, lambda *_: stamps.append(time.perf_counter()))
    spent = np.diff(stamps)
    return float(spent[1:].min()) / FOLDS, float(spent[0] - spent[1:].min())


def conventional(data: FeatureSet, test: FeatureSet, folds: int) -> float:
    """Seconds per epoch and fold: the best of one epoch each of the first ``folds`` folds."""
    spent = []
    for fold in data.folds[:folds]:
        module = FUSION.build(data.streams, data.targets)
        optimiser = torch.optim.Adam(module.parameters(), lr=3e-4, weight_decay=1e-5)
        started = time.perf_counter()
        run_epoch(
            module, optimiser, loader(data, BATCH, fold.train), [loader(data, BATCH, fold.val), loader(test, BATCH)]
        )
        spent.append(time.perf_counter() - started)
    return min(spent)


def operations(rows: int) -> float:
    """Floating-point operations of an epoch over ``rows`` clips: forward, weights' and inputs' gradients."""
    return float(sum(2 * rows * i * o * (3 if back else 2) for i, o, back in products(DIMS, HIDDEN)))


def product_rate(turns: int) -> float:
    """Operations per second of the batched products of one step, in the best of ``turns``."""
    step = product_step(products(DIMS, HIDDEN), FOLDS, BATCH)
    step()
    return operations(BATCH) * FOLDS / min(timed(step) for _ in range(turns))


def timed(run: Callable[[], object]) -> float:
    """Seconds that ``run`` takes."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def measure(epochs: int, folds: int) -> dict[str, float]:
    """All figures; seconds are per epoch and fold unless named otherwise."""
    data, test = make_data(CLIPS, DIMS, FOLDS), make_data(TEST, DIMS, 0, 1)
    first_rate = product_rate(40)
    loop = conventional(data, test, folds)
    epoch, preparation = stacked(data, epochs)
    rate = max(first_rate, product_rate(40))
    loop = min(loop, conventional(data, test, folds))
    checked, _ = stacked(data, epochs, select="val")
    short, _ = stacked(data, epochs, precision="bfloat16")
    rate = max(rate, product_rate(40))
    floor = operations(len(data.folds[0].train)) / rate
    return {
        "conventional_s": loop,
        "stacked_s": epoch,
        "stacked_with_validation_s": checked,
        "stacked_bfloat16_s": short,
        "stacked_preparation_once_s": preparation,
        "floor_s": floor,
        "gflop_per_s": rate / 1e9,
        "times_conventional": loop / epoch,
        "times_conventional_with_validation": loop / checked,
        "times_conventional_bfloat16": loop / short,
        "share_of_floor": floor / epoch,
    }


def main() -> None:
    """Measure and print a table (JSON on stdout, the rest on stderr)."""
    parser = argparse.ArgumentParser(description="Fusion training beside a conventional loop and the floor.")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--epochs", type=int, default=3, help="measured epochs of the stacked trainer")
    parser.add_argument("--folds", type=int, default=2, help="measured folds of the conventional loop, twice")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    found = {"threads": given.threads, **measure(given.epochs, given.folds)}
    for name, value in found.items():
        print(f"{name:36s} {value:8.3f}", file=sys.stderr)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
