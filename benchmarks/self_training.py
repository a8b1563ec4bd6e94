"""Time per round and peak memory of self-training at the size of MER2024-SEMI, on random features made here.

    python benchmarks/self_training.py [--unlabelled 115590] [--rounds 1] [--epochs 30] [--folder FOLDER]

Beside it, the floor: the matrix products of one round's predictions and training steps, at the rate of plain products.
Features lie in memory-mapped files; 115,590 clips take 6.8 GB of disk in FOLDER.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from mer_core import compose, fit
from mer_core.feature_set import FeatureSet

WIDTHS = {"speech:hubert": 2048, "image:clip": 1536, "video:emovclip": 768, "text:baichuan": 10240}
CLASSES, LABELLED, HIDDEN = 6, 5030, 256
BATCH, FOLDS = 64, 5


def features(folder: Path, unlabelled: int) -> FeatureSet:
    """Random streams on disk, mapped into memory; the labelled clips come first."""
    rng = np.random.default_rng(0)
    count = LABELLED + unlabelled
    streams = {}
    for name, width in WIDTHS.items():
        file = folder / f"{name.replace(':', '-')}.npy"
        write_random(file, (count, width), rng)
        streams[name] = np.load(file, mmap_mode="r")
    labels = [f"c{row % CLASSES}" for row in range(LABELLED)] + [None] * unlabelled
    return compose(streams, labels)


def write_random(file: Path, shape: tuple[int, int], rng: np.random.Generator) -> None:
    """Random rows, block after block; nothing of the file stays mapped."""
    values = np.lib.format.open_memmap(file, "w+", np.float32, shape)
    for start in range(0, len(values), 4096):
        block = values[start : start + 4096]
        block[:] = rng.standard_normal(block.shape, np.float32)
    values.flush()


def rate() -> float:
    """Floating-point operations per second of a plain product."""
    a, b = torch.randn(4096, 2048), torch.randn(2048, 1024)
    a @ b
    began = time.perf_counter()
    for _ in range(5):
        a @ b
    return 5 * 2 * 4096 * 2048 * 1024 / (time.perf_counter() - began)


def floor(unlabelled: int, epochs: int) -> float:
    """Operations of a round: predictions and training steps of all members, of the fusion and of each modality."""
    trained = LABELLED * (FOLDS - 1) / FOLDS * FOLDS * epochs
    whole = sum(width * HIDDEN + 2 * HIDDEN**2 for width in WIDTHS.values()) + 6 * HIDDEN**2
    alone = sum(width * HIDDEN + 5 * HIDDEN**2 for width in WIDTHS.values())
    return 2.0 * (whole + alone) * (3 * trained + FOLDS * unlabelled)


def main() -> None:
    """Print seconds per round, peak memory and the floor."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--unlabelled", type=int, default=115_590)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--folder", type=Path, default=None)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as place:
        data = features(Path(place), asked.unlabelled)
        print(f"{len(data.ids):,} clips, {sum(WIDTHS.values()):,} columns")
        options = {"epochs": asked.epochs, "batch_size": BATCH, "self_training": "class-balanced"}
        began = time.perf_counter()
        fit(data, folds=FOLDS, fusion_options={"hidden": HIDDEN}, trainer_options={**options, "self_training": "off"})
        plain = time.perf_counter() - began
        began = time.perf_counter()
        fit(
            data,
            folds=FOLDS,
            fusion_options={"hidden": HIDDEN},
            trainer_options={**options, "pseudo_rounds": asked.rounds},
        )
        seconds = (time.perf_counter() - began - plain) / asked.rounds
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        least = floor(asked.unlabelled, asked.epochs) / rate()
        print(f"without self-training {plain:.0f} s; each round {seconds:.0f} s more")
        print(f"floor of a round {least:.0f} s ({least / seconds:.0%}); peak memory {peak:.1f} GB")


if __name__ == "__main__":
    main()
