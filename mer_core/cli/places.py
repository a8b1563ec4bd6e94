"""Folders that flags name, told to plugins and to processes that are started."""

from __future__ import annotations

import os
from pathlib import Path

from mer_core.errors import UsageError


def use_cache(folder: Path | None) -> Path | None:
    """Let plugins and other processes keep what they keep where features are kept."""
    if folder is not None:
        os.environ["MER_CACHE"] = str(folder.absolute())
    return folder


def use_weights(folder: Path | None) -> Path | None:
    """Let this process and those that it starts look for weights in ``folder``.

    Raises:
        UsageError: there is no such folder.
    """
    if folder is not None:
        if not folder.is_dir():
            raise UsageError(f"--weights-dir {folder}: there is no such folder.", "Name a folder of weights.")
        os.environ["MER_WEIGHTS"] = str(folder.resolve())
    return folder
