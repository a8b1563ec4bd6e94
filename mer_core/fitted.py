"""What a supervised extractor learnt, on disk: its state, and what was learnt from."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mer_core.errors import DataError
from mer_core.files import PART, cannot_write, disk_full, write_text, writing

if TYPE_CHECKING:
    from numpy.typing import NDArray

STATE, FACTS = "state.safetensors", "state.json"
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class FittedState:
    """A folder with a state. ``facts`` says what was fitted (``extractor``, ``version``, ``options``, ``content``) and
    to what (``classes``, ``clips``, ``keys`` of what was read of each, ``seen``, digests of the clips themselves, and
    ``training``, a digest of all of that). Both lists are empty in a model's folder."""

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
    def content(self) -> str:
        """The digest of the arrays; of what was learnt from, where a fit of an older mer does not say."""
        return str(self.facts.get("state") or self.training)

    @property
    def keys(self) -> frozenset[str]:
        """Digests of what was read of the clips that were learnt from."""
        return frozenset(self.facts["keys"])

    @property
    def seen(self) -> frozenset[str]:
        """Digests of these clips themselves, the same whatever is derived from them."""
        return frozenset(self.facts.get("seen", ()))


def save_state(folder: Path, state: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> FittedState:
    """Write ``state`` and ``facts`` into ``folder``; a state that is there already stays whole until the end.

    Raises:
        EnvironmentProblem: the folder cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{PART}{secrets.token_hex(4)}-{STATE}"
    try:
        save_file({name: _plain(array) for name, array in state.items()}, part)
        told = {**facts, "state": _content(part)}
        os.replace(part, folder / STATE)
    except OSError as error:
        raise cannot_write(folder / STATE, error) from error
    except SafetensorError as error:  # what it says of a full disk
        raise cannot_write(
            folder / STATE, OSError(errno.ENOSPC if disk_full(error) else errno.EIO, str(error))
        ) from error
    finally:
        part.unlink(missing_ok=True)
    write_text(folder / FACTS, _document(told))
    return FittedState(folder, told)


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    """``array`` in one piece and in this machine's order of bytes."""
    import numpy as np

    return np.ascontiguousarray(array, array.dtype.newbyteorder("="))


def _content(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:32]


def _document(facts: Mapping[str, Any]) -> str:
    return json.dumps(dict(facts), ensure_ascii=False, indent=1) + "\n"


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
    if not isinstance(facts, dict) or facts.get("schema") != SCHEMA:
        raise DataError(f"{file} is not of schema {SCHEMA}, which this mer reads.", "Run 'mer finetune' again.")
    _refuse_damaged(folder / STATE)
    return FittedState(folder, facts)


def _refuse_damaged(file: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="np"):
            pass
    except (OSError, SafetensorError) as error:
        raise DataError(
            f"{file} is damaged: {error}.", "Copy it again, or remove it and run 'mer finetune' again."
        ) from None


def find_state(folder: Path) -> FittedState | None:
    """The state in ``folder``, None if there is none that can be read."""
    try:
        return load_state(folder)
    except DataError:
        return None


def copy_state(state: FittedState, folder: Path) -> None:
    """Copy ``state`` into ``folder``, without the digests of its clips' content: a model needs no list of its data.

    Raises:
        EnvironmentProblem: the folder cannot be written.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(state.file, folder / STATE)
    write_text(folder / FACTS, _document({**state.facts, "keys": [], "seen": []}))
