"""What a supervised extractor learnt, on disk: its state, and what was learnt from."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mer_core.errors import DataError, EnvironmentProblem

if TYPE_CHECKING:
    from numpy.typing import NDArray

STATE, FACTS = "state.safetensors", "state.json"
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class FittedState:
    """A folder with a state. ``facts`` says what was fitted (``extractor``, ``version``, ``options``, ``content``) and
    to what (``classes``, ``clips``, ``keys`` of the clips' content, ``training``, a digest of all of that)."""

    folder: Path
    facts: Mapping[str, Any]

    @property
    def file(self) -> Path:
        """The arrays."""
        return self.folder / STATE

    @property
    def training(self) -> str:
        """The digest of what was learnt from."""
        return str(self.facts["training"])

    @property
    def keys(self) -> frozenset[str]:
        """Digests of the content of the clips that were learnt from."""
        return frozenset(self.facts["keys"])


def save_state(folder: Path, state: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> FittedState:
    """Write ``state`` and ``facts`` into ``folder``; a state that is there already stays whole until the end.

    Raises:
        EnvironmentProblem: the folder cannot be written.
    """
    from safetensors.numpy import save_file

    try:
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f".{STATE}"
        save_file({name: _contiguous(array) for name, array in state.items()}, part)
        os.replace(part, folder / STATE)
        text = json.dumps(dict(facts), ensure_ascii=False, indent=1) + "\n"
        (folder / f".{FACTS}").write_text(text, encoding="utf-8")
        os.replace(folder / f".{FACTS}", folder / FACTS)
    except OSError as error:
        raise EnvironmentProblem(
            f"the fitted state cannot be written to {folder}: {error.strerror}.", "Make room, or choose another folder."
        ) from error
    return FittedState(folder, dict(facts))


def _contiguous(array: NDArray[Any]) -> NDArray[Any]:
    import numpy as np

    return np.ascontiguousarray(array)


def load_state(folder: Path) -> FittedState:
    """The state in ``folder``.

    Raises:
        DataError: there is none, or one of another schema.
    """
    file = folder / FACTS
    if not (file.is_file() and (folder / STATE).is_file()):
        raise DataError(f"there is no fitted extractor in {folder}.", "Name a folder that 'mer finetune' wrote.")
    try:
        facts: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{file} is damaged: {error}.", "Run 'mer finetune' again.") from None
    if facts.get("schema") != SCHEMA:
        raise DataError(f"{file} is not of schema {SCHEMA}, which this mer reads.", "Run 'mer finetune' again.")
    return FittedState(folder, facts)


def find_state(folder: Path) -> FittedState | None:
    """The state in ``folder``, None if there is none that can be read."""
    try:
        return load_state(folder)
    except DataError:
        return None


def copy_state(state: FittedState, folder: Path) -> None:
    """Copy ``state`` into ``folder``, without the keys of its clips' content: a model needs no list of its data."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(state.file, folder / STATE)
    facts = {**state.facts, "keys": []}
    (folder / FACTS).write_text(json.dumps(facts, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
