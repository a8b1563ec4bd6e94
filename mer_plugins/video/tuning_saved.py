"""Where a fit stands, on disk: written whole or not at all, read back by a fit of the same kind."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

NAME = "tuning.pt"


class Saved:
    """The checkpoint in ``folder`` (None: none is kept) of the fit that ``key`` stands for.

    Attributes:
        note: why what lies there was not used; empty if nothing does.
    """

    def __init__(self, folder: Path | None, key: str) -> None:
        self.file = None if folder is None else folder / NAME
        self.key = key
        self.note = ""

    def load(self) -> dict[str, Any] | None:
        """What :meth:`save` wrote last."""
        if self.file is None or not self.file.is_file():
            return None
        try:
            found: dict[str, Any] = torch.load(self.file, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, ValueError, EOFError, UnpicklingError):
            self.note = "the checkpoint cannot be read: begun anew"
            return None
        if found.get("key") != self.key:
            self.note = "the checkpoint is of other options or labels: begun anew"
            return None
        return found

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace what is there."""
        if self.file is None:
            return
        self.file.parent.mkdir(parents=True, exist_ok=True)
        part = self.file.with_suffix(f".{os.getpid()}")
        try:
            torch.save({**state, "key": self.key}, part)
            os.replace(part, self.file)
        finally:
            part.unlink(missing_ok=True)
