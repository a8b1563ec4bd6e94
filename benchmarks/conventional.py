"""What the training benchmarks share: random features, the loop that scripts usually have, and its matrix products."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset, SubsetRandomSampler

from mer_core.feature_set import FeatureSet, Fold, StreamData, StreamInfo, TargetSpec

CLASSES = ("neutral", "angry", "happy", "sad", "worried", "surprise")


def make_data(clips: int, dims: Mapping[str, int], folds: int, seed: int = 0, parts: int = 0) -> FeatureSet:
    """Random features and labels; ``folds`` of ``parts`` equal parts (0: as many as folds) are held out in turn."""
    rng = np.random.default_rng(seed)
    table = {
        name: StreamData(
            StreamInfo(name, name.partition(":")[0], dim),
            rng.standard_normal((clips, dim), dtype=np.float32),
            np.ones(clips, bool),
        )
        for name, dim in dims.items()
    }
    order = rng.permutation(clips)
    held = np.array_split(order, parts or folds)[:folds] if folds else []
    return FeatureSet(
        ids=tuple(map(str, range(clips))),
        targets=TargetSpec(CLASSES),
        labels=rng.integers(0, len(CLASSES), clips),
        table=table,
        folds=tuple(Fold(np.setdiff1d(order, part), part) for part in held),
    )


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


def collate(batch: list[dict[str, Any]]) -> tuple[dict[str, Tensor], Tensor]:
    """Sample by sample into tensors."""
    names = [name for name in batch[0] if name not in ("label", "name")]
    values = {name: torch.FloatTensor(np.array([sample[name] for sample in batch])) for name in names}
    return values, torch.LongTensor([int(sample["label"]) for sample in batch])


def loader(data: FeatureSet, batch: int, rows: np.ndarray | None = None) -> DataLoader[Any]:
    """Shuffled over ``rows``, or all clips in order."""
    sampler = None if rows is None else SubsetRandomSampler(rows.tolist())
    return DataLoader(Clips(data), batch, sampler=sampler, collate_fn=collate)


def run_epoch(
    module: nn.Module, optimiser: torch.optim.Optimizer, learnt: DataLoader[Any], evaluated: Iterable[DataLoader[Any]]
) -> None:
    """Learn from all batches of ``learnt``, then predict those of ``evaluated``."""
    for x, labels in learnt:
        optimiser.zero_grad()
        loss = cross_entropy(module.train()(x, _everything(x, labels)).logits, labels)
        loss.backward()
        optimiser.step()
    for part in evaluated:
        for x, labels in part:
            module.eval()(x, _everything(x, labels)).logits.detach().numpy()


def _everything(x: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
    """All streams present."""
    return {name: torch.ones(len(labels), dtype=torch.bool) for name in x}


def products(dims: Mapping[str, int], hidden: int) -> Iterator[tuple[int, int, bool]]:
    """(inputs, outputs, whether a gradient flows back to the input) of every linear layer of the attention fusion."""
    for dim in dims.values():
        yield from ((dim, hidden, False), (hidden, hidden, True), (hidden, hidden, True))
    yield from ((len(dims) * hidden, hidden, True), (hidden, hidden, True), (hidden, hidden, True))
    yield from ((hidden, len(dims), True), (hidden, len(CLASSES), True))


def product_step(shapes: Iterable[tuple[int, int, bool]], members: int, batch: int) -> Callable[[], None]:
    """All matrix products of one step of ``members`` at once, on random numbers: forward and both gradients."""
    shapes = list(shapes)
    made = [(torch.randn(members, batch, i), torch.randn(members, i, o), back) for i, o, back in shapes]
    grown = [torch.randn(members, batch, o) for _, o, _ in shapes]

    def step() -> None:
        for (x, w, back), g in zip(made, grown, strict=True):
            torch.bmm(x, w)
            torch.bmm(x.transpose(1, 2), g)
            if back:
                torch.bmm(g, w.transpose(1, 2))

    return step
