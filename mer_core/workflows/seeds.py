"""Several trainings that differ in nothing but their seed, as one model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer_core.config import RunConfig
from mer_core.feature_set import StreamData, StreamInfo, TargetSpec
from mer_core.probabilities import softmax
from mer_core.protocols import Model, Progress, ValueModel


class SeveralSeeds:
    """The models of S seeds over the same folds; see :class:`mer_core.protocols.Model`.

    Its answer is the softmax of the mean of the S models' logits: all members of all seeds with equal weight, or, of
    one fold, those of that fold.
    """

    def __init__(self, models: Mapping[int, Model]) -> None:
        self.models = dict(models)
        first = next(iter(self.models.values()))
        self.targets: TargetSpec = first.targets
        self.streams: Mapping[str, StreamInfo] = first.streams
        self.summary: Mapping[str, Any] = together({seed: model.summary for seed, model in self.models.items()})

    def predict(self, features: Mapping[str, StreamData], fold: int | None = None) -> NDArray[np.float64]:
        """Probabilities [N, C]."""
        return softmax(self.logits(features, fold))

    def logits(self, features: Mapping[str, StreamData], fold: int | None = None) -> NDArray[np.float64]:
        """Logits [N, C]: the mean over the seeds."""
        found: NDArray[np.float64] = np.mean([model.logits(features, fold) for model in self.models.values()], axis=0)
        return found

    def predict_values(self, features: Mapping[str, StreamData], fold: int | None = None) -> NDArray[np.float64]:
        """[N, V]: the mean over the seeds, whose models must all be :class:`mer_core.protocols.ValueModel`."""
        told = [model.predict_values(features, fold) for model in self.models.values() if isinstance(model, ValueModel)]
        found: NDArray[np.float64] = np.mean(told, axis=0)
        return found

    def save(self, folder: Path) -> None:
        """Each seed's model in a folder of its own below ``folder``."""
        for seed, model in self.models.items():
            model.save(home(folder, seed))


def home(folder: Path, seed: int) -> Path:
    """Where the model of one of several seeds lies."""
    return folder / f"seed-{seed}"


def fit_each(config: RunConfig, fit: Callable[[RunConfig, Progress | None], Model], progress: Progress | None) -> Model:
    """The model of ``config``: that of ``fit``, or with ``seeds`` those of each seed together.

    Args:
        fit: trains once, with the seed of the configuration that it gets.
    """
    seeds = config.training_seeds
    if len(seeds) == 1:
        return fit(config, progress)
    once = [config.model_copy(update={"seed": seed, "seeds": 1}) for seed in seeds]
    told = [_told(progress, number, len(seeds)) for number in range(len(seeds))]
    return SeveralSeeds({one.seed: fit(one, own) for one, own in zip(once, told, strict=True)})


def load_each(config: RunConfig, folder: Path, load: Callable[[Path], Model]) -> Model:
    """What :meth:`SeveralSeeds.save` wrote, or the one model in ``folder``."""
    seeds = config.training_seeds
    return load(folder) if len(seeds) == 1 else SeveralSeeds({seed: load(home(folder, seed)) for seed in seeds})


def _told(progress: Progress | None, number: int, seeds: int) -> Progress | None:
    """Progress of one training as a part of that of all."""
    if progress is None:
        return None

    def tell(stage: str, done: int, total: int, note: str) -> None:
        progress(stage, number * total + done, seeds * total, f"seed {number + 1}/{seeds}, {note}")

    return tell


def together(summaries: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """The summaries of several seeds as one: the first one's, with what differs by seed added up or listed.

    ``seeds`` lists them. ``curves`` are those of all seeds, which say of which ``seed`` and ``fold`` they are.
    """
    every = list(summaries.values())
    found = dict(every[0]) | {"seeds": list(summaries)}
    found |= {key: any(one.get(key) for one in every) for key in ("optimistic", "contaminated") if key in every[0]}
    found |= {key: sum(one[key] for one in every) for key in ("members",) if all(key in one for one in every)}
    found |= {key: all(one[key] for one in every) for key in ("stacked",) if all(key in one for one in every)}
    found["notes"] = list(dict.fromkeys(str(note) for one in every for note in one.get("notes", ())))
    found["temperatures"] = [value for one in every for value in one.get("temperatures", ())]
    found["curves"] = [curve for seed, one in summaries.items() for curve in _curves(seed, one.get("curves", ()))]
    return found


def _curves(seed: int, found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{**one, "seed": seed, "fold": k if len(found) > 1 else None} for k, one in enumerate(found, 1)]
