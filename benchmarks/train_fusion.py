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
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset, SubsetRandomSampler

from mer_core.types import FeatureSet, Fold, StreamData, StreamInfo, TargetSpec
from mer_plugins.fusion.attention import Attention, AttentionOptions
from mer_plugins.trainers.cv import CrossValidation, CvOptions

CLIPS, TEST, FOLDS, BATCH, HIDDEN = 5030, 1169, 5, 64, 128
DIMS = {"speech:a": 1024, "text:b": 5120, "video:c": 768}
CLASSES = ("neutral", "angry", "happy", "sad", "worried", "surprise")
FUSION = Attention(AttentionOptions(hidden=HIDDEN, dropout=0.3))


def make_data(clips: int, folds: int, seed: int) -> FeatureSet:
    """Random features and labels; folds of ``clips / folds`` each."""
    rng = np.random.default_rng(seed)
    table = {
        name: StreamData(
            StreamInfo(name, name.partition(":")[0], dim),
            rng.standard_normal((clips, dim), dtype=np.float32),
            np.ones(clips, bool),
        )
        for name, dim in DIMS.items()
    }
    order = rng.permutation(clips)
    parts = np.array_split(order, folds) if folds else []
    return FeatureSet(
        ids=tuple(map(str, range(clips))),
        targets=TargetSpec(CLASSES),
        labels=rng.integers(0, len(CLASSES), clips),
        table=table,
        folds=tuple(Fold(np.setdiff1d(order, part), part) for part in parts),
    )


def stacked(data: FeatureSet, epochs: int, **options: Any) -> tuple[float, float]:
    """Seconds per epoch and fold (the best epoch), and seconds of preparation; the first epoch is warm-up."""
    stamps = [time.perf_counter()]
    trainer = CrossValidation(CvOptions(epochs=epochs + 1, batch_size=BATCH, **options), "cpu")
    trainer.fit(FUSION, data, 0, lambda *_: stamps.append(time.perf_counter()))
    spent = np.diff(stamps)
    return float(spent[1:].min()) / FOLDS, float(spent[0] - spent[1:].min())


class Clips(Dataset[dict[str, Any]]):
    """One dictionary per clip, as training scripts usually have it."""

    def __init__(self, data: FeatureSet) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data.ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Features, label and name of a clip."""
        found: dict[str, Any] = {name: part.values[index] for name, part in self.data.table.items()}
        return {**found, "label": self.data.labels[index], "name": self.data.ids[index]}


def collate(batch: list[dict[str, Any]]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Sample by sample into tensors."""
    values = {name: torch.FloatTensor(np.array([sample[name] for sample in batch])) for name in DIMS}
    return values, torch.LongTensor([int(sample["label"]) for sample in batch])


def loader(data: FeatureSet, rows: np.ndarray | None = None) -> DataLoader[Any]:
    """Shuffled over ``rows``, or all clips in order."""
    sampler = None if rows is None else SubsetRandomSampler(rows.tolist())
    return DataLoader(Clips(data), BATCH, sampler=sampler, collate_fn=collate)


def conventional(data: FeatureSet, test: FeatureSet, folds: int) -> float:
    """Seconds per epoch and fold: the best of one epoch each of the first ``folds`` folds."""
    spent = []
    for fold in data.folds[:folds]:
        module = FUSION.build(data.streams, data.targets)
        optimiser = torch.optim.Adam(module.parameters(), lr=3e-4, weight_decay=1e-5)
        started = time.perf_counter()
        for x, labels in loader(data, fold.train):
            optimiser.zero_grad()
            loss = cross_entropy(module.train()(x, everything(labels)).logits, labels)
            loss.backward()
            optimiser.step()
        for part in (loader(data, fold.val), loader(test)):
            for x, labels in part:
                module.eval()(x, everything(labels)).logits.detach().numpy()
        spent.append(time.perf_counter() - started)
    return min(spent)


def everything(labels: torch.Tensor) -> dict[str, torch.Tensor]:
    """All streams present."""
    return {name: torch.ones(len(labels), dtype=torch.bool) for name in DIMS}


def products() -> Iterator[tuple[int, int, bool]]:
    """(inputs, outputs, whether a gradient flows back to the input) of every linear layer of one member."""
    for dim in DIMS.values():
        yield from ((dim, HIDDEN, False), (HIDDEN, HIDDEN, True), (HIDDEN, HIDDEN, True))
    count = len(DIMS)
    yield from ((count * HIDDEN, HIDDEN, True), (HIDDEN, HIDDEN, True), (HIDDEN, HIDDEN, True))
    yield from ((HIDDEN, count, True), (HIDDEN, len(CLASSES), True))


def operations(rows: int) -> float:
    """Floating-point operations of an epoch over ``rows`` clips: forward, weights' and inputs' gradients."""
    return float(sum(2 * rows * i * o * (3 if back else 2) for i, o, back in products()))


def product_rate(turns: int) -> float:
    """Operations per second of the batched products of one step, in the best of ``turns``."""
    made = [(torch.randn(FOLDS, BATCH, i), torch.randn(FOLDS, i, o), back) for i, o, back in products()]
    grown = [torch.randn(FOLDS, BATCH, o) for _, o, _ in products()]

    def step() -> None:
        for (x, w, back), g in zip(made, grown, strict=True):
            torch.bmm(x, w)
            torch.bmm(x.transpose(1, 2), g)
            if back:
                torch.bmm(g, w.transpose(1, 2))

    step()
    return operations(BATCH) * FOLDS / min(timed(step) for _ in range(turns))


def timed(run: Callable[[], object]) -> float:
    """Seconds that ``run`` takes."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def measure(epochs: int, folds: int) -> dict[str, float]:
    """All figures; seconds are per epoch and fold unless named otherwise."""
    data, test = make_data(CLIPS, FOLDS, 0), make_data(TEST, 0, 1)
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
