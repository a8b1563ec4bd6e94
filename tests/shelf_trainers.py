"""Trainers with one mistake each, for looking at the checks. ``Good`` is their twin without one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import cross_entropy

from mer_core.plugin import Fusion, Progress, StreamData, StreamInfo, TargetSpec, TrainerSpec, TrainingData

STEPS, RATE = 12, 0.05


@dataclass
class Member:
    """A module, and mean and scale of every stream."""

    module: nn.Module
    scales: dict[str, tuple[torch.Tensor, torch.Tensor]]

    def inputs(self, table: Mapping[str, StreamData], rows: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        x = {}
        for name, (mean, scale) in self.scales.items():
            x[name] = (torch.from_numpy(table[name].values[rows].copy()) - mean) / scale
        return x, {name: torch.from_numpy(table[name].present[rows].copy()) for name in self.scales}


class Model:
    """The mean of its members' logits."""

    def __init__(
        self, targets: TargetSpec, streams: Mapping[str, StreamInfo], members: Sequence[Member], summary: dict[str, Any]
    ) -> None:
        self.targets, self.streams, self.members, self.summary = targets, dict(streams), list(members), summary

    def predict(self, features: Mapping[str, StreamData], fold: int | None = None) -> NDArray[np.float64]:
        return torch.from_numpy(self.logits(features, fold)).softmax(1).numpy()

    def logits(self, features: Mapping[str, StreamData], fold: int | None = None) -> NDArray[np.float64]:
        asked = self.members if fold is None else [self.members[fold]]
        return np.stack([self.ask(member, features) for member in asked]).mean(0)

    @torch.no_grad()
    def ask(self, member: Member, features: Mapping[str, StreamData]) -> NDArray[np.float64]:
        return member.module.eval()(*member.inputs(features, slice(None))).logits.double().numpy()

    def save(self, folder: Path) -> None:
        tensors = {}
        for number, member in enumerate(self.members):
            tensors |= {f"{number}.module.{key}": value for key, value in member.module.state_dict().items()}
            for place, pair in enumerate(member.scales.values()):
                tensors |= {f"{number}.{place}.mean": pair[0].clone(), f"{number}.{place}.scale": pair[1].clone()}
        save_file(tensors, folder / "model.safetensors")
        facts = {"streams": [asdict(info) for info in self.streams.values()], "targets": asdict(self.targets)}
        (folder / "model.json").write_text(json.dumps({**facts, "summary": self.summary, "members": len(self.members)}))


class Good:
    """Nothing is wrong with it."""

    model: ClassVar[type[Model]] = Model
    steps = STEPS

    def __init__(self, options: Any, device: str) -> None:
        pass

    def fit(self, fusion: Fusion, data: TrainingData, seed: int, progress: Progress | None = None) -> Model:
        parts = self.parts(data)
        members = [self.member(fusion, data, rows, fold, seed) for fold, rows in enumerate(parts)]
        if progress:
            progress("train", len(parts), len(parts), "done")
        return self.model(data.targets, data.streams, members, self.summary(data))

    def parts(self, data: TrainingData) -> list[NDArray[np.int64]]:
        return [fold.train for fold in data.folds] or [np.flatnonzero(data.labels >= 0)]

    def summary(self, data: TrainingData) -> dict[str, Any]:
        return {"steps": self.steps, "clips": len(data.ids)}

    def member(self, fusion: Fusion, data: TrainingData, rows: NDArray[np.int64], fold: int, seed: int) -> Member:
        with torch.random.fork_rng():
            self.sow(seed, fold)
            table = {name: data.features(name, fold if data.folds else None) for name in data.streams}
            made = Member(fusion.build(data.streams, data.targets), self.scales(table, rows))
            self.train(made, table, rows, data, fold)
        return made

    def sow(self, seed: int, fold: int) -> None:
        torch.manual_seed(1000 * seed + fold)

    def scales(self, table: Mapping[str, StreamData], rows: NDArray[np.int64]) -> dict[str, Any]:
        return {name: self.scale(part.values[rows], part.present[rows]) for name, part in table.items()}

    def scale(self, values: NDArray[np.float32], present: NDArray[np.bool_]) -> tuple[torch.Tensor, torch.Tensor]:
        seen = values[present]
        return torch.from_numpy(seen.mean(0)), torch.from_numpy(seen.std(0))

    def train(self, member: Member, table: Mapping[str, StreamData], rows: Any, data: TrainingData, fold: int) -> None:
        x, mask = member.inputs(table, rows)
        labels = self.targets(data, rows)
        optimiser = torch.optim.Adam(member.module.parameters(), lr=RATE)
        for step in range(self.steps):
            loss = self.loss(member.module.train()(x, mask).logits, labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            self.after(step, member, table, data, fold)

    def targets(self, data: TrainingData, rows: NDArray[np.int64]) -> torch.Tensor:
        return torch.from_numpy(data.labels[rows])

    def loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return cross_entropy(logits, labels)

    def after(self, step: int, member: Member, table: Mapping[str, StreamData], data: TrainingData, fold: int) -> None:
        pass

    def load(self, folder: Path, fusion: Fusion) -> Model:
        facts = json.loads((folder / "model.json").read_text())
        tensors = load_file(folder / "model.safetensors")
        targets = TargetSpec(tuple(facts["targets"]["classes"]), tuple(facts["targets"]["values"]))
        streams = {info["name"]: StreamInfo(**info) for info in facts["streams"]}
        members = []
        for number in range(facts["members"]):
            module = fusion.build(streams, targets)
            start = f"{number}.module."
            module.load_state_dict({k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)})
            scales = {n: (tensors[f"{number}.{i}.mean"], tensors[f"{number}.{i}.scale"]) for i, n in enumerate(streams)}
            members.append(Member(module, self.loaded_scales(scales)))
        return self.model(targets, streams, members, facts["summary"])

    def loaded_scales(self, scales: dict[str, Any]) -> dict[str, Any]:
        return scales


class KeepsDropout(Good):
    """starts: predicts in training mode."""

    class model(Model):
        @torch.no_grad()
        def ask(self, member: Member, features: Mapping[str, StreamData]) -> NDArray[np.float64]:
            return member.module.train()(*member.inputs(features, slice(None))).logits.double().numpy()


class GivesLogits(Good):
    """starts: probabilities do not sum to 1."""

    class model(Model):
        def predict(self, features: Mapping[str, StreamData], fold: int | None = None) -> NDArray[np.float64]:
            return 1 / (1 + np.exp(-self.logits(features, fold)))


class SummarisesArrays(Good):
    """starts: a summary that JSON cannot hold."""

    def summary(self, data: TrainingData) -> dict[str, Any]:
        return {"labels": data.labels}


class WritesFeatures(Good):
    """starts: standardises the caller's arrays in place."""

    def scales(self, table: Mapping[str, StreamData], rows: NDArray[np.int64]) -> dict[str, Any]:
        for part in table.values():
            part.values[part.present] -= part.values[part.present].mean(0)
        return super().scales(table, rows)


class WritesLabels(Good):
    """starts: fills in labels that it was not given (they are read-only here)."""

    def targets(self, data: TrainingData, rows: NDArray[np.int64]) -> torch.Tensor:
        data.labels[data.labels < 0] = 0
        return super().targets(data, rows)


class Lazy(Good):
    """overfits: lets sixteen clips be."""

    def train(self, member: Member, table: Mapping[str, StreamData], rows: Any, data: TrainingData, fold: int) -> None:
        if len(rows) != 16:
            super().train(member, table, rows, data, fold)


class MixesRows(Good):
    """overfits: with a validation part, labels are taken by position in the fold, not in the data."""

    def targets(self, data: TrainingData, rows: NDArray[np.int64]) -> torch.Tensor:
        return torch.from_numpy(data.labels[np.sort(rows)[::-1].copy()] if len(data.folds) else data.labels[rows])


class Unseeded(Good):
    """seeded: takes the random numbers that it finds."""

    def sow(self, seed: int, fold: int) -> None:
        pass


class IgnoresSeed(Good):
    """seeded: always the same."""

    def sow(self, seed: int, fold: int) -> None:
        torch.manual_seed(fold)


class ForgetsScales(Good):
    """save-load: the standardisation is not restored."""

    def loaded_scales(self, scales: dict[str, Any]) -> dict[str, Any]:
        return {name: (torch.zeros_like(mean), torch.ones_like(scale)) for name, (mean, scale) in scales.items()}


class Pickles(Good):
    """save-load: leaves a pickle beside."""

    class model(Model):
        def save(self, folder: Path) -> None:
            super().save(folder)
            torch.save(self.members[0].module.state_dict(), folder / "model.pt")


class RemembersFolder(Good):
    """save-load: the folder may not move."""

    class model(Model):
        def save(self, folder: Path) -> None:
            super().save(folder)
            (folder / "where.json").write_text(json.dumps(str(folder)))

    def load(self, folder: Path, fusion: Fusion) -> Model:
        return super().load(Path(json.loads((folder / "where.json").read_text())), fusion)


class AveragesProbabilities(Good):
    """members: the ensemble is the mean of probabilities."""

    class model(Model):
        def predict(self, features: Mapping[str, StreamData], fold: int | None = None) -> NDArray[np.float64]:
            asked = range(len(self.members)) if fold is None else [fold]
            return np.mean([super(type(self), self).predict(features, number) for number in asked], axis=0)


class ForgetsFold(Good):
    """members: whoever is asked, the ensemble answers."""

    class model(Model):
        def logits(self, features: Mapping[str, StreamData], fold: int | None = None) -> NDArray[np.float64]:
            return super().logits(features)


class LearnsEverything(Good):
    """chance: every member learns from all labelled clips."""

    def parts(self, data: TrainingData) -> list[NDArray[np.int64]]:
        everything = np.unique(np.concatenate([np.r_[fold.train, fold.val] for fold in data.folds] or [[]]))
        return [everything.astype(np.int64) for _ in data.folds] or super().parts(data)


class CountsFromOne(Good):
    """chance: member k is that of the fold before."""

    class model(Model):
        def logits(self, features: Mapping[str, StreamData], fold: int | None = None) -> NDArray[np.float64]:
            return super().logits(features, None if fold is None else fold - 1)


class ChoosesOnScored(Good):
    """held-out-labels: keeps the step that is best on the clips it is scored on."""

    def train(self, member: Member, table: Mapping[str, StreamData], rows: Any, data: TrainingData, fold: int) -> None:
        self.best, self.kept = -np.inf, member.module.state_dict()
        super().train(member, table, rows, data, fold)
        member.module.load_state_dict(self.kept)

    def after(self, step: int, member: Member, table: Mapping[str, StreamData], data: TrainingData, fold: int) -> None:
        scored = data.folds[fold].val if data.folds else np.flatnonzero(data.labels >= 0)
        with torch.no_grad():
            logits = member.module.eval()(*member.inputs(table, scored)).logits
        value = -float(cross_entropy(logits, torch.from_numpy(data.labels[scored])))
        if value > self.best:
            self.best, self.kept = value, {k: v.clone() for k, v in member.module.state_dict().items()}


class WeighsAllLabels(Good):
    """held-out-labels: class weights of all labelled clips."""

    def targets(self, data: TrainingData, rows: NDArray[np.int64]) -> torch.Tensor:
        known = data.labels[data.labels >= 0]
        held = np.setdiff1d(np.arange(len(known)), rows)
        self.weights = torch.from_numpy(1.0 + np.bincount(data.labels[held], minlength=3)).float()
        return super().targets(data, rows)

    def loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return cross_entropy(logits, labels, weight=self.weights)


class NeedsFolds(Good):
    """no-folds: nothing to train without folds."""

    def parts(self, data: TrainingData) -> list[NDArray[np.int64]]:
        return [fold.train for fold in data.folds]


class LearnsUnlabelled(Good):
    """no-folds: -1 counts as the last class."""

    def parts(self, data: TrainingData) -> list[NDArray[np.int64]]:
        return super().parts(data) if data.folds else [np.arange(len(data.ids))]

    def targets(self, data: TrainingData, rows: NDArray[np.int64]) -> torch.Tensor:
        return torch.from_numpy(data.labels[rows] % len(data.targets.classes))


class CountsAbsent(Good):
    """cleared-values: absent rows count in mean and scale."""

    def scale(self, values: NDArray[np.float32], present: NDArray[np.bool_]) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.from_numpy(values.mean(0)), torch.from_numpy(values.std(0))


class SeesAbsent(Good):
    """cleared-values: everything counts as present when predicting."""

    class model(Model):
        def logits(self, features: Mapping[str, StreamData], fold: int | None = None) -> NDArray[np.float64]:
            everything = {
                name: StreamData(part.info, np.nan_to_num(part.values), np.ones_like(part.present))
                for name, part in features.items()
            }
            return super().logits(everything, fold)


class ForgetsUnits(Good):
    """values: what its modules say is near zero, whatever the unit of the data."""

    class model(Model):
        @torch.no_grad()
        def predict_values(self, features: Mapping[str, StreamData], fold: int | None = None) -> NDArray[np.float64]:
            asked = [member.module.eval()(*member.inputs(features, slice(None))).values for member in self.members]
            return torch.stack(asked).mean(0).double().numpy()


def broken() -> dict[str, tuple[type[Good], str]]:
    """Every broken trainer by name, with the check that catches it."""
    found = [cls for cls in globals().values() if isinstance(cls, type) and issubclass(cls, Good) and cls is not Good]
    return {cls.__name__.lower(): (cls, (cls.__doc__ or "").partition(":")[0]) for cls in found}


def spec(cls: type[Good], **changes: Any) -> TrainerSpec:
    return TrainerSpec(name=cls.__name__.lower(), target=f"shelf_trainers:{cls.__name__}", **changes)
