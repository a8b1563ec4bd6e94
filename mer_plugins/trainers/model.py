"""The fitted model: members, their standardisation, and how they came about."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mer_core.plugin import DataError, Fusion, FusionOutput, StreamData, StreamInfo, TargetSpec, as_level
from mer_core.pooling import Standardiser
from mer_plugins.trainers.frame_tables import batch_of, parts_of
from mer_plugins.trainers.known import ValueScale

FORMAT = 1
WEIGHTS, FACTS = "members.safetensors", "members.json"
_ROWS = 512


@dataclass(frozen=True, slots=True)
class FittedMember:
    """One member: its module in evaluation mode and one standardiser per stream.

    ``unlearnt`` are streams that no clip of its training part has. Their encoders were never trained,
    so they count as absent in every clip. ``scale`` is that of its continuous targets. Logits are divided by
    ``temperature``.
    """

    module: nn.Module
    standardisers: Mapping[str, Standardiser]
    unlearnt: tuple[str, ...] = ()
    scale: ValueScale = field(default_factory=lambda: ValueScale.identity(0))
    temperature: float = 1.0

    def logits(self, features: Mapping[str, StreamData], rows: slice) -> NDArray[np.float64]:
        """[n, C] for the clips ``rows``."""
        found: NDArray[np.float64] = self.answer(features, rows).logits.double().cpu().numpy()
        return found / self.temperature

    def values(self, features: Mapping[str, StreamData], rows: slice) -> NDArray[np.float64]:
        """[n, V] for the clips ``rows``, in the targets' own units."""
        return self.scale.original(self.answer(features, rows).values.double().cpu().numpy())

    @torch.no_grad()
    def answer(self, features: Mapping[str, StreamData], rows: slice) -> FusionOutput:
        """What the module says of the clips ``rows``. A stream that nobody there has costs nothing."""
        weight = next(self.module.parameters())
        x, mask = {}, {}
        for name, standardiser in self.standardisers.items():
            values, present = batch_of(features[name], rows, standardiser, name not in self.unlearnt)
            x[name] = torch.from_numpy(values).to(weight)
            mask[name] = torch.from_numpy(present).to(weight.device)
        found: FusionOutput = self.module(x, mask)
        return found


class FusionModel:
    """What the trainer ``cv`` returns; see :class:`mer_core.protocols.Model`.

    The ensemble's answer is the softmax of the mean of its members' logits, each with equal weight.
    """

    def __init__(
        self,
        targets: TargetSpec,
        streams: Mapping[str, StreamInfo],
        members: Sequence[FittedMember],
        summary: Mapping[str, Any],
    ) -> None:
        self.targets, self.streams, self.summary = targets, dict(streams), dict(summary)
        self.members = tuple(members)

    def predict(self, features: Mapping[str, StreamData], fold: int | None = None) -> NDArray[np.float64]:
        """Probabilities [N, C]; see :meth:`logits` for what ``features`` may lack."""
        logits = self.logits(features, fold)
        found: NDArray[np.float64] = torch.softmax(torch.from_numpy(logits), dim=1).numpy()
        return found

    def logits(self, features: Mapping[str, StreamData], fold: int | None = None) -> NDArray[np.float64]:
        """Logits [N, C] of member ``fold``, or the mean over members.

        Streams of the model that ``features`` lacks count as absent in every clip; others are ignored.

        Raises:
            DataError: no stream of the model is there, a width differs, or there is no such fold.
        """
        return self._mean(FittedMember.logits, features, fold, len(self.targets.classes))

    def predict_values(self, features: Mapping[str, StreamData], fold: int | None = None) -> NDArray[np.float64]:
        """[N, V] in the units of the training clips' values, of member ``fold`` or the mean over members.

        ``features`` and errors as for :meth:`logits`.
        """
        return self._mean(FittedMember.values, features, fold, len(self.targets.values))

    def _mean(
        self,
        ask: Callable[[FittedMember, Mapping[str, StreamData], slice], NDArray[np.float64]],
        features: Mapping[str, StreamData],
        fold: int | None,
        columns: int,
    ) -> NDArray[np.float64]:
        if fold is not None and not 0 <= fold < len(self.members):
            raise DataError(f"the model has no fold {fold}.", f"It has {len(self.members)}, counted from 0.")
        members = self.members if fold is None else self.members[fold : fold + 1]
        complete = self._completed(features)
        count = len(next(iter(complete.values())).present)
        found = np.zeros((count, columns))
        for rows in parts_of(complete.values(), count, _ROWS):
            found[rows] = np.mean([ask(member, complete, rows) for member in members], axis=0)
        return found

    def _completed(self, features: Mapping[str, StreamData]) -> dict[str, StreamData]:
        counts = {len(features[name].present) for name in self.streams if name in features}
        if len(counts) != 1:
            raise DataError(
                f"features for {sorted(features)} do not fit a model over {sorted(self.streams)}.",
                "Give at least one of its streams, all with the same number of clips.",
            )
        count = counts.pop()
        return {name: _checked(features.get(name), info, count) for name, info in self.streams.items()}

    def save(self, folder: Path) -> None:
        """Write ``members.safetensors`` and ``members.json`` into ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"{k}.{key}": t for k, m in enumerate(self.members) for key, t in _tensors(m).items()}
        save_file(tensors, folder / WEIGHTS)
        facts = {
            "format": FORMAT,
            "members": len(self.members),
            "precision": str(next(self.members[0].module.parameters()).dtype).removeprefix("torch."),
            "limits": [next(iter(m.standardisers.values())).limit for m in self.members],
            "unlearnt": [list(m.unlearnt) for m in self.members],
            "temperatures": [m.temperature for m in self.members],
            "targets": asdict(self.targets),
            "streams": [asdict(info) for info in self.streams.values()],
            "summary": self.summary,
        }
        (folder / FACTS).write_text(json.dumps(facts, ensure_ascii=False, indent=1), encoding="utf-8")


def load_model(folder: Path, fusion: Fusion, device: str) -> FusionModel:
    """What :meth:`FusionModel.save` wrote; ``fusion`` must have the options it was trained with.

    Raises:
        DataError: if files are missing, of another format, or do not fit ``fusion``.
    """
    facts, tensors = _read(folder)
    kept = facts["targets"]
    targets = TargetSpec(tuple(kept["classes"]), tuple(kept["values"]), kept["votes"])
    streams = {info["name"]: StreamInfo(**info) for info in facts["streams"]}
    members = []
    unlearnt = facts.get("unlearnt", [[]] * len(facts["limits"]))
    temperatures = facts.get("temperatures", [1.0] * len(facts["limits"]))
    for number, limit in enumerate(facts["limits"]):
        own = {k.removeprefix(f"{number}."): v for k, v in tensors.items() if k.startswith(f"{number}.")}
        module = fusion.build(streams, targets).to(dtype=getattr(torch, facts["precision"]))
        _load_state(module, {k.removeprefix("module."): v for k, v in own.items() if k.startswith("module.")}, folder)
        scalers = {name: _standardiser(own, i, limit) for i, name in enumerate(streams)}
        scale = _value_scale(own, len(targets.values))
        known, heat = tuple(unlearnt[number]), float(temperatures[number])
        members.append(FittedMember(module.to(device).eval(), scalers, known, scale=scale, temperature=heat))
    return FusionModel(targets, streams, members, facts["summary"])


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        tensors = load_file(folder / WEIGHTS)
    except (OSError, ValueError, SafetensorError) as error:
        raise DataError(
            f"{folder} holds no readable model: {error}", "Copy the model folder again, or train again."
        ) from error
    if facts.get("format") != FORMAT:
        raise DataError(f"{folder} has model format {facts.get('format')}, not {FORMAT}.", "Train it again.")
    return facts, tensors


def _load_state(module: nn.Module, state: Mapping[str, Tensor], folder: Path) -> None:
    try:
        module.load_state_dict(dict(state))
    except RuntimeError as error:
        hint = "Build the fusion with the options it was trained with."
        raise DataError(f"the weights in {folder} do not fit this fusion: {error}", hint) from error


def _tensors(member: FittedMember) -> dict[str, Tensor]:
    """Streams are numbered: names never become keys. Copies, as safetensors refuses a weight under two names."""
    state = member.module.state_dict()
    found = {f"module.{key}": t.detach().cpu().clone(memory_format=torch.contiguous_format) for key, t in state.items()}
    for number, standardiser in enumerate(member.standardisers.values()):
        for part in ("median", "mean", "scale"):
            found[f"stream{number}.{part}"] = torch.from_numpy(getattr(standardiser, part))
    if len(member.scale.mean):
        found |= {
            "values.mean": torch.from_numpy(member.scale.mean),
            "values.scale": torch.from_numpy(member.scale.scale),
        }
    return found


def _standardiser(tensors: Mapping[str, Tensor], number: int, limit: float | None) -> Standardiser:
    median, mean, scale = (tensors[f"stream{number}.{part}"].numpy() for part in ("median", "mean", "scale"))
    return Standardiser(median, mean, scale, limit)


def _value_scale(tensors: Mapping[str, Tensor], count: int) -> ValueScale:
    if not count:
        return ValueScale.identity(0)
    return ValueScale(tensors["values.mean"].numpy(), tensors["values.scale"].numpy())


def _checked(part: StreamData | None, info: StreamInfo, count: int) -> StreamData:
    if part is None:
        part = StreamData(info, np.zeros((count, info.dim), np.float32), np.zeros(count, bool))
    part = as_level(part, info)
    if part.offsets is not None and len(part.present) == count and part.values.shape[1] == info.dim:
        return part
    if part.values.shape != (count, info.dim):
        raise DataError(
            f"{info.name} has shape {part.values.shape}, the model expects [{count}, {info.dim}].",
            "Extract it with the settings the model was trained with.",
        )
    return part
