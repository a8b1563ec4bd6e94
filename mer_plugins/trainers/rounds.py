"""How far self-training has come: what each round did, kept on disk after every round.

A folder for each round that is still needed, ``round-0003``: its model, and ``rounds.json`` with everything up to it.
It is written under another name and renamed, so that a kill at any moment leaves whole rounds.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mer_core.plugin import DataError, Fusion
from mer_plugins.trainers.model import FusionModel, load_model

ROUND, STATE, PART = "round-", "rounds.json", ".part-"


@dataclass(slots=True)
class Rounds:
    """What each round did: facts for the report, labels (row -> class) per member so far.

    ``inner`` are scores of the rounds on the parts that epochs are chosen on; ``stopped`` says why no round follows.
    """

    pseudo: list[dict[int, int]]
    facts: list[dict[str, Any]] = field(default_factory=list)
    inner: list[float] = field(default_factory=list)
    stopped: str = ""

    def better(self) -> int:
        """The first round with the highest inner score."""
        return int(np.argmax(self.inner)) if self.inner else len(self.facts) - 1

    def tired(self, patience: int | None) -> bool:
        """Whether the last ``patience`` rounds were no better than one before."""
        return patience is not None and bool(self.inner) and len(self.inner) - 1 - self.better() >= patience

    def document(self) -> dict[str, Any]:
        """JSON-able; :meth:`read` is its inverse."""
        pseudo = [{str(row): label for row, label in own.items()} for own in self.pseudo]
        return {"pseudo": pseudo, "facts": self.facts, "inner": self.inner, "stopped": self.stopped}

    @classmethod
    def read(cls, found: dict[str, Any]) -> Rounds:
        """From a :meth:`document`."""
        pseudo = [{int(row): label for row, label in own.items()} for own in found["pseudo"]]
        return cls(pseudo, found["facts"], found["inner"], found["stopped"])


class Keeper:
    """Writes rounds into ``folder`` and finds them again; without a folder it does neither."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def save(self, state: Rounds, models: dict[int, FusionModel]) -> None:
        """Keep the round that has just ended, and of the others those whose model is still among ``models``."""
        if self.folder is None:
            return
        number = len(state.facts) - 1
        part = self.folder / f"{PART}{secrets.token_hex(4)}"
        models[number].save(part)
        (part / STATE).write_text(json.dumps(state.document()), encoding="utf-8")
        place = self._place(number)
        shutil.rmtree(place, ignore_errors=True)
        os.replace(part, place)
        kept = {self._place(one).name for one in models}
        _remove(one for one in self.folder.iterdir() if one.name not in kept)

    def load(self, fusion: Fusion, device: str, best: bool) -> tuple[Rounds, dict[int, FusionModel]] | None:
        """The last whole round with its model, and the best one's where ``best``; None where there is none."""
        for place in reversed(self._places()):
            try:
                state = Rounds.read(json.loads((place / STATE).read_text(encoding="utf-8")))
                wanted = {len(state.facts) - 1, *([state.better()] if best else [])}
                return state, {one: load_model(self._place(one), fusion, device) for one in wanted}
            except (OSError, ValueError, KeyError, DataError):
                continue
        return None

    def _place(self, number: int) -> Path:
        assert self.folder is not None
        return self.folder / f"{ROUND}{number:04d}"

    def _places(self) -> list[Path]:
        return sorted(self.folder.glob(f"{ROUND}*")) if self.folder is not None else []


def _remove(places: Iterable[Path]) -> None:
    for place in list(places):
        shutil.rmtree(place, ignore_errors=True)
