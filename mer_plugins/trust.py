"""Models that come with Python code of their own. It is run only of those that the user has named.

The names are in an environment variable: given with each command, and kept in no configuration and no model folder,
which others may be handed. Light.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mer_core.plugin import PluginError
from mer_plugins.damage import short

VARIABLE = "MER_TRUST_REMOTE_CODE"
"""Models whose code may be run, each as the option ``model`` has it, separated by commas."""


def trusted(model: str) -> bool:
    """Whether the user has named ``model``."""
    return model in (name.strip() for name in os.environ.get(VARIABLE, "").split(",") if name.strip())


def own_code(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Files of code that ``config.json`` points to: ``modeling_x.py``, or ``REPO--FILE`` where they are elsewhere."""
    told = config.get("auto_map")
    names = told.values() if isinstance(told, Mapping) else ()
    return tuple(sorted({f"{str(name).rpartition('.')[0]}.py" for name in names if isinstance(name, str)}))


def refuse_code(folder: Path, model: str, files: tuple[str, ...]) -> PluginError:
    """The error for a model that cannot be loaded without its code."""
    return PluginError(
        f"{folder} holds a model with code of its own ({', '.join(files)}), which mer does not run.",
        f"Read it. If you trust it, name the model with the command: {VARIABLE}={model} mer ...",
    )


def failed_code(folder: Path, error: Exception) -> PluginError:
    """The error for code of a model that breaks, or lacks a package."""
    return PluginError(
        f"the code that comes with the model in {folder} fails: {type(error).__name__}: {short(error)}.",
        "Install what it needs, or ask its publisher.",
    )
