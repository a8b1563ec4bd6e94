"""A trainer's model, its errors named: every workflow asks it through here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from mer_core.blame import blame, title
from mer_core.catalogue import Entry
from mer_core.errors import PluginError
from mer_core.feature_set import StreamData, StreamInfo, TargetSpec
from mer_core.models import no_model
from mer_core.protocols import Model

_T = TypeVar("_T")


class GuardedModel:
    """The model of a trainer plugin; what it raises becomes an error that names the trainer.

    Everything that :class:`mer_core.protocols.Model` does not list is the model's own.
    """

    def __init__(self, model: Model, trainer: Entry) -> None:
        self._model, self._trainer = model, trainer

    @property
    def targets(self) -> TargetSpec:
        """What it predicts."""
        return self._ask("targets", lambda: self._model.targets)

    @property
    def streams(self) -> Mapping[str, StreamInfo]:
        """What it knows, by stream name."""
        return self._ask("streams", lambda: self._model.streams)

    @property
    def summary(self) -> Mapping[str, Any]:
        """How it was trained."""
        return self._ask("summary", lambda: self._model.summary)

    def predict(self, features: Mapping[str, StreamData], fold: int | None = None) -> NDArray[np.float64]:
        """Probabilities [N, C]."""
        return self._numbers("predict", features, fold)

    def logits(self, features: Mapping[str, StreamData], fold: int | None = None) -> NDArray[np.float64]:
        """Logits [N, C]."""
        return self._numbers("logits", features, fold)

    def predict_values(self, features: Mapping[str, StreamData], fold: int | None = None) -> NDArray[np.float64]:
        """Continuous targets [N, V].

        Raises:
            PluginError: the model predicts none.
        """
        if not callable(getattr(self._model, "predict_values", None)):
            what = f"{title(self._trainer)}: its model cannot predict {', '.join(self.targets.values)}"
            raise PluginError(f"{what}: it has no method predict_values.", "Use --trainer cv, or leave out --values.")
        return self._numbers("predict_values", features, fold)

    def save(self, folder: Path) -> None:
        """Write it into ``folder``."""
        self._ask("save", lambda: self._model.save(folder))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_model":
            raise AttributeError(name)
        return getattr(self._model, name)

    def __repr__(self) -> str:
        return repr(self._model)

    def _ask(self, name: str, work: Callable[[], _T]) -> _T:
        with blame(self._trainer, f"its model's {name}"):
            return work()

    def _numbers(self, name: str, features: Mapping[str, StreamData], fold: int | None) -> NDArray[np.float64]:
        which = {} if fold is None else {"fold": fold}
        found = self._ask(name, lambda: np.asarray(getattr(self._model, name)(features, **which), np.float64))
        rows = {len(data.present) for data in features.values()} or {len(found)}
        kind, columns = ("class", self.targets.classes) if name != "predict_values" else ("value", self.targets.values)
        if found.shape != (*rows, len(columns)):
            wanted = f"[{', '.join(map(str, rows))}, {len(columns)}]"
            what = f"{title(self._trainer)}: its model's {name} returned {list(found.shape)}, not {wanted}."
            raise PluginError(what, f"Return one row per clip and one column per {kind}.")
        return found


def guard(model: Model, trainer: Entry) -> Model:
    """``model``, which the trainer returned, with its errors named.

    Raises:
        PluginError: it is no model.
    """
    if wrong := no_model(model):
        raise PluginError(f"{title(trainer)} {wrong}", "See 'Trainer' in docs/plugins/reference.md.")
    return cast("Model", GuardedModel(model, trainer))  # its attributes are read-only, which is enough here
